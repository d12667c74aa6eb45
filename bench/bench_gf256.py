"""Shamir over GF(256) against pyshamir.

The scheme as the product uses it: secrets in locked memory go in and come out, checks included;
pyshamir gets plain bytes. Aim: 100 times faster for 32 bytes, 3 of 5.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pyshamir

from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.schemes import shamir

KEY = bytes(range(32))
PAIRS = 15
Rows = list[dict[str, Any]]


def seconds(call: Callable[[], object], loops: int) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return (time.perf_counter() - start) / loops


def pair_up(
    ours: Callable[[], object], peer: Callable[[], object], loops: tuple[int, int]
) -> tuple[float, float, float]:
    """Medians in µs of both, taking turns, and the median of peer / ours."""
    ours(), peer()
    pairs = [(seconds(ours, loops[0]), seconds(peer, loops[1])) for _ in range(PAIRS)]
    return (
        statistics.median(a for a, _ in pairs) * 1e6,
        statistics.median(b for _, b in pairs) * 1e6,
        statistics.median(b / a for a, b in pairs),
    )


def row(name: str, ours: float, peer: float | str, ratio: float | str, note: str) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(ours, 2),
        "peer": round(peer, 1) if isinstance(peer, float) else peer,
        "ratio": round(ratio) if isinstance(ratio, float) else ratio,
        "unit": "µs",
        "note": note,
    }


def against_pyshamir() -> Rows:
    secret, randomness = Secret(KEY), SystemRandomness()
    indices = [HolderIndex(i) for i in range(1, 6)]

    def split() -> dict[HolderIndex, Secret]:
        return shamir.split(secret, threshold=3, indices=indices, randomness=randomness)

    fragments = {i: f for i, f in split().items() if i <= 3}
    parts = pyshamir.split(KEY, 5, 3)[:3]
    assert shamir.combine(fragments).matches(KEY)
    assert pyshamir.combine(parts) == KEY
    note = "32 B, 3 of 5; aim: 100 times faster than pyshamir"
    return [
        row("split", *pair_up(split, lambda: pyshamir.split(KEY, 5, 3), (200, 4)), note),
        row(
            "combine",
            *pair_up(lambda: shamir.combine(fragments), lambda: pyshamir.combine(parts), (200, 1)),
            note,
        ),
    ]


def growth() -> Rows:
    secret, randomness, rows = Secret(KEY), SystemRandomness(), []
    for n in (5, 20, 50, 100, 255):
        threshold = n // 2 + 1
        indices = [HolderIndex(i) for i in range(1, n + 1)]

        split = partial(
            shamir.split, secret, threshold=threshold, indices=indices, randomness=randomness
        )
        fragments = dict(list(split().items())[-threshold:])
        assert shamir.combine(fragments).matches(KEY)
        calls = {"split": split, "combine": partial(shamir.combine, fragments)}
        for name, call in calls.items():
            call()
            loops = max(1, 1000 // n // threshold * 4)
            median = statistics.median(seconds(call, loops) for _ in range(PAIRS)) * 1e6
            rows.append(row(f"{name}, {threshold} of {n}", median, "", "", "32 B, growth"))
    return rows


def run() -> Rows:
    """One row a measurement."""
    return [*against_pyshamir(), *growth()]


if __name__ == "__main__":
    for line in run():
        print(line)
