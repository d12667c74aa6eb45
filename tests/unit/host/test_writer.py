"""Memory follows the commit in the very next statement, and the disk where a commit failed."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from change_rig import remove
from domain_rig import DomainRig
from tigertally.base.errors import Refused, Unavailable
from tigertally.base.secret import Secret
from tigertally.host.desk import KeepChanges
from tigertally.host.writer import MARKS, MemoryParted, Writer
from tigertally.quorum.authority.desk import barrier_of
from tigertally.quorum.card import Role
from tigertally.storage.memory import MemoryStore

ROW = ("t", b"k")


@dataclass
class Disk(MemoryStore):
    """A disk whose commits go wrong: `before` they are made, or `after`; it may not be readable."""

    fails: str = ""
    readable: bool = True

    def __post_init__(self) -> None:
        super().__init__()

    @contextmanager
    def transaction(self):
        with super().transaction() as tx:
            yield tx
            if self.fails == "before":
                raise Unavailable("the disk is full")
        if self.fails == "after":
            raise MemoryError

    @contextmanager
    def reading(self):
        if not self.readable:
            raise Unavailable("the disk does not read")
        with super().reading() as reader:
            yield reader


class FaultyRig(DomainRig):
    def disk_for(self, name: str) -> Disk:
        return Disk()


def new_barrier(desk):
    """What a removal does, in small."""
    desk.plain.put(*ROW, b"v")
    desk.barrier = barrier_of(Secret(bytes(32)))
    return "done"


def on_disk(rig) -> bool:
    with MemoryStore.reading(rig.disk) as reader:
        return reader.get(*ROW) is not None


async def test_a_commit_that_failed_changes_nothing_in_memory():
    rig = FaultyRig()
    rig.disk.fails = "before"
    with pytest.raises(Unavailable, match="full"):
        await rig.authority.run(new_barrier)
    assert (on_disk(rig), rig.authority.writer.memory.barrier) == (False, None)
    rig.disk.fails = ""
    assert await rig.authority.run(new_barrier) == "done"
    assert (on_disk(rig), rig.authority.locked) == (True, False)
    assert not rig.authority.writer.parted.is_set()


async def test_memory_follows_a_commit_that_was_made_although_it_raised():
    rig = FaultyRig()
    rig.disk.fails = "after"
    assert await rig.authority.run(new_barrier) == "done"
    assert on_disk(rig)
    assert rig.authority.writer.memory.barrier is not None


async def test_what_memory_does_not_rest_on_is_told_as_it_came():
    rig = FaultyRig()
    rig.disk.fails = "after"
    with pytest.raises(MemoryError):
        await rig.authority.run(lambda desk: desk.plain.put(*ROW, b"v"))
    assert not rig.authority.writer.parted.is_set()


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_where_nobody_can_say_it_does_nothing_more_and_says_that_it_must_end(fails):
    rig = FaultyRig()
    rig.disk.fails, rig.disk.readable = fails, False
    with pytest.raises(MemoryParted):
        await rig.authority.run(new_barrier)
    await asyncio.wait_for(rig.authority.writer.parted.wait(), 5)
    rig.disk.fails, rig.disk.readable = "", True
    with pytest.raises(MemoryParted):
        await rig.authority.run(lambda desk: desk.plain.put("t", b"other", b"v"))
    with rig.disk.reading() as reader:
        assert reader.get("t", b"other") is None
    with pytest.raises(MemoryParted):
        rig.authority.writer.check()


async def test_kept_changes_reach_memory_too():
    rig = FaultyRig()

    def refused(desk):
        new_barrier(desk)
        raise KeepChanges(Refused("kept"))

    with pytest.raises(Refused, match="kept"):
        await rig.authority.run(refused)
    assert on_disk(rig)
    assert rig.authority.writer.memory.barrier is not None


async def test_what_was_refused_reaches_memory_neither_alone_nor_in_company():
    rig = FaultyRig()

    def refuses(desk):
        new_barrier(desk)
        raise Refused("no")

    def goes_on(desk):
        desk.plain.put("t", b"other", b"v")
        return desk.barrier

    for company in ((), (goes_on,)):
        works = (refuses, *company)
        refused, *others = await asyncio.gather(
            *map(rig.authority.run, works), return_exceptions=True
        )
        assert isinstance(refused, Refused)
        assert others == [None] * len(company)
        assert (on_disk(rig), rig.authority.writer.memory.barrier) == (False, None)


async def test_what_fails_behind_the_commit_is_counted_and_undoes_nothing():
    rig = FaultyRig()
    first, second = Secret(bytes(32)), Secret(bytes(32))

    def put(key):
        def work(desk):
            desk.barrier = barrier_of(key)

        return work

    await rig.authority.run(put(first))
    rig.authority.writer._committed = lambda before, after: 1 / 0
    await rig.authority.run(put(second))
    assert rig.authority.writer.memory.barrier.key is second
    assert +rig.authority.alarms.faults == {"after a commit": 1}


async def test_a_replaced_barrier_key_is_wiped():
    rig = FaultyRig()
    first = Secret(b"\x01" * 32)
    for key in (first, Secret(b"\x02" * 32)):
        await rig.authority.run(lambda desk, key=key: setattr(desk, "barrier", barrier_of(key)))
    with pytest.raises(Exception, match="wiped"):
        first.to_secret_bytes()


class RaisesBehindTheCommit(MemoryStore):
    """As a scrub did that ran on a full disk between the commit and the memory."""

    @contextmanager
    def transaction(self):
        with super().transaction() as tx:
            yield tx
            follows = MARKS in tx._changes
        if follows:
            raise Unavailable("the disk is full")


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("order", ["ours", "the old one"])
def test_what_a_stranger_writes_behind_such_a_removal_opens_after_a_restart(order, monkeypatch):
    """The old order is the control: memory stays where it was, and this test finds it."""
    if order == "the old one":

        def raised(self, after, mark, error):
            raise error

        monkeypatch.setattr(Writer, "_settle", raised)
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        disk = RaisesBehindTheCommit()
        disk._tables = rig.disk._tables
        rig.disk = rig.authority.writer._store = disk
        try:
            await remove(rig, "h3", by=["h1", "h2"])
        except Unavailable:
            assert order == "the old one"
        dora = rig.joining(rig.device("dora", Role.HOLDER))
        await dora.ask()
        rig.disk = MemoryStore()
        rig.disk._tables = disk._tables
        rig.start_authority()
        assert await rig.unlock_by("h1") == "ready"
        await rig.sync("h1")
        lost = {table for table, _ in rig.authority.writer.memory.damaged}
        if order == "the old one":
            assert lost, "what she wrote opens for nobody"
            return
        assert not lost
        await rig.admit(dora, by=["h1", "h2"])
        with pytest.raises(Refused, match="not a member"):
            await rig.holder("h3").member.sync()

    rig.run(day())
