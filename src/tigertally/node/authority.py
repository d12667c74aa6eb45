"""The authority as one object: requests in, answers out; one thread writes.

Handlers are synchronous functions on a `Desk`; they run one after the other on the writer thread
(ADR 0003), so there is never a question which of two requests came first. What they decide is in
memory (chain, barrier) only after the store has committed it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tigertally.audit.log import AuditLog
from tigertally.base.clock import Clock
from tigertally.base.errors import TigertallyError, bare
from tigertally.base.limits import LONG_POLL_SECONDS
from tigertally.base.randomness import Randomness
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.node.news import News
from tigertally.node.routes import Codec, Route, handler_of
from tigertally.node.wiring import AuthorityServices
from tigertally.quorum import messages
from tigertally.quorum.admission import get_settings
from tigertally.quorum.card import domain_of, open_card
from tigertally.quorum.chain import Chain
from tigertally.quorum.desk import Barrier, Desk, KeepChanges, holder_in, member_in, roster_of
from tigertally.quorum.messages import NewsReply, NewsRequest
from tigertally.quorum.restoring import current_origin
from tigertally.quorum.rows import load_chain
from tigertally.storage.store import Store, Transaction
from tigertally.transport.channel import Handler
from tigertally.transport.door import Door, Standing

T = TypeVar("T")

_TIDY_SECONDS = 60.0
_MOST_AT_ONCE = 64  # requests in one transaction


@dataclass(frozen=True, slots=True)
class _Asked:
    """Something that waits for the writer thread."""

    work: Callable[[Desk], Any]
    future: asyncio.Future[_Done]
    background: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """How it went. `kept`: its changes are in the transaction, even if there is an error."""

    result: Any = None
    error: Exception | None = None
    kept: bool = False
    woken: frozenset[VerifyKey] = frozenset()
    waiting_jobs: bool = False


def _carried_out(work: Callable[[Desk], Any], desk: Desk) -> _Done:
    try:
        with desk.plain.nested():
            try:
                result = work(desk)
            except KeepChanges as keep:
                return _Done(error=bare(keep.error), kept=True)
    except TigertallyError as error:
        return _Done(error=bare(error))
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer to this one alone
        return _Done(error=error)
    return _Done(result=result, kept=True, woken=frozenset(desk.woken))


class Authority:
    """One custody domain's server, apart from its sockets.

    Args:
        store: its plain store; sealed rows go through the barrier.
        key, wrapping_key: its identity.
        services: handlers and background work, from `node/wiring`.
    """

    def __init__(
        self,
        store: Store,
        *,
        key: SigningKey,
        wrapping_key: PrivateKey,
        services: AuthorityServices,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._key = key
        self._wrapping_key = wrapping_key
        self._services = services
        self._clock = clock
        self._randomness = randomness
        self._barrier: Barrier | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._queue: list[_Asked] = []
        self._drain: asyncio.Task[None] | None = None
        self._codec = Codec()
        self._news = News()
        self.wake_worker = asyncio.Event()
        with store.reading() as reader:
            settings = get_settings(reader)
            self._chain: Chain | None = load_chain(reader, key.public)
            origin = current_origin(reader, domain_of(settings.card))
        self._card = open_card(settings.card)
        self._log = AuditLog(origin, key)

    @property
    def chain(self) -> Chain | None:
        """The rosters as of the last commit."""
        return self._chain

    def standing(self, key: VerifyKey) -> Standing:
        """What this key is in the current roster. Used by the transport's limits."""
        roster = None if self._chain is None else self._chain.current
        if roster is not None and roster.holder_of(key) is not None:
            return Standing.HOLDER
        if roster is not None and roster.requester_of(key) is not None:
            return Standing.REQUESTER
        return Standing.STRANGER

    def _admit(self, door: Door[Any, Any], peer: VerifyKey) -> Standing:
        """The standing of a peer for whom this door is; raises what a desk would tell others."""
        if door.who is not Standing.STRANGER:
            roster = roster_of(self._chain)
            if door.who is Standing.HOLDER:
                holder_in(roster, peer)
            else:
                member_in(roster, peer, authority=self._key.public)
        return self.standing(peer)

    @property
    def locked(self) -> bool:
        """Is there a domain, and no barrier key in memory?"""
        return self._chain is not None and self._barrier is None

    @property
    def unlock_failures(self) -> int:
        """Failed attempts to unlock since the start, wrong passphrases of holders among them."""
        return self._services.lock.failures

    def handlers(self) -> Mapping[str, Handler]:
        """Every door with its handler, for a server or for a memory network."""
        found: dict[str, Handler] = {
            door: handler_of(door, self._on_desk(route), self._codec, self._admit)
            for door, route in self._services.routes().items()
        }
        found[messages.NEWS] = handler_of(messages.NEWS, self._tell_news, self._codec, self._admit)
        return found

    def _on_desk(self, route: Route) -> Callable[[Any, VerifyKey], Awaitable[Any]]:
        """The work of a route, done on the writer thread."""
        return lambda question, peer: self.run(lambda desk: route(desk, question, peer))

    async def run(self, work: Callable[[Desk], T], *, background: bool = False) -> T:
        """Do one thing on the writer thread, all or nothing; then tell whom it concerns.

        What arrives while the thread is busy shares the next transaction, and so one flush to the
        disk; an answer is given only after the commit.

        Args:
            background: it is the worker's own, which must not wake itself for ever.
        """
        done = await self._queued(work, background)
        if done.error is None:
            result: T = done.result
            return result
        try:
            raise done.error
        finally:
            del done  # else this frame held the error, whose traceback holds this frame

    def _queued(self, work: Callable[[Desk], Any], background: bool) -> asyncio.Future[_Done]:
        future: asyncio.Future[_Done] = asyncio.get_running_loop().create_future()
        self._queue.append(_Asked(work, future, background))
        if self._drain is None:
            self._drain = asyncio.create_task(self._work_off())
        return future

    async def _work_off(self) -> None:
        """Everything in the queue, in order, until it is empty."""
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch, self._queue = self._queue[:_MOST_AT_ONCE], self._queue[_MOST_AT_ONCE:]
                batch = [asked for asked in batch if not asked.future.done()]
                try:
                    done = await loop.run_in_executor(self._writer, self._transact, batch)
                except Exception as error:  # noqa: BLE001  nothing of it was committed
                    done = [_Done(error=error) for _ in batch]
                for asked, one in zip(batch, done, strict=True):
                    self._tell(asked, one)
        finally:
            self._drain = None

    def _tell(self, asked: _Asked, done: _Done) -> None:
        if done.woken:
            self._news.wake(done.woken)
        if done.waiting_jobs and not asked.background:
            self.wake_worker.set()
        if not asked.future.done():  # else whoever asked is gone
            asked.future.set_result(done)

    def _transact(self, batch: list[_Asked]) -> list[_Done]:
        """One transaction; what fails in it is taken back alone."""
        done = []
        with self._store.transaction() as tx:
            chain, barrier = self._chain, self._barrier
            for asked in batch:
                desk = self._desk(tx, chain, barrier)
                done.append(_carried_out(asked.work, desk))
                if done[-1].kept:
                    chain, barrier = desk.chain, desk.barrier
            last = self._desk(tx, chain, barrier)
            waiting = barrier is not None and self._services.has_jobs(last)
        if self._barrier is not None and barrier is not self._barrier:
            self._barrier.key.wipe()
            self._store.scrub()  # what was sealed under the old key goes
        self._chain, self._barrier = chain, barrier
        return [replace(one, waiting_jobs=waiting) for one in done]

    def _desk(self, tx: Transaction, chain: Chain | None, barrier: Barrier | None) -> Desk:
        return Desk(
            plain=tx,
            chain=chain,
            barrier=barrier,
            now=self._clock.now(),
            randomness=self._randomness,
            key=self._key,
            wrapping_key=self._wrapping_key,
            card=self._card,
            log=self._log,
        )

    async def _tell_news(self, asked: NewsRequest, peer: VerifyKey) -> NewsReply:
        """Long poll: answer when something for this member is newer than it has seen."""
        wait = min(asked.wait, LONG_POLL_SECONDS)
        return NewsReply(seen=await self._news.after(peer, asked.seen, wait))

    async def start(self) -> None:
        """Write down that the authority has started (and is locked, if there is a domain)."""
        await self.run(
            lambda desk: desk.record(
                "authority.started",
                actor="authority",
                summary="started" if desk.chain is None else "started, locked",
            )
        )

    async def work(self) -> None:
        """Background work until cancelled: the one-shot child's jobs, and tidying up."""
        tidied = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            self.wake_worker.clear()
            if self._barrier is not None:
                tidy = clock() - tidied >= _TIDY_SECONDS
                await self._services.work(self, tidy=tidy)
                tidied = clock() if tidy else tidied
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`: Python 3.11's may swallow the cancellation that ends this task.
                async with asyncio.timeout(_TIDY_SECONDS):
                    await self.wake_worker.wait()

    def end_waiting(self) -> None:
        """Answer every long poll, so that the server can stop at once."""
        self._news.end()

    def close(self) -> None:
        """End the threads and forget the barrier key."""
        self._writer.shutdown(wait=True)
        self._codec.close()
        if self._barrier is not None:
            self._barrier.key.wipe()
        self._store.close()
