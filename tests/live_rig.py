"""A `DomainRig` in which everybody runs at once, and every call waits for its turn.

Daemons are the real ones, the authority's worker too; commands wait as on the command line. A
call goes through when nobody can go on without one, and `order` says whose is next: so a test tries
every order in which parties may happen to come, in virtual time, and the clock stands still for as
long as there is anything to do. A long poll that ends by its time is one that nobody ended.

    rig = LiveRig(threshold=2)
    async def day():
        await rig.form(3)
        async with rig.live("h1", "h2", "h3", order=ranked(["h3", "h1", "h2"])):
            await rig.until(lambda: ...)
        assert rig.expired() == 0
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from crash_rig import InPlace
from domain_rig import DomainRig
from tigertally.base.ids import Name, ProposalId
from tigertally.base.limits import LONG_POLL_SECONDS
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.keys import Asked, KeyProposals
from tigertally.custody.client.report import Report
from tigertally.custody.messages.kinds import Create, Destroy
from tigertally.node.connect import until
from tigertally.node.daemon import follow_authority
from tigertally.quorum import messages
from tigertally.quorum.authority import rows
from tigertally.quorum.card import Role
from tigertally.quorum.member.client import MemberClient, Party, Synced
from tigertally.quorum.member.join import Joined
from tigertally.quorum.member.roster_changes import RosterChanges
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.proposal import open_proposal
from tigertally.quorum.roster import Roster
from tigertally.storage.sealed import SealedReader, SealedStore
from tigertally.transport.channel import DEFAULT_WAIT, Channel

T = TypeVar("T")
Order = Callable[[Sequence[str]], str]
"""Of those who want to call: whose turn it is."""

PATIENCE = 600.0  # virtual seconds a command waits
_STEP = 0.001  # virtual seconds from turn to turn; passes when nobody can go on without one
_MOST_TURNS = 5000  # more than any scenario takes: somebody runs in circles


def ranked(names: Sequence[str]) -> Order:
    """The first of these who wants to call goes first, always; others follow by name."""
    place = {name: at for at, name in enumerate(names)}
    return lambda waiting: min(waiting, key=lambda name: (place.get(name, len(place)), name))


def drawn(seed: object) -> Order:
    """By lot."""
    dice = random.Random(str(seed))
    return dice.choice


@dataclass
class Lines:
    """What a daemon logs: level, event and the rest of each line."""

    said: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, **more: Any) -> None:
        self.said.append(("info", event, more))

    def warning(self, event: str, **more: Any) -> None:
        self.said.append(("warning", event, more))

    def critical(self, event: str, **more: Any) -> None:
        self.said.append(("critical", event, more))

    def exception(self, event: str, **more: Any) -> None:
        self.said.append(("exception", event, more))


@dataclass
class _Profile:
    """What a daemon needs of a profile. Its turns with commands of the same device: `_Syncing`."""

    store: SealedStore

    def exclusive(self, **_: Any) -> nullcontext[None]:
        return nullcontext()


class _Syncing(Holder):
    """A daemon's client, which takes turns with the commands of its device, as by a file lock."""

    def __init__(self, party: Party, lock: asyncio.Lock) -> None:
        super().__init__(party)
        self._lock = lock

    async def sync(self, *, renew: bool = True) -> tuple[Synced, Report]:
        async with self._lock:
            return await super().sync(renew=renew)


@dataclass
class _Turn:
    channel: Channel
    rig: LiveRig
    name: str

    async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
        await self.rig.turn(self.name)
        try:
            return await self.channel.call(path, body, wait=wait)
        finally:
            self.rig.moved()


@dataclass(repr=False)
class LiveRig(DomainRig):
    """See the head of this module."""

    lines: dict[str, Lines] = field(default_factory=dict, init=False)
    locks: dict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False
    )
    turns: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _order: Order | None = field(default=None, init=False)
    _waiting: list[tuple[str, asyncio.Future[None]]] = field(default_factory=list, init=False)
    _asked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _moved: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _worker: asyncio.Task[None] = field(init=False)
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list, init=False)

    def channel_for(self, name: str) -> Channel:
        return _Turn(super().channel_for(name), self, name)

    def start_authority(self) -> None:
        super().start_authority()
        self.authority.writer.thread = InPlace()

    async def turn(self, name: str) -> None:
        """Wait until it is this party's turn; at once while nobody is live."""
        if self._order is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, future))
        self._asked.set()
        await future

    def moved(self) -> None:
        """Something has been answered: who waits for a state looks again."""
        self._moved.set()

    async def _conduct(self) -> None:
        while True:
            await self._asked.wait()
            await asyncio.sleep(_STEP)
            self._waiting = [one for one in self._waiting if not one[1].done()]
            if not self._waiting or self._order is None:
                self._asked.clear()
                continue
            name = self._order([name for name, _ in self._waiting])
            chosen = next(one for one in self._waiting if one[0] == name)
            self._waiting.remove(chosen)
            self.turns += 1
            assert self.turns < _MOST_TURNS, f"in circles; last lines: {self.lines}"
            chosen[1].set_result(None)

    @asynccontextmanager
    async def live(self, *daemons: str, order: Order) -> AsyncIterator[None]:
        """These holders' daemons and the authority's worker run; calls go through in this order.

        Everybody has come to rest when the body begins: what happens in it is what counts.
        """
        self._order, self.turns = order, 0
        self.lines.clear()
        self.locks.clear()
        self._waiting.clear()
        self._asked, self._moved = asyncio.Event(), asyncio.Event()  # of the loop that runs now
        self.authority.wake_worker = asyncio.Event()
        self.network.events.clear()
        self._tasks = [asyncio.create_task(self._conduct())]
        self._worker = self.command(self.authority.work())
        try:
            for name in daemons:
                self.start(name)
            await self.rest()
            self._began = asyncio.get_running_loop().time()
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
            self._order = None
            await self.network.close()
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                    raise result

    def start(self, name: str) -> None:
        """Start a holder's daemon."""
        party = self.devices[name].party
        lines = self.lines.setdefault(name, Lines())
        profile: Any = _Profile(party.store)
        self.command(follow_authority(_Syncing(party, self.locks[name]), profile, lines, None))

    def restart(self) -> None:
        """The authority is ended and started again: it comes up locked."""
        self.authority.end_waiting()
        self.start_authority()
        self.serve_again()

    def serve_again(self) -> None:
        """Run the worker of an authority that has just been started."""
        self._worker.cancel()
        self._worker = self.command(self.authority.work())

    def command(self, work: Awaitable[T]) -> asyncio.Task[T]:
        """Run something beside all others; if it fails, the scenario fails."""
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        return task

    async def rest(self) -> None:
        """Until nobody wants to call: all wait for news, or are done."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(3 * _STEP)
            while self._waiting or self._asked.is_set():  # noqa: ASYNC110  no real time passes
                await asyncio.sleep(3 * _STEP)

    async def until(self, what: Callable[[], bool]) -> None:
        """Until something is true, looked at after every answer; for at most ten minutes."""
        async with asyncio.timeout(PATIENCE):
            while not what():
                self._moved.clear()
                await self._moved.wait()

    def expired(self) -> Counter[str]:
        """Whose long polls have ended by their time, and how often, since all came to rest."""
        sent: dict[str, list[float]] = {}
        found: Counter[str] = Counter()
        for event in self.network.events:
            if event.path != messages.NEWS:
                continue
            if event.what == "sent":
                sent.setdefault(event.from_, []).append(event.time)
                continue
            waited = event.time - sent[event.from_].pop(0)
            if event.time > self._began and waited > LONG_POLL_SECONDS - 1:
                found[event.from_] += 1
        return found

    def open_proposals(self) -> list[str]:
        """The ids of what waits for an answer."""
        with self._sealed() as sealed:
            return [id_.hex() for id_, _ in rows.open_proposals(sealed)]

    @contextmanager
    def _sealed(self) -> Iterator[SealedReader]:
        barrier = self.authority.writer.memory.barrier
        assert barrier is not None
        with self.disk.reading() as reader:
            yield SealedReader(reader, barrier.sealer)

    def proposer(self, id_: str) -> str:
        """The device that made a proposal."""
        with self._sealed() as sealed:
            pending = rows.get_pending(sealed, ProposalId.from_text(id_))
        key = open_proposal(pending.proposal).proposer
        return next(name for name, one in self.devices.items() if one.key.public == key)

    def faults(self) -> list[str]:
        """What holders' daemons have logged as the fault of somebody."""
        assert self.authority.chain is not None
        here = [str(holder.name) for holder in self.authority.chain.current.holders]
        every = [line for name in here if name in self.lines for line in self.lines[name].said]
        return [
            f"{event}: {more}"
            for level, event, more in every
            if event != "notice" and level != "info"
        ]

    # --- commands, as on the command line -------------------------------------------------------

    async def approved_by(self, *names: str) -> None:
        """Wait until exactly one thing waits for an answer; these holders say yes to it."""
        await self.until(lambda: len(self.open_proposals()) == 1)
        self.approve_all(*names, id_=self.open_proposals()[0])
        await self.until(lambda: self.open_proposals() == [])

    def approve_all(self, *names: str, id_: str) -> None:
        """`holder approve` on each of these devices, at the same time."""
        for name in names:
            self.command(self.approve(name, id_))

    async def approve(self, name: str, id_: str) -> ProposalState:
        async with self.locks[name]:
            return await super().approve(name, id_)

    async def reject(self, name: str, id_: str) -> None:
        """`holder reject`."""
        client = self.holder(name)
        async with self.locks[name]:
            synced, _ = await client.sync()
            await client.reject(
                await client.member.find(ProposalId.from_text(id_), synced), synced, "not today"
            )

    async def waiting(self, client: MemberClient, step: Callable[[], Awaitable[T | None]]) -> T:
        """Any command that waits for others."""
        done = await until(client, step, wait=PATIENCE)
        assert done is not None
        return done

    async def change(
        self, name: str, kind: Name, body: bytes, done: Callable[[Roster], bool]
    ) -> None:
        """`holder remove`, `quorum set`."""
        client = self.holder(name)
        async with self.locks[name]:
            synced, _ = await client.sync()
            await RosterChanges(client.member).propose_or_resume(kind, body, synced)

        async def step() -> Roster | None:
            async with self.locks[name]:
                now, _ = await client.sync(renew=False)
            return now.roster if done(now.roster) else None

        await self.waiting(client.member, step)

    async def make(self, name: str, body: Create | Destroy, state: str) -> None:
        """`key create`, `key destroy`."""
        client = KeyProposals(self.holder(name))
        async with self.locks[name]:
            synced, _ = await client.holder.sync()
            asked = await client.propose_or_resume(body, synced)
        await self.waits(name, client, asked, state)

    async def waits(self, name: str, client: KeyProposals, asked: Asked, state: str) -> None:
        """Until what was asked for a key is done."""

        async def step() -> str | None:
            async with self.locks[name]:
                await client.holder.sync(renew=False)
                return state if await client.state_of(asked) == state else None

        await self.waiting(client.member, step)
        client.forget(asked)

    async def enrol(self, name: str, role: Role = Role.HOLDER) -> Joined:
        """`holder enrol` (or `requester enrol`), then a holder's daemon."""
        device = self.devices.get(name) or self.device(name, role)
        joining = self.joining(device)

        async def step() -> Joined | None:
            joined = await joining.ask()
            return joined if joined.state == "enrolled" else None

        joined = await self.waiting(MemberClient(device.party), step)
        await joining.fetch()
        if role is Role.HOLDER:
            await Holder(device.party).sync()
            self.start(name)
        return joined
