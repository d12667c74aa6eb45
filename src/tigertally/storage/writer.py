"""One writer at a time within a process. Between processes the database itself takes care."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tigertally.base.errors import Unavailable, UsageError


class WriterLock:
    """Lets one thread write; the others wait their turn.

    Args:
        wait: seconds after which waiting is given up.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._lock = threading.Lock()
        self._owner: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock inside the block.

        Raises:
            UsageError: this thread holds it already; it would wait for itself.
            Unavailable: another thread holds it for longer than `wait`.
        """
        self._check_not_mine()
        if not self._lock.acquire(timeout=self._wait):
            raise Unavailable("another thread has been writing to the store for too long")
        self._owner = threading.get_ident()
        try:
            yield
        finally:
            self._owner = None
            self._lock.release()

    @contextmanager
    def tried(self) -> Iterator[bool]:
        """Hold the lock inside the block if nobody else does; whether it is held.

        Raises:
            UsageError: this thread holds it already.
        """
        self._check_not_mine()
        held = self._lock.acquire(blocking=False)
        if held:
            self._owner = threading.get_ident()
        try:
            yield held
        finally:
            if held:
                self._owner = None
                self._lock.release()

    def _check_not_mine(self) -> None:
        if self._owner == threading.get_ident():
            raise UsageError("this thread has a transaction open: pass it on, do not open another")
