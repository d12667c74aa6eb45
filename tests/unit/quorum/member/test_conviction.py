from __future__ import annotations

import pytest

from tigertally.base.errors import PeerFault
from tigertally.quorum.member.conviction import check_not_convicted, keep_conviction
from tigertally.storage.memory import MemoryStore


def test_it_is_for_good_and_the_first_one_counts():
    with MemoryStore().transaction() as tx:
        check_not_convicted(tx)
        keep_conviction(tx, PeerFault("two rosters"), b"proof")
        keep_conviction(tx, PeerFault("something else"), b"")
        with pytest.raises(PeerFault, match="two rosters") as stopped:
            check_not_convicted(tx)
    assert stopped.value.sure
    assert stopped.value.culprits == ("authority",)
