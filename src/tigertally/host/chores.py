"""Chores: repeated background work of a daemon. One that fails holds up no other, nor the daemon.

A daemon whose secrets took people to bring together does not end because a disk was full for a
moment or a row is damaged: ended, it comes back locked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable, Iterable

from tigertally.base.errors import Corrupt, TigertallyError
from tigertally.host.alarms import Alarms

_FIRST_PAUSE = 0.5  # seconds after a failure; doubled up to the longest
LONGEST_PAUSE = 60.0

Step = Callable[[], Awaitable[None]]


class Pauses:
    """When each of several things that have failed may be tried again; each has its own pause."""

    def __init__(self, *, first: float = _FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> None:
        self._first = first
        self._longest = longest
        self._waits: dict[Hashable, tuple[float, float]] = {}  # its pause, and when it is over

    def due(self, what: Hashable, *, now: float) -> bool:
        """May this be tried?"""
        return now >= self._waits.get(what, (0.0, now))[1]

    def failed(self, what: Hashable, *, now: float) -> None:
        """It has failed: the next pause is twice as long."""
        pause = min(2 * self._waits[what][0], self._longest) if what in self._waits else self._first
        self._waits[what] = pause, now + pause

    def keep_only(self, these: Iterable[Hashable]) -> None:
        """Forget all others: they are done, or not wanted any more."""
        left = set(these)
        self._waits = {what: wait for what, wait in self._waits.items() if what in left}

    def next(self) -> float | None:
        """When the first of them is due; None where none waits."""
        return min((until for _, until in self._waits.values()), default=None)


async def keep_up(
    what: str,
    step: Step,
    *,
    alarms: Alarms,
    every: float,
    longest: float = LONGEST_PAUSE,
    wake: asyncio.Event | None = None,
) -> None:
    """Do one chore again and again, until cancelled.

    After a failure it is tried again after a pause that grows, whatever wakes it meanwhile.

    Args:
        what: its name, in the log and in `/metrics`.
        step: does it once.
        alarms: told of every failure.
        every: seconds between two times.
        longest: seconds of the longest pause after a failure.
        wake: does it at once.
    """
    alarms.expect(what)
    wake = wake or asyncio.Event()
    failures = 0
    while True:
        wake.clear()
        try:
            await step()
        except Corrupt as error:
            alarms.corrupt(what, error)
        except TigertallyError as error:
            alarms.put_off(what, error)
        except Exception as error:  # noqa: BLE001  whatever it is, the next time may work
            alarms.fault(what, error)
        else:
            alarms.well(what)
            failures = 0
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`: Python 3.11's may swallow the cancellation that ends this task.
                async with asyncio.timeout(every):
                    await wake.wait()
            continue
        await asyncio.sleep(min(_FIRST_PAUSE * 2**failures, longest))
        failures = min(failures + 1, 32)
