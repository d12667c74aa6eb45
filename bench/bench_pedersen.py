"""Pedersen sharing against the scalar multiplications it cannot do without.

CPU time, in pairs. The peer is bare libsodium: as many multiplications of the base and of other
points as the formulas have, called with buffers made before, and nothing else. A multiplication of
a commitment by a small public index counts as one, although it takes a few additions. Aim: at most
1.3 times. Above 20 holders the scalars' own arithmetic shows, which grows with m times n.
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
    """Seconds of CPU a call."""
    start = time.process_time()
    for _ in range(loops):
        call()
    return (time.process_time() - start) / loops


def row(
    name: str,
    call: Callable[[], object],
    base: int,
    other: int,
    *,
    note: str = "",
    pairs: int = PAIRS,
) -> dict[str, Any]:
    """Ours and the counted multiplications take turns; the ratio is ours / counted."""
    peer = multiplications(base, other)
    call(), peer()
    loops = max(1, 120 // (base + other))
    took = [(seconds(call, loops), seconds(peer, loops)) for _ in range(pairs)]
    return {
        "name": name,
        "ours": round(statistics.median(a for a, _ in took) * 1e6, 1),
        "peer": round(statistics.median(b for _, b in took) * 1e6, 1),
        "ratio": round(statistics.median(a / b for a, b in took), 2),
        "unit": "µs CPU",
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

    def verify_one() -> object:
        return verify_fragment(dealt.commitments, dealt.fragments[-1])

    def combine_anew() -> object:
        polynomial.weights_scalar.cache_clear()
        polynomial.weights_over_integers.cache_clear()
        return pedersen.reconstruct(dealt.commitments, quorum)

    size = f"{m} of {n}"
    return [
        row(f"deal, {size}", deal, m, m),
        row(f"verify the last fragment, {size}", verify_one, 1, m, note=BY_INDEX),
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

    return [row(f"joint generation, one holder, {m} of {n}", receive, 1, m, note=BY_INDEX)]


def reshare(old: tuple[int, int], new: tuple[int, int], pairs: int = PAIRS) -> Rows:
    """What one donor does, and what one new holder does, between two sharings (m, n)."""
    (m, n), (m2, n2) = old, new
    first = pedersen.deal(threshold=m, receivers=indices(n), randomness=RANDOMNESS)
    receivers, donors = indices(n2), first.fragments[:n:2] if n >= 2 * m - 1 else first.fragments
    donors = donors[:m]

    def donate(fragment: pedersen.Fragment) -> pedersen.Dealt:
        held = verify_fragment(first.commitments, fragment)
        return resharing.deal_for_reshare(
            held, threshold=m2, receivers=receivers, randomness=RANDOMNESS
        )

    donated = {fragment.index: donate(fragment) for fragment in donors}

    def receive() -> object:
        commitments = resharing.combine_reshared_commitments(
            {donor: dealt.commitments for donor, dealt in donated.items()}
        )
        resharing.check_unchanged(first.commitments, commitments)
        pieces = {donor: dealt.fragments[-1] for donor, dealt in donated.items()}
        combined = resharing.combine_reshared_fragments(receivers[-1], pieces)
        return verify_fragment(commitments, combined)

    # a donor: 1 + 1 and m - 1 by its index to check its fragment, m2 - 1 new commitments of 1 + 1;
    # a new holder: m of each of m2 columns, then 1 + 1 and m2 - 1 by its index
    size = f"({m}, {n}) to ({m2}, {n2})"
    return [
        row(
            f"reshare {size}, one old holder",
            lambda: donate(donors[-1]),
            m2,
            m2 + m - 1,
            note=BY_INDEX,
            pairs=pairs,
        ),
        row(
            f"reshare {size}, one new holder",
            receive,
            1,
            m * m2 + m2,
            note=BY_INDEX,
            pairs=pairs,
        ),
    ]


def run() -> Rows:
    """One row a measurement."""
    rows = [*sharing(3, 5), *sharing(5, 9), *sharing(11, 20), *sharing(51, 100), *joint(3, 5)]
    rows += reshare((3, 5), (4, 7))
    for n in (10, 20, 50, 100):
        m = n // 2 + 1
        rows += reshare((m, n), (m, n), pairs=5)
    return rows


if __name__ == "__main__":
    for line in run():
        print(line)
