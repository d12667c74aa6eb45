"""An event loop whose clock jumps: waiting takes no time, and always in the same order.

`asyncio.sleep`, `asyncio.timeout` and long polls work unchanged; an hour passes in microseconds.
When nothing is ready to run, the clock jumps to the next timer. Work in threads
(`asyncio.to_thread`) is waited for, and the clock stands still meanwhile. Sockets of the real
world do not belong in such a loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(RuntimeError):
    """Every task waits for something that nobody will ever send."""


class _JumpingSelector(selectors.SelectSelector):
    """Waits for threads only; where it would wait for a timer, the clock moves instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if self.threads and timeout != 0 else 0)
        if ready or timeout == 0 or self.threads:
            return ready
        if timeout is None:
            raise Stuck("every task waits, and no timer is set")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; use it through `run`."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop was made, none of them real."""
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As ever; the clock stands still until `func` is done."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """As ever; asyncio uses a thread for it."""
        self._jumping.threads += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._jumping.threads -= 1

    def _thread_done(self, _: object) -> None:
        self._jumping.threads -= 1


class VirtualClock:
    """A `Clock` that follows the running virtual loop."""

    def __init__(self, start: int = 1_800_000_000) -> None:
        self._start = start

    def now(self) -> int:
        """Unix time in seconds."""
        return self._start + int(asyncio.get_running_loop().time())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, in virtual time.

    Raises:
        Stuck: a deadlock; a real loop would hang.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
