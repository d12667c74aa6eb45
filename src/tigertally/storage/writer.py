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
        me = threading.get_ident()
        if self._owner == me:
            raise UsageError("this thread has a transaction open: pass it on, do not open another")
        if not self._lock.acquire(timeout=self._wait):
            raise Unavailable("another thread has been writing to the store for too long")
        self._owner = me
        try:
            yield
        finally:
            self._owner = None
            self._lock.release()
