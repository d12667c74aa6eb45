"""Any bytes give a value that encodes to those bytes, or `MalformedMessage`, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tigertally.algebra.ed25519 import Element, Point, Scalar
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import pedersen
from tigertally.schemes.pedersen import Commitments, Fragment, SharedSecret

DEALT = pedersen.deal(
    threshold=3,
    receivers=[HolderIndex(i) for i in (1, 2, 3)],
    randomness=SeededRandomness("fuzz"),
)
GOOD = [
    DEALT.commitments.to_bytes(),
    DEALT.commitments.to_bytes()[:32],
    DEALT.fragments[0].to_secret_bytes(),
    DEALT.fragments[0].to_secret_bytes()[:32],
    b"\x01" + bytes(31),
]
PARSERS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "point": (Point, bytes),
    "element": (Element, bytes),
    "scalar": (Scalar.from_secret_bytes, Scalar.to_secret_bytes),
    "commitments": (Commitments.from_bytes, Commitments.to_bytes),
    "fragment": (
        lambda raw: Fragment.from_secret_bytes(HolderIndex(1), raw),
        Fragment.to_secret_bytes,
    ),
    "secret pair": (SharedSecret.from_secret_bytes, SharedSecret.to_secret_bytes),
}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Good bytes with a few changed, cut or appended."""
    raw = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 3))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(raw)))
    return bytes(raw[:cut] if draw(st.booleans()) else raw + draw(st.binary(max_size=3)))


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=300, deadline=None)
@given(raw=st.one_of(damaged(), st.binary(max_size=200), st.sampled_from(GOOD)))
def test_any_bytes(name: str, raw: bytes) -> None:
    parse, write = PARSERS[name]
    try:
        value = parse(raw)
    except MalformedMessage:
        return
    assert write(value) == raw


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_takes_something(name: str) -> None:
    parse, write = PARSERS[name]
    accepted = 0
    for raw in GOOD:
        try:
            accepted += write(parse(raw)) == raw
        except MalformedMessage:
            continue
    assert accepted
