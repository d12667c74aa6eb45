"""Does the time of a call depend on a secret? Welch's t-test over two kinds of input.

Method: Reparaz, Balasch, Verbauwhede, "Dude, is my code constant time?" (2017). The two kinds take
turns in random order; long outliers, which the machine makes, are cropped at several percentiles
of all samples together, and the worst |t| counts. |t| above 4.5 means: it does.
"""

from __future__ import annotations

import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

LIMIT = 4.5
_KEPT = (0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def worst_t(
    call: Callable[[T], object],
    prepared: Callable[[bytes], T],
    first: Sequence[bytes],
    second: Sequence[bytes],
    samples: int,
) -> float:
    """The largest |t| over all croppings, of `samples` timings of each kind.

    Args:
        call: what is timed.
        prepared: makes its argument, just before and not timed. It must put both kinds in the same
            place: where a value lies in memory can weigh more than what it is.
        first, second: 128 inputs of each kind.
    """
    kinds = (first, second)
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.perf_counter_ns
    gc.disable()
    try:
        while min(map(len, times)) < samples:
            for byte in os.urandom(4096):
                kind, place = byte & 1, byte >> 1
                value = prepared(kinds[kind][place])
                start = clock()
                call(value)
                times[kind].append(clock() - start)
    finally:
        gc.enable()
    everything = sorted(times[0] + times[1])
    worst = 0.0
    for kept in _KEPT:
        limit = everything[int(kept * (len(everything) - 1))]
        worst = max(worst, abs(welch(*([t for t in kind if t <= limit] for kind in times))))
    return worst


def welch(first: Sequence[int], second: Sequence[int]) -> float:
    """Welch's t statistic; where nothing spreads, 0 for equal means and infinity for others."""
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    difference = statistics.fmean(first) - statistics.fmean(second)
    if not spread:  # a coarse clock
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / math.sqrt(spread)
