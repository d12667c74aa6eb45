"""The authority as one object: requests in, answers out; one thread writes.

Handlers are synchronous functions on a `Desk`; they run one after the other on the writer thread
(ADR 0003), so there is never a question which of two requests came first. What they decide is in
memory (chain, barrier) only after the store has committed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tigertally.audit.log import AuditLog
from tigertally.base.clock import Clock
from tigertally.base.errors import TigertallyError
from tigertally.base.limits import LONG_POLL_SECONDS
from tigertally.base.randomness import Randomness
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.node.alarms import Alarms
from tigertally.node.chores import Pauses, keep_up
from tigertally.node.news import News
from tigertally.node.routes import Codec, Route, handler_of
from tigertally.node.wiring import AuthorityServices
from tigertally.node.writer import Writer
from tigertally.quorum import messages
from tigertally.quorum.admission import get_settings
from tigertally.quorum.card import domain_of, open_card
from tigertally.quorum.chain import Chain
from tigertally.quorum.desk import Barrier, Desk, holder_in, member_in, roster_of
from tigertally.quorum.messages import NewsReply, NewsRequest
from tigertally.quorum.restoring import current_origin
from tigertally.quorum.rows import load_chain
from tigertally.storage.store import Store, Transaction
from tigertally.transport.channel import Handler
from tigertally.transport.door import Door, Standing

T = TypeVar("T")

_CHORE_SECONDS = 60.0  # between two looks for work that nothing has announced


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """What the authority keeps in memory of what its store says.

    Attributes:
        chain: the verified rosters; None before the first holder.
        barrier: seals the rows; None while locked.
    """

    chain: Chain | None
    barrier: Barrier | None


def _kept(desk: Desk, memory: Memory) -> Memory:
    """The memory that a request leaves."""
    if desk.chain is memory.chain and desk.barrier is memory.barrier:
        return memory
    return Memory(chain=desk.chain, barrier=desk.barrier)


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
        self._codec = Codec()
        self._news = News()
        self.wake_worker = asyncio.Event()
        self.alarms = Alarms()
        self._pauses = Pauses()  # of the one-shot child's jobs
        self._again: asyncio.TimerHandle | None = None  # when the next of these is over
        with store.reading() as reader:
            settings = get_settings(reader)
            chain = load_chain(reader, key.public)
            origin = current_origin(reader, domain_of(settings.card))
        self._card = open_card(settings.card)
        self._log = AuditLog(origin, key)
        self.writer = Writer(
            store,
            Memory(chain=chain, barrier=None),
            open_desk=self._desk,
            keep=_kept,
            closing=self._closing,
            committed=self._committed,
            tell=self._tell,
            alarms=self.alarms,
        )

    @property
    def chain(self) -> Chain | None:
        """The rosters as of the last commit."""
        return self.writer.memory.chain

    def standing(self, key: VerifyKey) -> Standing:
        """What this key is in the current roster. Used by the transport's limits."""
        roster = None if self.chain is None else self.chain.current
        if roster is not None and roster.holder_of(key) is not None:
            return Standing.HOLDER
        if roster is not None and roster.requester_of(key) is not None:
            return Standing.REQUESTER
        return Standing.STRANGER

    def _admit(self, door: Door[Any, Any], peer: VerifyKey) -> Standing:
        """The standing of a peer for whom this door is; raises what a desk would tell others."""
        if door.who is not Standing.STRANGER:
            roster = roster_of(self.chain)
            if door.who is Standing.HOLDER:
                holder_in(roster, peer)
            else:
                member_in(roster, peer, authority=self._key.public)
        return self.standing(peer)

    @property
    def locked(self) -> bool:
        """Is there a domain, and no barrier key in memory?"""
        memory = self.writer.memory
        return memory.chain is not None and memory.barrier is None

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
        """Do one thing on the writer thread; see `Writer.run`."""
        return await self.writer.run(work, background=background)

    def _tell(self, woken: frozenset[VerifyKey], work: bool) -> None:
        if woken:
            self._news.wake(woken)
        if work:
            self.wake_worker.set()

    def _closing(self, desk: Desk) -> bool:
        """Does anything wait for the one-shot child? What cannot be read now does not."""
        if desk.barrier is None:
            return False
        try:
            return self._services.has_jobs(desk)
        except TigertallyError:
            return True  # the chore finds out what is wrong; requests are not held up by it

    def _committed(self, before: Memory, after: Memory) -> None:
        """A replaced barrier key opens nothing any more, and what was sealed under it goes."""
        if before.barrier is not None and before.barrier is not after.barrier:
            before.barrier.key.wipe()
            self._store.scrub()

    def _desk(self, tx: Transaction, memory: Memory) -> Desk:
        return Desk(
            plain=tx,
            chain=memory.chain,
            barrier=memory.barrier,
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
        chores = (
            ("the one-shot child", self._jobs, self.wake_worker),
            ("tidying up", self._tidy, None),
        )
        async with asyncio.TaskGroup() as tasks:
            for what, step, wake in chores:
                chore = keep_up(what, step, alarms=self.alarms, every=_CHORE_SECONDS, wake=wake)
                tasks.create_task(chore)

    async def _jobs(self) -> None:
        if self.writer.memory.barrier is None:
            return
        await self._services.work(self, self._pauses)
        if self._again is not None:
            self._again.cancel()
        again = self._pauses.next()
        loop = asyncio.get_running_loop()
        self._again = None if again is None else loop.call_at(again, self.wake_worker.set)

    async def _tidy(self) -> None:
        if self.writer.memory.barrier is not None:
            await self._services.tidy(self)

    def end_waiting(self) -> None:
        """Answer every long poll, so that the server can stop at once."""
        self._news.end()

    def close(self) -> None:
        """End the threads and forget the barrier key."""
        self.writer.close()
        self._codec.close()
        barrier = self.writer.memory.barrier
        if barrier is not None:
            barrier.key.wipe()
        self._store.close()
