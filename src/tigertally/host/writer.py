"""The one thread that writes: shared transactions, and memory that follows each commit.

What arrives while the thread is busy shares the next transaction, and so one flush to the disk; an
answer is given only after the commit. What is decided is in memory only once the store has it, and
then in the very next statement: whatever comes after that may fail.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from tigertally.base.errors import Corrupt, TigertallyError, Unavailable, bare
from tigertally.crypto.signatures import VerifyKey
from tigertally.host.alarms import Alarms
from tigertally.host.desk import Desk, KeepChanges
from tigertally.host.queue import Queue
from tigertally.storage.store import Store, Transaction
from tigertally.transport.door import Standing

T = TypeVar("T")
D = TypeVar("D", bound=Desk)
M = TypeVar("M")

MARKS = "writer"  # plain: one row, written with whatever memory must follow
_MARK = b"mark"
_MARK_BYTES = 16

_AFTERWARDS = "after a commit"
_LOOKS = 3  # at the disk after a commit that failed, before it counts as one that cannot be read

log = logging.getLogger("tigertally.daemon")


class MemoryParted(Unavailable):
    """Nobody can say whether the disk has what memory lacks: the process must end."""


@dataclass(frozen=True, slots=True)
class _Asked(Generic[D]):
    """Something that waits for the writer thread."""

    work: Callable[[D], Any]
    future: asyncio.Future[_Done]
    background: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """How it went. `kept`: its changes are in the transaction, even if there is an error."""

    result: Any = None
    error: Exception | None = None
    kept: bool = False
    woken: frozenset[VerifyKey] = frozenset()
    waiting: frozenset[str] = frozenset()


def _carried_out(work: Callable[[D], Any], desk: D) -> _Done:
    try:
        with desk.plain.nested():
            try:
                result = work(desk)
            except KeepChanges as keep:
                return _Done(error=bare(keep.error), kept=True, woken=frozenset(desk.woken))
    except Corrupt as damage:
        desk.damaged.append(damage)
        return _Done(error=bare(damage))
    except TigertallyError as error:
        return _Done(error=bare(error))
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer to this one alone
        return _Done(error=error)
    return _Done(result=result, kept=True, woken=frozenset(desk.woken))


class Writer(Generic[D, M]):
    """Carries out work on desks, one after the other, and keeps `memory` as the store has it.

    Args:
        store: nobody else writes to it while this one lives.
        memory: what is kept in memory of the store as it is now; replaced, never changed.
        open_desk: makes the desk of one request in an open transaction.
        keep: what memory becomes by a request; the same object where nothing changes.
        closing: looks at a transaction before it commits, with the damaged rows that were come
            across in it; memory then, and the background work that waits.
        committed: tidies up after memory has changed (before, after). It may fail.
        wake: on the event loop, after the commit: whom to wake, and what work waits.
        alarms: counts what fails here.
    """

    def __init__(
        self,
        store: Store,
        memory: M,
        *,
        open_desk: Callable[[Transaction, M], D],
        keep: Callable[[D, M], M],
        closing: Callable[[D, M, Sequence[Corrupt]], tuple[M, frozenset[str]]],
        committed: Callable[[M, M], None] | None = None,
        wake: Callable[[frozenset[VerifyKey], frozenset[str]], None],
        alarms: Alarms,
    ) -> None:
        self._store = store
        self.memory = memory
        self._open_desk = open_desk
        self._keep = keep
        self._closing = closing
        self._committed = committed
        self._wake = wake
        self._alarms = alarms
        alarms.expect(_AFTERWARDS)
        self.thread: Executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._queue: Queue[_Asked[D]] = Queue()
        self._drain: asyncio.Task[None] | None = None
        self.parted = asyncio.Event()
        self._fatal: MemoryParted | None = None

    async def run(
        self,
        work: Callable[[D], T],
        *,
        background: bool = False,
        standing: Standing = Standing.HOLDER,
        key: bytes = b"",
    ) -> T:
        """Do one thing on the writer thread, all or nothing; then tell whom it concerns.

        Args:
            work: what to do on its desk.
            background: it is background work's own, which must not wake itself for ever.
            standing, key: of who asks for it, by which it waits for its turn.
        """
        asked = _Asked(work, asyncio.get_running_loop().create_future(), background)
        self._queue.put(asked, standing=standing, key=key)
        if self._drain is None:
            self._drain = asyncio.create_task(self._work_off())
        done = await asked.future
        del asked
        if done.error is None:
            result: T = done.result
            return result
        try:
            raise done.error
        finally:
            del (
                done
            )  # as `asked` above: else this frame held the error, whose traceback holds this frame

    async def _work_off(self) -> None:
        """Everything in the queue, in order, until it is empty."""
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch = [asked for asked in self._queue.take() if not asked.future.done()]
                try:
                    done = await loop.run_in_executor(self.thread, self._transact, batch)
                except Exception as error:  # noqa: BLE001  nothing of it was committed
                    done = [_Done(error=error) for _ in batch]
                    if self._fatal is not None:
                        self.parted.set()
                for asked, one in zip(batch, done, strict=True):
                    self._answer(asked, one)
        finally:
            self._drain = None

    def _answer(self, asked: _Asked[D], done: _Done) -> None:
        self._wake(done.woken, frozenset() if asked.background else done.waiting)
        if not asked.future.done():  # else whoever asked is gone
            asked.future.set_result(done)

    def _transact(self, batch: Sequence[_Asked[D]]) -> list[_Done]:
        """One transaction; what fails in it is taken back alone."""
        self.check()
        before, staged = self.memory, None
        try:
            with self._store.transaction() as tx:
                done, after = self._carried_out(tx, batch, before)
                staged = after, self._marked(tx) if after is not before else b""
            # The very next statement after the commit. Put nothing in between: what fails there
            # leaves a memory of yesterday, whose barrier key seals rows that nobody opens again.
            self.memory = after
        except Exception as error:
            if staged is None:  # the block itself failed: nothing was committed
                raise
            self._settle(*staged, error)
        if self.memory is not before:
            self._tidy_up(before)
        return done

    def _carried_out(
        self, tx: Transaction, batch: Sequence[_Asked[D]], memory: M
    ) -> tuple[list[_Done], M]:
        done: list[_Done] = []
        damaged: list[Corrupt] = []
        for asked in batch:
            desk = self._open_desk(tx, memory)
            done.append(_carried_out(asked.work, desk))
            damaged += [bare(one) for one in desk.damaged]
            if done[-1].kept:
                memory = self._keep(desk, memory)
        memory, waiting = self._closing(self._open_desk(tx, memory), memory, damaged)
        return [replace(one, waiting=waiting) for one in done], memory

    def _marked(self, tx: Transaction) -> bytes:
        """A mark by which `_settle` recognises this transaction on the disk."""
        mark = os.urandom(_MARK_BYTES)
        tx.put(MARKS, _MARK, mark)
        return mark

    def _settle(self, after: M, mark: bytes, error: Exception) -> None:
        """After a commit that raised: let memory follow what is on the disk, or end.

        Where the last write or flush of a commit fails, SQLite takes the transaction back: its
        pages may stand in the write-ahead log, but the index of the log, which all connections
        read by, does not name them, and the next commit writes over them. So what a reader sees
        now is what counts while we live, and memory follows that. Should the process die before
        the next commit, recovery may find those pages whole and take them: then the transaction
        was made after all, as a whole, and the next start reads it. Nobody was told that it was
        not: `Unavailable` promises nothing, and what was signed in between are beginnings of the
        log as it then is.

        Raises:
            MemoryParted: the disk cannot be read.
            Exception: `error`, where the transaction is not there.
        """
        if not mark:  # nothing in memory depends on it
            raise error
        there: bytes | None = None
        for attempt in range(_LOOKS):
            try:
                with self._store.reading() as reader:
                    there = reader.get(MARKS, _MARK)
                break
            except Exception as unreadable:  # noqa: BLE001  memory itself may be short
                if attempt + 1 == _LOOKS:
                    self._fatal = MemoryParted(f"memory and disk may differ: {unreadable}")
                    log.critical("%s: this process ends", self._fatal)
                    raise self._fatal from error
        if there != mark:
            raise error
        self.memory = after

    def _tidy_up(self, before: M) -> None:
        """What follows a change of memory; none of it can undo what was committed."""
        try:
            if self._committed is not None:
                self._committed(before, self.memory)
        except Exception as error:  # noqa: BLE001  the change itself is done
            self._alarms.fault(_AFTERWARDS, error)

    def check(self) -> None:
        """Raise `MemoryParted` once memory and disk may differ; from then on nothing is done."""
        if self._fatal is not None:
            raise bare(self._fatal)

    def close(self) -> None:
        """End the thread, once it has done what it is at."""
        self.thread.shutdown(wait=True)
