"""Laws of the codec and of framing, for all values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hypothesis import given
from hypothesis import strategies as st

from tigertally.algebra.transcript import framed, tagged_hash
from tigertally.base import codec
from tigertally.base.ids import Hash, HolderIndex


class Shape(Enum):
    ROUND = "round"
    FLAT = "flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    index: HolderIndex
    shape: Shape
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    digest: Hash
    count: int
    leaves: tuple[Leaf, ...]
    pairs: tuple[tuple[int, bytes], ...]
    flag: bool | None


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
LEAVES = st.builds(
    Leaf,
    index=st.integers(1, 255).map(HolderIndex),
    shape=st.sampled_from(Shape),
    note=st.none() | WORDS,
)
BRANCHES = st.builds(
    Branch,
    digest=st.binary(min_size=32, max_size=32).map(Hash),
    count=st.integers(0, 2**64 - 1),
    leaves=st.lists(LEAVES, max_size=4).map(tuple),
    pairs=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary()), max_size=4).map(tuple),
    flag=st.none() | st.booleans(),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
PARTS = st.lists(st.binary(max_size=12), max_size=4)


@given(BRANCHES)
def test_every_message_comes_back(message: Branch) -> None:
    assert codec.decode(Branch, codec.encode(message)) == message


@given(BRANCHES, BRANCHES)
def test_two_messages_share_bytes_only_if_they_are_equal(one: Branch, two: Branch) -> None:
    assert (codec.encode(one) == codec.encode(two)) == (one == two)


@given(PLAIN)
def test_every_plain_value_comes_back(value: object) -> None:
    assert codec.loads(codec.dumps(value)) == value


@given(PARTS, PARTS)
def test_framing_is_injective(one: list[bytes], two: list[bytes]) -> None:
    assert (framed(*one) == framed(*two)) == (one == two)


@given(PARTS, st.integers(0, 12))
def test_moving_a_border_changes_the_hash(parts: list[bytes], at: int) -> None:
    joined = b"".join(parts)
    resplit = [joined[:at], joined[at:]]
    assert (tagged_hash(b"t\0", *parts) == tagged_hash(b"t\0", *resplit)) == (parts == resplit)
