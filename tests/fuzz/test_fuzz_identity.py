"""Any bytes are an identity file or `Corrupt`, nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import Corrupt
from tigertally.base.ids import Name
from tigertally.base.randomness import SeededRandomness
from tigertally.node.identity import Identity, Secrets, seal_identity
from tigertally.quorum.card import Role

GOOD = seal_identity(
    Secrets.generate(SeededRandomness(1)),
    role=Role.AUTHORITY,
    member=Name("hq"),
    created=1,
    under=None,
).to_bytes()


def parse(raw: bytes) -> None:
    try:
        identity = Identity.from_bytes(raw)
    except Corrupt:
        return
    assert identity.to_bytes() == raw


@given(st.binary(max_size=400))
def test_any_bytes(raw):
    parse(raw)


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.binary(max_size=40))
def test_anything_close_to_a_good_file(start, length, middle):
    parse(GOOD[:start] + middle + GOOD[start + length :])


def test_a_good_file_is_good():
    assert Identity.from_bytes(GOOD).member == "hq"
