"""Shamir: every quorum rebuilds, and m − 1 fragments fit every secret there is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import Replay
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.schemes import shamir
from vectors import reference_gf256 as reference

index_sets = st.lists(st.integers(1, 255).map(HolderIndex), min_size=2, max_size=9, unique=True)


@pytest.mark.requirement("C3")
@pytest.mark.requirement("C12")
@given(data=st.data(), indices=index_sets, secret=st.binary(min_size=1, max_size=80))
def test_any_quorum_rebuilds_the_secret(
    data: st.DataObject, indices: list[HolderIndex], secret: bytes
) -> None:
    threshold = data.draw(st.integers(2, len(indices)))
    fragments = shamir.split(
        Secret(secret),
        threshold=threshold,
        indices=indices,
        randomness=SeededRandomness(data.draw(st.integers(0, 2**32))),
    )
    quorum = data.draw(st.permutations(indices))[:threshold]
    assert shamir.combine({i: fragments[i] for i in quorum}).matches(secret)


def explaining_randomness(seen: dict[HolderIndex, bytes], secret: bytes) -> bytes:
    """The one draw with which `secret` gives the fragments seen (one fewer than the threshold)."""
    columns = [
        reference.through([(0, byte), *((int(i), raw[k]) for i, raw in seen.items())])[1:]
        for k, byte in enumerate(secret)
    ]
    return bytes(byte for row in zip(*columns, strict=True) for byte in row)


def resplit(
    secret: bytes, randomness: bytes, threshold: int, indices: Sequence[HolderIndex]
) -> dict[HolderIndex, bytes]:
    fragments = shamir.split(
        Secret(secret), threshold=threshold, indices=indices, randomness=Replay([randomness])
    )
    return {i: fragment.to_secret_bytes() for i, fragment in fragments.items()}


@pytest.mark.requirement("C12")
@settings(max_examples=40, deadline=None)
@given(data=st.data(), indices=index_sets, size=st.integers(1, 6))
def test_fewer_than_the_threshold_fit_any_secret(
    data: st.DataObject, indices: list[HolderIndex], size: int
) -> None:
    """For any other secret there is a draw that gives exactly the fragments seen."""
    secrets = st.binary(min_size=size, max_size=size)
    threshold = data.draw(st.integers(2, min(5, len(indices))))
    true, other = data.draw(secrets), data.draw(secrets)
    draw = data.draw(st.binary(min_size=size * (threshold - 1), max_size=size * (threshold - 1)))
    fragments = resplit(true, draw, threshold, indices)
    seen = {i: fragments[i] for i in data.draw(st.permutations(indices))[: threshold - 1]}

    assert explaining_randomness(seen, true) == draw  # one draw for each secret: none more likely
    again = resplit(other, explaining_randomness(seen, other), threshold, indices)
    assert {i: again[i] for i in seen} == seen


@pytest.mark.requirement("C12")
@settings(max_examples=10, deadline=None)
@given(
    true=st.integers(0, 255),
    draw=st.binary(min_size=2, max_size=2),
    seen_at=st.lists(st.integers(1, 255).map(HolderIndex), min_size=2, max_size=2, unique=True),
)
def test_two_fragments_of_three_fit_all_256_values_of_a_byte(
    true: int, draw: bytes, seen_at: list[HolderIndex]
) -> None:
    indices = [*seen_at, next(HolderIndex(i) for i in range(1, 4) if i not in seen_at)]
    fragments = resplit(bytes((true,)), draw, 3, indices)
    seen = {i: fragments[i] for i in seen_at}
    last_fragments, draws = set(), set()
    for value in range(256):
        explanation = explaining_randomness(seen, bytes((value,)))
        again = resplit(bytes((value,)), explanation, 3, indices)
        assert {i: again[i] for i in seen} == seen
        last_fragments.add(again[indices[2]])
        draws.add(explanation)
    assert len(draws) == len(last_fragments) == 256
