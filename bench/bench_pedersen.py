"""Pedersen sharing against the scalar multiplications it cannot do without.

The peer is bare libsodium: as many multiplications of the base and of other points as the
formulas have, called with buffers made before, and nothing else. A multiplication of a commitment
by a small public index counts as one, although it takes a few additions. Aim: at most 1.3 times.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from nacl._sodium import ffi, lib

from tigertally.algebra import polynomial
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SystemRandomness
from tigertally.schemes import joint_generation, pedersen, resharing
from tigertally.schemes.pedersen import verify_fragment

RANDOMNESS = SystemRandomness()
PAIRS = 15
BY_INDEX = "; ours does those by small public numbers with additions"
Rows = list[dict[str, Any]]


def multiplications(base: int, other: int) -> Callable[[], None]:
    """So many multiplications of the base point and of another, and nothing else."""
    scalar, out = ffi.new("unsigned char[32]"), ffi.new("unsigned char[32]")
    lib.crypto_core_ed25519_scalar_reduce(scalar, os.urandom(64))
    point = bytes(pedersen.GENERATOR)

    def call() -> None:
        for _ in range(base):
            lib.crypto_scalarmult_ed25519_base_noclamp(out, scalar)
        for _ in range(other):
            lib.crypto_scalarmult_ed25519_noclamp(out, scalar, point)

    return call


def seconds(call: Callable[[], object], loops: int) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return (time.perf_counter() - start) / loops


def row(
    name: str, call: Callable[[], object], base: int, other: int, note: str = ""
) -> dict[str, Any]:
    """Ours and the counted multiplications take turns; the ratio is ours / counted."""
    peer = multiplications(base, other)
    call(), peer()
    loops = max(1, 120 // (base + other))
    pairs = [(seconds(call, loops), seconds(peer, loops)) for _ in range(PAIRS)]
    return {
        "name": name,
        "ours": round(statistics.median(a for a, _ in pairs) * 1e6, 1),
        "peer": round(statistics.median(b for _, b in pairs) * 1e6, 1),
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        "unit": "µs",
        "note": f"counted: {base} of the base, {other} of other points{note}",
    }


def indices(n: int) -> list[HolderIndex]:
    return [HolderIndex(i) for i in range(1, n + 1)]


def sharing(m: int, n: int) -> Rows:
    receivers = indices(n)
    dealt = pedersen.deal(threshold=m, receivers=receivers, randomness=RANDOMNESS)
    checked = [verify_fragment(dealt.commitments, f) for f in dealt.fragments]
    quorum = checked[-m:]

    def deal() -> object:
        return pedersen.deal(threshold=m, receivers=receivers, randomness=RANDOMNESS)

    def verify_all() -> None:
        for fragment in dealt.fragments:
            verify_fragment(dealt.commitments, fragment)

    def combine_anew() -> object:
        polynomial.weights_scalar.cache_clear()
        polynomial.weights_over_integers.cache_clear()
        return pedersen.reconstruct(dealt.commitments, quorum)

    size = f"{m} of {n}"
    return [
        row(f"deal, {size}", deal, m, m),
        row(f"verify all {n} fragments, {size}", verify_all, n, n * m, BY_INDEX),
        row(f"combine, weights not cached, {size}", combine_anew, 1, 1),
    ]


def joint(m: int, n: int) -> Rows:
    """One holder's part of a joint generation with m dealers: add up, then check the sum."""
    receivers = indices(n)
    dealings = [
        pedersen.deal(threshold=m, receivers=receivers, randomness=RANDOMNESS) for _ in range(m)
    ]
    pieces = [d.fragments[2] for d in dealings]

    def receive() -> object:
        total = joint_generation.combine_commitments([d.commitments for d in dealings])
        return verify_fragment(total, joint_generation.combine_fragments(receivers[2], pieces))

    return [row(f"joint generation, one holder, {m} of {n}", receive, 1, m, BY_INDEX)]


def reshare() -> Rows:
    """(3, 5) to (4, 7)."""
    old = pedersen.deal(threshold=3, receivers=indices(5), randomness=RANDOMNESS)
    receivers = indices(7)
    held = [verify_fragment(old.commitments, f) for f in old.fragments]

    def donate(place: int = 0) -> pedersen.Dealt:
        return resharing.deal_for_reshare(
            held[place], threshold=4, receivers=receivers, randomness=RANDOMNESS
        )

    donated = {held[place].index: donate(place) for place in (0, 2, 4)}

    def receive() -> object:
        for donor, dealt in donated.items():
            resharing.check_donor(old.commitments, donor, dealt.commitments)
        commitments = resharing.combine_reshared_commitments(
            {donor: dealt.commitments for donor, dealt in donated.items()}
        )
        resharing.check_unchanged(old.commitments, commitments)
        pieces = {donor: dealt.fragments[5] for donor, dealt in donated.items()}
        combined = resharing.combine_reshared_fragments(receivers[5], pieces)
        return verify_fragment(commitments, combined)

    # a new holder: 3 donors · 2 to check them, 3 donors · 4 columns to combine, 1 + 4 to verify
    return [
        row("reshare (3, 5) to (4, 7), one old holder", donate, 4, 4),
        row("reshare (3, 5) to (4, 7), one new holder", receive, 1, 6 + 12 + 4, BY_INDEX),
    ]


def run() -> Rows:
    """One row a measurement."""
    return [
        *sharing(3, 5),
        *sharing(5, 9),
        *sharing(11, 20),
        *sharing(34, 100),
        *joint(3, 5),
        *reshare(),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
