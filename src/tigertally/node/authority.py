"""The authority as one object: requests in, answers out; one thread writes.

Handlers are synchronous functions on a desk; they run one after the other on the writer thread
(ADR 0003), so there is never a question which of two requests came first. What they decide is in
memory (chain, barrier) only after the store has committed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tigertally.audit.log import AuditLog
from tigertally.base.clock import Clock
from tigertally.base.errors import Corrupt, TigertallyError, Unavailable
from tigertally.base.limits import LONG_POLL_SECONDS
from tigertally.base.randomness import Randomness
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.service.rows import Job
from tigertally.custody.service.watch import overview
from tigertally.host.alarms import Alarms
from tigertally.host.chores import LONGEST_PAUSE, Pauses, keep_up
from tigertally.host.longpoll import News
from tigertally.host.routes import Handlers
from tigertally.host.service import Gauge, State
from tigertally.host.writer import Writer
from tigertally.node.damage import Place, known_damage, name_damage
from tigertally.node.health import inside_gauges, outside_gauges
from tigertally.node.inspection import Inspection
from tigertally.node.wiring import AuthorityServices, at_child
from tigertally.quorum import messages
from tigertally.quorum.authority.admission import get_settings
from tigertally.quorum.authority.desk import Barrier, DomainDesk, holder_in, member_in, roster_of
from tigertally.quorum.authority.restore import current_origin
from tigertally.quorum.authority.rows import load_chain
from tigertally.quorum.card import domain_of, open_card
from tigertally.quorum.chain import Chain
from tigertally.quorum.messages import NewsReply, NewsRequest
from tigertally.storage.erasure import owed, settle
from tigertally.storage.store import Store, Transaction
from tigertally.transport.channel import Handler, Request
from tigertally.transport.door import Door, Standing

T = TypeVar("T")

_COUNTING = "counting strangers"
_NAMING = "naming damaged rows"
_CHILD = "the one-shot child"
_ERASING = "erasing"
_ERASING_PAUSE = 5.0  # seconds, the longest
_CHORE_SECONDS = 60.0  # between two looks for work that nothing has announced


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """What the authority keeps in memory of what its store says.

    Attributes:
        chain: the verified rosters; None before the first holder.
        barrier: seals the rows; None while locked.
        damaged: the rows that cannot be read and have been named.
    """

    chain: Chain | None
    barrier: Barrier | None
    damaged: frozenset[Place]


def _kept(desk: DomainDesk, memory: Memory) -> Memory:
    """The memory that a request leaves."""
    if desk.chain is memory.chain and desk.barrier is memory.barrier and not desk.mended:
        return memory
    damaged = memory.damaged - set(desk.mended)
    return Memory(chain=desk.chain, barrier=desk.barrier, damaged=damaged)


def _standings(chain: Chain | None) -> Mapping[VerifyKey, Standing]:
    if chain is None:
        return {}
    roster = chain.current
    found = {one.signing_key: Standing.REQUESTER for one in roster.requesters}
    return found | {one.signing_key: Standing.HOLDER for one in roster.holders}


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
        self._news = News()
        self._wake = {_CHILD: asyncio.Event(), _ERASING: asyncio.Event()}
        self.alarms = Alarms()
        for what in (_NAMING, *map(at_child, Job)):
            self.alarms.expect(what)
        self._pauses = Pauses()  # of the one-shot child's jobs
        self._again: asyncio.TimerHandle | None = None  # when the next of these is over
        with store.reading() as reader:
            settings = get_settings(reader)
            chain = load_chain(reader, key.public)
            origin = current_origin(reader, domain_of(settings.card))
            damaged = known_damage(reader)
        self._listed: Mapping[VerifyKey, Standing] = _standings(chain)
        self._listed_in = chain
        self._card = open_card(settings.card)
        self._inspection = Inspection(services.lock.barrier, settings)
        self._log = AuditLog(origin, key)
        self.writer = Writer(
            store,
            Memory(chain=chain, barrier=None, damaged=damaged),
            open_desk=self._desk,
            keep=_kept,
            closing=self._closing,
            committed=self._committed,
            wake=self._told,
            alarms=self.alarms,
        )
        self._handlers = Handlers(self.writer, admit=self._admit, standing=self.standing)

    @property
    def chain(self) -> Chain | None:
        """The rosters as of the last commit."""
        return self.writer.memory.chain

    def standing(self, key: VerifyKey) -> Standing:
        """What this key is in the current roster. Used by the transport's limits, so it is quick.

        Whoever has the authority's own key stands as high as anybody.
        """
        chain = self.chain
        if chain is not self._listed_in:
            self._listed, self._listed_in = _standings(chain), chain
        if key == self._key.public:
            return Standing.HOLDER
        return self._listed.get(key, Standing.STRANGER)

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

    def state(self) -> State:
        """Return whether it can do its work, were nothing damaged."""
        if self.locked:
            return State.LOCKED
        return State.FORMING if self.chain is None else State.READY

    async def gauges(self) -> Sequence[Gauge]:
        """Return the domain in numbers, for `/metrics`."""
        outside = outside_gauges(
            None if self.chain is None else self.chain.current,
            locked=self.locked,
            damaged=len(self.writer.memory.damaged),
            unlock_failures=self._services.lock.failures,
        )
        try:
            seen = await self.run(overview, background=True)
        except (Unavailable, Corrupt):  # locked, not readable, or before the first holder
            seen = None
        return (*outside, *inside_gauges(seen))

    def handlers(self) -> Mapping[str, Handler]:
        """Every door with its handler, for a server or for a memory network."""
        routes = self._services.routes()
        found: dict[str, Handler] = {
            door: self._handlers.on_desk(door, route) for door, route in routes.items()
        }
        found[messages.NEWS] = self._handlers.beside(messages.NEWS, self._tell_news)
        return found

    async def run(self, work: Callable[[DomainDesk], T], *, background: bool = False) -> T:
        """Do one thing on the writer thread; see `Writer.run`."""
        return await self.writer.run(work, background=background)

    def _told(self, woken: frozenset[VerifyKey], waiting: frozenset[str]) -> None:
        if woken:
            self._news.wake(woken)
        for what in waiting:
            self._wake[what].set()

    def _closing(
        self, desk: DomainDesk, memory: Memory, found: Sequence[Corrupt]
    ) -> tuple[Memory, frozenset[str]]:
        """Name damaged rows; the memory then, and what background work waits."""
        waiting = set()
        try:
            if owed(desk.plain) is not None:
                waiting.add(_ERASING)
            if desk.barrier is not None and self._services.has_jobs(desk):
                waiting.add(_CHILD)
        except TigertallyError:  # the chores find out what is wrong; no request is held up by it
            waiting |= {_ERASING, _CHILD}
        try:
            with desk.plain.nested():
                damaged = name_damage(desk, (*found, *desk.damaged), memory.damaged)
        except TigertallyError as error:  # come across again, it is named then
            self.alarms.put_off(_NAMING, error)
            return memory, frozenset(waiting)
        self.alarms.well(_NAMING)
        if damaged != memory.damaged:
            memory = replace(memory, damaged=damaged)
        return memory, frozenset(waiting)

    def _committed(self, before: Memory, after: Memory) -> None:
        """A replaced barrier key opens nothing any more; of a whole one no parts are needed."""
        if before.barrier is None and after.barrier is not None:
            self._services.lock.unlocked()
        if before.barrier is not None and before.barrier is not after.barrier:
            before.barrier.key.wipe()

    def _desk(self, tx: Transaction, memory: Memory) -> DomainDesk:
        return DomainDesk(
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

    async def _tell_news(self, asked: NewsRequest, peer: VerifyKey, request: Request) -> NewsReply:
        """Long poll: answer when something for this peer is newer than it has seen.

        Raises:
            Unavailable: there is nothing that it could wait for, or too many wait.
        """
        if self.standing(peer) is Standing.STRANGER:
            await self.writer.run(
                lambda desk: self._services.quorum.check_waits(desk, peer),
                key=peer,
                standing=Standing.STRANGER,
            )
        wait = min(asked.wait, LONG_POLL_SECONDS)
        with request.waiting():
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
        """Do what runs in the background, until cancelled; each chore by itself."""
        chores = (
            (_CHILD, self._jobs, LONGEST_PAUSE),
            ("tidying up", self._tidy, LONGEST_PAUSE),
            ("inspecting", self._inspect, LONGEST_PAUSE),
            (_COUNTING, self._write_counted, LONGEST_PAUSE),
            # A busy writer is in its way, too: it must come by often enough to find it idle.
            (_ERASING, self._erase, _ERASING_PAUSE),
        )
        async with asyncio.TaskGroup() as tasks:
            for what, step, longest in chores:
                chore = keep_up(
                    what,
                    step,
                    alarms=self.alarms,
                    every=_CHORE_SECONDS,
                    longest=longest,
                    wake=self._wake.get(what),
                )
                tasks.create_task(chore)

    async def _jobs(self) -> None:
        if self.writer.memory.barrier is None:
            return
        await self._services.work(self, self._pauses)
        if self._again is not None:
            self._again.cancel()
        again = self._pauses.next()
        loop = asyncio.get_running_loop()
        self._again = None if again is None else loop.call_at(again, self._wake[_CHILD].set)

    async def _tidy(self) -> None:
        if self.writer.memory.barrier is not None:
            await self._services.tidy(self)

    async def _inspect(self) -> None:
        """Read some rows before they are needed, and mend what can be mended."""
        known = self.writer.memory.damaged
        await self.run(lambda desk: self._inspection.look(desk, known), background=True)

    async def _write_counted(self, *, all_: bool = False) -> None:
        counted = self._services.counted
        if counted.waiting:
            await self.run(lambda desk: counted.write(desk, all_=all_), background=True)

    async def stop(self) -> None:
        """Write down what was counted in the last minute; once nobody can ask any more."""
        try:
            await self._write_counted(all_=True)
        except Exception as error:  # noqa: BLE001  a full disk must not hold up the end
            self.alarms.fault(_COUNTING, error)

    async def _erase(self) -> None:
        """Scrub, beside the writer thread, until nothing is owed; while it is locked as well."""
        seen = await self.run(lambda desk: owed(desk.plain), background=True)
        if seen is None:
            return
        if not await asyncio.to_thread(self._store.scrub):
            raise Unavailable("others have the store open: erased rows are still in its files")
        await self.run(lambda desk: settle(desk.plain, seen), background=True)

    def end_waiting(self) -> None:
        """Answer every long poll, so that the server can stop at once."""
        self._news.end()

    def close(self) -> None:
        """End the threads and forget the barrier key."""
        self.writer.close()
        self._handlers.close()
        barrier = self.writer.memory.barrier
        if barrier is not None:
            barrier.key.wipe()
        self._store.close()
