"""A `DomainRig` in which one party dies at a chosen journal step, and is started again.

A journal step is a commit of a party's disk (just before, just after) and a message of a device
(just before it is sent, just after its answer has come). Steps between which no disk has changed
are the same step. The dead come back as they would: a device's command is given again, the
authority is started on its disk and unlocked.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import pytest

from custody_thief import barrier_sealer, epoch_records, held_by, seeds_of
from domain_rig import DomainRig, put_memory
from tigertally.base.codec import decode
from tigertally.base.errors import Locked, Unavailable
from tigertally.base.ids import HolderIndex, Name
from tigertally.base.secret import Secret
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.service import rows
from tigertally.custody.state.authority import EpochStatus, KeyRecord, KeyState
from tigertally.quorum.authority.desk import barrier_of
from tigertally.quorum.authority.rows import ATTACHMENTS
from tigertally.storage import journal as journals
from tigertally.storage.memory import MemoryStore, MemoryTransaction
from tigertally.storage.sealed import SealedReader, SealedStore, SealedTransaction
from tigertally.transport.channel import DEFAULT_WAIT, Channel

AUTHORITY = "authority"
T = TypeVar("T")
Command = Callable[[], Awaitable[object]]


class Crash(BaseException):
    """`kill -9`: nothing catches it but whoever starts the party again."""


@dataclass
class Journal:
    """Counts steps, and kills whoever takes the step that is armed."""

    rig: CrashRig
    left: int | None = None
    taken: int = 0
    dead: str = ""
    _last: dict[str, tuple[int, int]] = field(default_factory=dict)

    def step(self, who: str) -> None:
        """One step of a party; it may be its last."""
        if self.left is None:
            return
        own = self.rig.disk if who == AUTHORITY else self.rig.devices[who].disk
        now = (own.version, self.rig.disk.version)
        if self._last.get(who) == now:
            return
        self._last[who] = now
        self.taken += 1
        if self.taken == self.left:
            self.dead = who
            if who == AUTHORITY:
                self.rig.network.disconnect(AUTHORITY)
            raise Crash(who)

    def arm(self, number: int) -> None:
        """Kill at the step of this number, counted from here."""
        self.left, self.taken, self.dead = number, 0, ""
        self._last.clear()


class CrashDisk(MemoryStore):
    """A disk whose commits are journal steps."""

    def __init__(self, journal: Journal, owner: str) -> None:
        super().__init__()
        self._journal, self._owner = journal, owner
        self.version = 0

    @contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        before = self._tables
        with super().transaction() as tx:
            yield tx
            self._journal.step(self._owner)
        if self._tables is not before:
            self.version += 1
        self._journal.step(self._owner)


@contextmanager
def moves_of_journals() -> Iterator[list[Enum]]:
    """The states that any `storage.journal.Journal` begins or moves to inside the block."""
    moves: list[Enum] = []
    begin, move = journals.Journal.begin, journals.Journal.move

    def begun(self: Any, tx: Any, key: Any, value: Any) -> None:
        begin(self, tx, key, value)
        moves.append(self.state(value))

    def moved(self: Any, tx: Any, key: Any, target: Any) -> bool:
        goes_on = move(self, tx, key, target)
        moves.append(target)
        return goes_on

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals.Journal, "begin", begun)
        patch.setattr(journals.Journal, "move", moved)
        yield moves


class KilledAtMoves:
    """A sealed store whose owner is killed at a move of a journal, whichever journal that is.

    Args:
        store: where the rows are.
        left: moves that succeed before it.
        stored: whether the move at which it is killed is committed.
    """

    def __init__(self, store: SealedStore, left: int, *, stored: bool) -> None:
        self._store, self._left, self._stored = store, left, stored
        self.moves: list[Enum] = []

    def reading(self) -> AbstractContextManager[SealedReader]:
        return self._store.reading()

    @contextmanager
    def transaction(self) -> Iterator[SealedTransaction]:
        with moves_of_journals() as moves, self._store.transaction() as tx:
            yield tx
            self.moves += moves
            dies = bool(moves) and len(self.moves) > self._left
            if dies and not self._stored:
                raise Crash(moves)
        if dies:
            raise Crash(moves)


@dataclass
class _Way:
    channel: Channel
    journal: Journal
    owner: str

    async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
        self.journal.step(self.owner)
        answer = await self.channel.call(path, body, wait=wait)
        self.journal.step(self.owner)
        return answer


class InPlace(Executor):
    """The writer thread without the thread: thousands of authorities are started here."""

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  also a crash
            future.set_exception(error)
        return future


@dataclass
class Moment:
    """Everything, as it was."""

    disks: dict[str, object]
    barrier: bytes | None
    devices: dict[str, object]


@dataclass
class CrashRig(DomainRig):
    """See the head of this module."""

    unlockers: Sequence[str] = ("h1",)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self)
        super().__post_init__()

    def disk_for(self, name: str) -> MemoryStore:
        return CrashDisk(self.journal, name)

    def channel_for(self, name: str) -> Channel:
        return _Way(super().channel_for(name), self.journal, name)

    def start_authority(self) -> None:
        super().start_authority()
        self.authority.writer.thread = InPlace()

    def moment(self) -> Moment:
        barrier = self.authority.writer.memory.barrier
        key = None if barrier is None else barrier.key.to_secret_bytes()
        return Moment(self.snapshot(), key, dict(self.devices))

    def back_to(self, moment: Moment) -> None:
        """All as it was then; the authority is a new process."""
        self.devices = dict(moment.devices)
        self.start_authority()
        self.restore(moment.disks)
        barrier = None if moment.barrier is None else barrier_of(Secret(moment.barrier))
        put_memory(self.authority, barrier=barrier)

    async def insist(self, command: Command) -> object:
        """A command, given again by its person until it is done."""
        for _ in range(6):
            try:
                async with asyncio.timeout(300):
                    return await command()
            except (Crash, Unavailable, Locked, TimeoutError):
                await self.revive()
        raise AssertionError("never done")

    async def revive(self) -> None:
        """If the authority is dead: start it, and unlock it."""
        if self.journal.dead != AUTHORITY:
            return
        self.journal.dead = ""
        await self.network.close()
        self.start_authority()
        for name in self.unlockers:
            await self.unlock_by(name)

    async def settle(self, names: Sequence[str]) -> None:
        """The next contacts of these holders."""
        for renew in (True, False, True):
            for name in names:
                await self.insist(lambda name=name, r=renew: self.holder(name).sync(renew=r))
            await self.insist(self.child_work)

    # --- what must hold afterwards ----------------------------------------------------------

    def check_quiet(self, names: Sequence[str]) -> None:
        """One epoch a key everywhere, and nothing of any other."""
        with self.disk.reading() as reader:
            sealed = SealedReader(reader, barrier_sealer(self.authority))
            known = [decode(KeyRecord, row) for _, row in sealed.scan(rows.KEYS)]
        keys = [key for key in known if key.state is not KeyState.DESTROYED]
        live = {key.ref: key.live_hash for key in keys}
        assert all(key.live and key.coming is None and key.state.value == "active" for key in keys)
        roster = self.authority.chain.current
        for record in epoch_records(self):
            assert record.status in (EpochStatus.CERTIFIED, EpochStatus.ABORTED), record.status
        for key in keys:
            (record,) = [r for r in epoch_records(self) if rows.epoch_id(r) == key.live]
            assert record.acknowledged == tuple(holder.index for holder in roster.holders)
            assert self.authority.chain.at(record.roster).electorate == roster.electorate
        for table in (
            *(rows.PIECES, rows.CONTRIBUTIONS, rows.FRESH, rows.JOBS, rows.FRAGMENTS),
            *(rows.DUES, rows.IN_USE, ATTACHMENTS),
        ):
            assert not self.disk._tables.get(table), table
        for name in names:
            held = held_by(self, name)
            assert {h.parsed().hash for h in held} == set(live.values()), name
            assert all(one.certificate is not None for one in held)
            assert all(all(one.payloads) for one in held)
            for table in (device_rows.UNCERTIFIED, device_rows.WRAPS, device_rows.DEALT):
                assert not self.devices[name].disk._tables.get(table), (name, table)
            assert len(seeds_of(self, name)) == 1

    def private_keys(self, names: Sequence[str], *, together: int) -> dict[KeyRef, bytes]:
        """Every key, computed from the fragments of every so many of these devices: the same."""
        held = {name: held_by(self, name) for name in names}
        index = {h.name: h.index for h in self.authority.chain.current.holders}
        found: dict[KeyRef, bytes] = {}
        for some in itertools.combinations(names, together):
            for epoch in held[some[0]]:
                statement = epoch.parsed()
                for place, ref in enumerate(statement.keys):
                    payloads: dict[HolderIndex, Secret] = {}
                    for name in some:
                        (same,) = [h for h in held[name] if h.parsed().hash == statement.hash]
                        payloads[index[Name(name)]] = Secret(same.payloads[place])
                    rules = SUITES[statement.suite]
                    key = rules.rebuild(statement.commitments[place], payloads).to_secret_bytes()
                    assert found.setdefault(ref, key) == key
        return found
