"""What goes wrong behind everybody's back, for `/metrics`, `/readyz` and the log.

Background work never ends the daemon that it serves: it says here what happened, and goes on.
"""

from __future__ import annotations

import logging
from collections import Counter

from tigertally.base.errors import Corrupt, TigertallyError

log = logging.getLogger("tigertally.daemon")


class Alarms:
    """Counts of failures by the work that failed, and why the daemon is not ready, if it is not.

    Attributes:
        failures: how often each work could not be done and was put off.
        faults: how often each has ended in an exception that is no error of ours to expect.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._corrupt: dict[str, str] = {}
        self._said: dict[str, str] = {}

    @property
    def unready(self) -> str:
        """Why the daemon cannot do all of its work; empty where it can."""
        return "; ".join(f"{what}: {why}" for what, why in sorted(self._corrupt.items()))

    def expect(self, what: str) -> None:
        """Let this work be counted from 0, so that `/metrics` shows it before it first fails."""
        self.failures[what] += 0
        self.faults[what] += 0

    def put_off(self, what: str, error: TigertallyError) -> None:
        """Something could not be done now and will be tried again. Logged once per reason."""
        self.failures[what] += 1
        if self._is_new(what, str(error)):
            log.warning("%s is put off: %s", what, error)

    def corrupt(self, what: str, error: Corrupt) -> None:
        """What this work rests on cannot be read: not ready until it works again."""
        self.failures[what] += 1
        self._corrupt[what] = str(error)
        if self._is_new(what, str(error)):
            log.error("%s cannot be done: %s", what, error)

    def fault(self, what: str, error: BaseException) -> None:
        """A fault of this program."""
        self.faults[what] += 1
        log.error("a fault of this program, in %s", what, exc_info=error)

    def well(self, what: str) -> None:
        """It has worked."""
        self._corrupt.pop(what, None)
        self._said.pop(what, None)

    def _is_new(self, what: str, why: str) -> bool:
        new, self._said[what] = self._said.get(what) != why, why
        return new
