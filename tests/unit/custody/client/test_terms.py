"""Terms of keys, as the authority shows them: a device takes no part in what it does not know."""

from __future__ import annotations

import pytest

from tigertally.base.errors import NewerVersion
from tigertally.base.ids import Hash, Name
from tigertally.custody.client.admissible import terms_of_base
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.options import KeyOptions

pytestmark = pytest.mark.requirement("C7")


def base(name: str, **more: str) -> BaseKey:
    ref = KeyRef(name=Name(name), version=1)
    options = KeyOptions.of(more=more)
    return BaseKey(ref=ref, epoch=Hash(bytes(32)), commitments=b"", options=options)


def test_one_key_beyond_this_program_keeps_it_out_of_a_reshare():
    known = base("payroll")
    assert terms_of_base((known,))[known.ref].options == known.options
    with pytest.raises(NewerVersion, match=r"^ledger version 1 .*\(region\)"):
        terms_of_base((known, base("ledger", region="eu")))
