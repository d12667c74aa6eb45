"""Answers kept for a while, so that a repeated request is not carried out twice.

No I/O: time comes in. An idempotency key (draft-ietf-httpapi-idempotency-key-header) belongs to
the party that used it, and to one path and body.

**Security:** a help for retries, not a protection against replay: it is in memory, bounded, and
gone after a restart. What must happen once only is made so by its message (a spent proposal id).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tigertally.base.errors import UsageError
from tigertally.transport.answers import Answer

ENTRY_BYTES = 512  # what an execution takes in memory beside its answer


@dataclass(slots=True)
class Execution:
    """One request in work or answered. The first arrival settles it, later ones wait for it."""

    party: bytes
    key: bytes
    digest: bytes
    started: float
    answer: Answer | None = None
    waiters: list[asyncio.Future[Answer]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return ENTRY_BYTES + (0 if self.answer is None else len(self.answer.body))

    async def wait(self) -> Answer:
        """The answer, now or when the first arrival has it."""
        if self.answer is not None:
            return self.answer
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return await waiter


@dataclass(slots=True)
class _Kept:
    size: int = 0
    executions: dict[bytes, Execution] = field(default_factory=dict)


class ReplayStore:
    """Executions by party and key, oldest first, within bounds of age, number and bytes."""

    def __init__(
        self, *, seconds: float, max_each: int, max_bytes_each: int, max_bytes: int
    ) -> None:
        self._seconds = seconds
        self._max_each = max_each
        self._max_bytes_each = max_bytes_each
        self._max_bytes = max_bytes
        self.size = 0  # bytes of all that is kept
        self._parties: dict[bytes, _Kept] = {}

    def begin(
        self, party: bytes, key: bytes, digest: bytes, *, now: float
    ) -> tuple[Execution, bool]:
        """The execution of this key, and whether it is new (then the caller carries it out).

        Raises:
            UsageError: the key was used for another path or body.
        """
        kept = self._parties.get(party) or _Kept()
        execution = kept.executions.get(key)
        if execution is not None and now - execution.started < self._seconds:
            if execution.digest != digest:
                raise UsageError("an idempotency key is for one path and body")
            return execution, False
        self._drop_old(kept, now)
        execution = kept.executions[key] = Execution(party, key, digest, now)
        self._parties[party] = kept
        self._grow(kept, execution.size)
        return execution, True

    def settle(self, execution: Execution, answer: Answer) -> None:
        """Keep the answer and hand it to whoever waits."""
        kept = self._hand_out(execution, answer)
        if kept is None:  # meanwhile dropped for newer ones
            return
        self._grow(kept, len(answer.body))

    def forget(self, execution: Execution, answer: Answer) -> None:
        """Hand `answer` to whoever waits but keep nothing: it was not carried out."""
        kept = self._hand_out(execution, answer)
        if kept is not None:
            self._drop(kept, execution, ENTRY_BYTES)

    def _grow(self, kept: _Kept, size: int) -> None:
        kept.size += size
        self.size += size
        while self.size > self._max_bytes:  # whoever keeps most loses first
            self._drop_first(max(self._parties.values(), key=lambda other: other.size))

    def _hand_out(self, execution: Execution, answer: Answer) -> _Kept | None:
        execution.answer = answer
        for waiter in execution.waiters:
            if not waiter.done():
                waiter.set_result(answer)
        execution.waiters.clear()
        kept = self._parties.get(execution.party)
        if kept is None or kept.executions.get(execution.key) is not execution:
            return None
        return kept

    def sweep(self, *, now: float) -> None:
        """Drop what is too old, of every party; to be called now and then."""
        for kept in list(self._parties.values()):
            self._drop_old(kept, now)

    def __len__(self) -> int:
        return sum(len(kept.executions) for kept in self._parties.values())

    def _drop_old(self, kept: _Kept, now: float) -> None:
        while kept.executions:
            oldest = next(iter(kept.executions.values()))
            young = now - oldest.started < self._seconds
            few = len(kept.executions) < self._max_each and kept.size <= self._max_bytes_each
            if young and few:
                return
            self._drop_first(kept)

    def _drop_first(self, kept: _Kept) -> None:
        first = next(iter(kept.executions.values()))
        self._drop(kept, first, first.size)

    def _drop(self, kept: _Kept, execution: Execution, size: int) -> None:
        del kept.executions[execution.key]
        kept.size -= size
        self.size -= size
        if not kept.executions:
            self._parties.pop(execution.party, None)
