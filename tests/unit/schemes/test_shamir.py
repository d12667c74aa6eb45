"""Shamir's scheme: vectors, every quorum, an independent implementation, refusals."""

from __future__ import annotations

import json
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pyshamir
import pytest

from replay import Replay
from tigertally.base.errors import UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.schemes import shamir

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "shamir.json").read_text())
FIVE = [HolderIndex(i) for i in range(1, 6)]
KEY = bytes(range(100, 132))


def split_key(threshold: int = 3) -> dict[HolderIndex, Secret]:
    return shamir.split(
        Secret(KEY), threshold=threshold, indices=FIVE, randomness=SeededRandomness(threshold)
    )


def combined(fragments: dict[HolderIndex, Secret], indices: tuple[HolderIndex, ...]) -> bytes:
    return shamir.combine({i: fragments[i] for i in indices}).to_secret_bytes()


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_vectors(case: dict[str, Any]) -> None:
    expected = {HolderIndex(int(i)): bytes.fromhex(y) for i, y in case["fragments"].items()}
    fragments = shamir.split(
        Secret(bytes.fromhex(case["secret"])),
        threshold=case["threshold"],
        indices=list(expected),
        randomness=Replay([bytes.fromhex(case["randomness"])]),
    )
    assert {i: f.to_secret_bytes() for i, f in fragments.items()} == expected
    for quorum in combinations(expected, case["threshold"]):
        assert combined(fragments, quorum).hex() == case["secret"]


@pytest.mark.requirement("C12")
@pytest.mark.parametrize("threshold", [2, 3, 4, 5])
def test_any_quorum_in_any_order_gives_the_secret(threshold: int) -> None:
    fragments = split_key(threshold)
    for quorum in permutations(FIVE, threshold):
        assert combined(fragments, quorum) == KEY


@pytest.mark.requirement("C12")
def test_fewer_or_wrong_fragments_do_not_give_the_secret() -> None:
    fragments = split_key(3)
    assert all(combined(fragments, pair) != KEY for pair in combinations(FIVE, 2))
    fragments[FIVE[0]] = Secret(bytes(32))
    assert combined(fragments, (FIVE[0], FIVE[1], FIVE[2])) != KEY
    assert combined(fragments, (FIVE[1], FIVE[2], FIVE[3])) == KEY


@pytest.mark.requirement("C3")
def test_every_holder_has_a_different_fragment() -> None:
    fragments = {f.to_secret_bytes() for f in split_key().values()}
    assert len(fragments) == len(FIVE)


@pytest.mark.requirement("C2")
@pytest.mark.parametrize(
    "secret", [b"\x00", bytes(32), b"\xff" * 64, bytes(range(256)), b"k" * 5000]
)
def test_secrets_of_any_bytes_and_size(secret: bytes) -> None:
    indices = [HolderIndex(i) for i in (1, 77, 255)]
    fragments = shamir.split(
        Secret(secret), threshold=2, indices=indices, randomness=SeededRandomness(5)
    )
    assert all(len(fragment) == len(secret) for fragment in fragments.values())
    assert combined(fragments, (indices[2], indices[0])) == secret


@pytest.mark.requirement("C12")
def test_the_largest_sharing() -> None:
    everybody = [HolderIndex(i) for i in range(1, 256)]
    fragments = shamir.split(
        Secret(KEY), threshold=255, indices=everybody, randomness=SeededRandomness(8)
    )
    assert combined(fragments, tuple(everybody)) == KEY
    assert combined(fragments, tuple(everybody[1:])) != KEY


def test_the_secret_stays_as_it_was() -> None:
    secret = Secret(KEY)
    shamir.split(secret, threshold=2, indices=FIVE, randomness=SeededRandomness(5))
    assert secret.matches(KEY)


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("size", [1, 31, 32, 257])
def test_pyshamir_combines_our_fragments(size: int) -> None:
    """The layout of Vault and pyshamir: our fragment, then x as the last byte."""
    secret = SeededRandomness(size).bytes(size)
    fragments = shamir.split(
        Secret(secret), threshold=3, indices=FIVE, randomness=SeededRandomness(6)
    )
    parts = [bytearray(f.to_secret_bytes() + bytes((i,))) for i, f in fragments.items()]
    for quorum in combinations(parts, 3):
        assert pyshamir.combine(list(quorum)) == secret
    assert pyshamir.combine(parts[:2]) != secret or size == 1


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("threshold", [2, 3, 7])
def test_we_combine_fragments_of_pyshamir(threshold: int) -> None:
    for part_count in (threshold, threshold + 4):
        parts = pyshamir.split(KEY, part_count, threshold)
        fragments = {HolderIndex(part[-1]): Secret(bytes(part[:-1])) for part in parts}
        quorum = tuple(fragments)[-threshold:]
        assert combined(fragments, quorum) == KEY


@pytest.mark.parametrize(
    ("secret", "threshold", "indices"),
    [
        (b"", 2, [1, 2]),
        (b"k", 1, [1, 2]),
        (b"k", 0, [1, 2]),
        (b"k", 3, [1, 2]),
        (b"k", 2, [1, 1]),
        (b"k", 2, [1, 2, 2]),
        (b"k", 2, []),
    ],
)
def test_splits_that_make_no_sense(secret: bytes, threshold: int, indices: list[int]) -> None:
    with pytest.raises(UsageError):
        shamir.split(
            Secret(secret),
            threshold=threshold,
            indices=[HolderIndex(i) for i in indices],
            randomness=SeededRandomness(1),
        )


@pytest.mark.parametrize("fragments", [{}, {1: b"a"}, {1: b"", 2: b""}, {1: b"a", 2: b"bc"}])
def test_combinations_that_make_no_sense(fragments: dict[int, bytes]) -> None:
    with pytest.raises(UsageError):
        shamir.combine({HolderIndex(i): Secret(raw) for i, raw in fragments.items()})
