"""Walks over many cases: a sample by a printed seed in the suite, all of them in `make walk`.

    @pytest.mark.walk
    @pytest.mark.parametrize("step", sampled(range(400), 20, "remove"))

`TALLY_WALK_SEED=N` repeats the sample of a run that printed N. Tests of hypothesis belong to
`make walk` by themselves; one that sets its own number of examples writes `examples(25)`.
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

WHOLE = os.environ.get("TALLY_WHOLE_WALK") == "1"
# The workers of xdist inherit the environment, so they draw what the first process drew.
SEED = int(os.environ.setdefault("TALLY_WALK_SEED", str(secrets.randbelow(2**32))))

# How many times as many examples `make walk` tries, and how many times as long a test may take.
MORE_EXAMPLES = 40
MORE_TIME = 60


def sampled(items: Iterable[T], most: int, name: str) -> list[T]:
    """All items in a whole walk; else at most `most` of them, in order, by the seed and `name`."""
    every = list(items)
    if WHOLE or len(every) <= most:
        return every
    chosen = random.Random(f"{SEED} {name}").sample(range(len(every)), most)
    return [every[place] for place in sorted(chosen)]


def strides(stride: int, name: str) -> Iterator[int]:
    """Numbers without end, for a walk that finds its end itself: from 1 on in a whole walk.

    Else every `stride`-th, the first of them by the seed and `name`.
    """
    if WHOLE:
        return itertools.count(1)
    return itertools.count(random.Random(f"{SEED} {name}").randint(1, stride), stride)


def examples(number: int) -> int:
    """How many examples hypothesis tries where the suite tries this number."""
    return number * MORE_EXAMPLES if WHOLE else number
