from __future__ import annotations

import json
from pathlib import Path

import pytest

from tigertally.algebra.transcript import framed
from tigertally.base.errors import UsageError
from tigertally.base.secret import Secret
from tigertally.crypto.kdf import MAX_BYTES, derive

VECTORS = Path(__file__).parents[2] / "vectors"
RFC5869 = json.loads((VECTORS / "hkdf.json").read_text())["cases"]


@pytest.mark.parametrize("secret", [True, False])
@pytest.mark.parametrize("case", RFC5869, ids=lambda case: case["name"])
def test_rfc_5869(case: dict[str, str], secret: bool) -> None:
    ikm, salt, info, okm = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info", "okm"))
    wrap = Secret if secret else bytes
    assert derive(wrap(ikm), info, salt=wrap(salt), size=len(okm)).matches(okm)


def test_tag_and_framed_context_are_the_info() -> None:
    whole = derive(b"k", b"tag\0" + framed(b"a", b"bc"))
    assert derive(b"k", b"tag\0", b"a", b"bc").matches(whole)
    for other in [
        derive(b"k", b"tag\0", b"ab", b"c"),
        derive(b"k", b"tag\0", b"a", b"bc", b""),
        derive(b"k", b"gat\0", b"a", b"bc"),
        derive(b"K", b"tag\0", b"a", b"bc"),
        derive(b"k", b"tag\0", b"a", b"bc", salt=b"s"),
    ]:
        assert not other.matches(whole)


@pytest.mark.parametrize("size", [1, 31, 64, MAX_BYTES])
def test_sizes(size: int) -> None:
    assert len(derive(b"k", b"t", size=size)) == size


@pytest.mark.parametrize("size", [0, -1, MAX_BYTES + 1])
def test_no_sizes(size: int) -> None:
    with pytest.raises(UsageError):
        derive(b"k", b"t", size=size)
