"""Time as an argument: an interface, so that no protocol step reads a clock by itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Protocol

_LAST: Final = 253_402_300_799  # the last second of the year 9999


def time_text(seconds: int) -> str:
    """A point in time for people: ISO 8601 in UTC, to the second."""
    if not 0 <= seconds <= _LAST:
        return f"{seconds} s"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Clock(Protocol):
    """Unix time in whole seconds."""

    def now(self) -> int:
        """The current Unix time in seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Unix time in seconds."""
        return int(time.time())


class ManualClock:
    """A clock that moves only when told to; for tests and for the in-memory network."""

    def __init__(self, start: int = 1_800_000_000) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def advance(self, seconds: int) -> None:
        """Move time forward by `seconds`."""
        self._now += seconds
