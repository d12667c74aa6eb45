"""Fair comparisons: ours and the peer's take turns, and the median of the pairs' ratios counts.

Whatever slows the machine for a moment slows both halves of a pair. Garbage collection is off
while a half is timed.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The medians of many interleaved pairs, in seconds a call."""

    ours: float
    peer: float
    ratio: float  # median of peer / ours: above 1 we are faster

    def row(self, what: str, *, peer: str, aim: str = "") -> dict[str, str]:
        """A row of the table."""
        return {
            "what": what,
            "ours": duration(self.ours),
            "peer": f"{duration(self.peer)} ({peer})",
            "peer / ours": f"{self.ratio:.2f}",
            "aim": aim,
        }


def compare(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    pairs: int = 21,
    loops: tuple[int, int] = (1, 1),
) -> Pairs:
    """Time `loops` calls of ours and the peer's in turn, `pairs` times over, after one warm-up."""
    timed(ours, 1)
    timed(peer, 1)
    first: list[float] = []
    second: list[float] = []
    for turn in range(pairs):
        if turn % 2:  # who begins changes from pair to pair
            second.append(timed(peer, loops[1]))
            first.append(timed(ours, loops[0]))
        else:
            first.append(timed(ours, loops[0]))
            second.append(timed(peer, loops[1]))
    ratios = [theirs / mine for mine, theirs in zip(first, second, strict=True)]
    return Pairs(
        ours=statistics.median(first),
        peer=statistics.median(second),
        ratio=statistics.median(ratios),
    )


def timed(call: Callable[[], object], loops: int) -> float:
    """Seconds a call, over `loops` calls."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(loops):
            call()
        return (time.perf_counter() - start) / loops
    finally:
        if enabled:
            gc.enable()


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
