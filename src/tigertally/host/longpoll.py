"""Long polls: one counter per member; `wake` raises it, `after` waits until it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from tigertally.crypto.signatures import VerifyKey


class News:
    """Keep the counters in memory; after a restart everybody looks once."""

    def __init__(self) -> None:
        self._seen: dict[VerifyKey, int] = {}
        self._waiting: dict[VerifyKey, set[asyncio.Event]] = {}
        self._ended = False

    def wake(self, keys: Iterable[VerifyKey]) -> None:
        """Raise the counters of these members: there is something new for them."""
        for key in keys:
            self._seen[key] = self._seen.get(key, 1) + 1
            for event in self._waiting.get(key, ()):
                event.set()

    def end(self) -> None:
        """Let nobody wait any longer: the daemon is about to stop."""
        self._ended = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def after(self, key: VerifyKey, seen: int, wait: float) -> int:
        """Return the counter: at once if it is not `seen`, or when it moves or time is up."""
        if self._seen.get(key, 1) == seen and not self._ended:
            event = asyncio.Event()
            self._waiting.setdefault(key, set()).add(event)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await event.wait()
            finally:
                waiting = self._waiting[key]
                waiting.discard(event)
                if not waiting:
                    del self._waiting[key]
        return self._seen.get(key, 1)
