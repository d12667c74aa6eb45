"""What is erased is owed until no file shows it: nothing is called erased before, nothing waits."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from change_rig import remove
from custody_thief import held_by
from domain_rig import DomainRig
from tigertally.base.codec import decode
from tigertally.base.ids import Name
from tigertally.custody.client import rows
from tigertally.custody.client.keys import KeyProposals, fetch_keys
from tigertally.custody.messages.kinds import Destroy, Suite
from tigertally.host.pages import pages
from tigertally.storage.erasure import OWED, owed
from tigertally.storage.memory import MemoryStore


@dataclass
class StubbornRig(DomainRig):
    """A domain whose disks can be scrubbed only while nobody is in the way."""

    in_the_way: set[str] = field(default_factory=set)

    def disk_for(self, name: str) -> MemoryStore:
        others = self.in_the_way

        class Disk(MemoryStore):
            def scrub(self) -> bool:
                return name not in others and super().scrub()

        return Disk()


def still_owed(disk: MemoryStore) -> bool:
    return bool(disk._tables.get(OWED))


@pytest.mark.requirement("C9")
def test_a_device_says_that_it_has_erased_only_once_no_file_shows_it() -> None:
    rig = StubbornRig(threshold=2)

    async def erased() -> tuple[int, ...]:
        (info,) = await fetch_keys(rig.devices["h1"].party, Name("payroll"))
        return tuple(info.erased)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        rig.in_the_way |= {"h1", "h2"}
        await rig.destroy("payroll", by=["h1", "h2"])  # h2's yes completes it: h2 erases at once
        report = await rig.sync("h1")
        assert held_by(rig, "h1") == held_by(rig, "h2") == [], "out of the store all the same"
        assert await erased() == ()
        assert report.erased == 1
        assert any("may still show it" in problem for problem in report.problems)
        assert still_owed(rig.devices["h1"].disk)
        await rig.sync("h3")
        assert await erased() == (3,), "the control"
        rig.in_the_way.clear()
        for name in ("h1", "h2"):
            report = await rig.sync(name)
            assert report.problems == []
            assert not still_owed(rig.devices[name].disk)
        assert await erased() == (1, 2, 3)

    rig.run(day())


@pytest.mark.requirement("C9")
def test_an_erasure_is_owed_where_nothing_else_is() -> None:
    """Else nothing would be scrubbed, and the device would say that it has erased."""
    rig = StubbornRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        asking = KeyProposals(rig.holder("h1"))
        synced, _ = await asking.holder.sync()
        body = Destroy(key=Name("payroll"), version=None)
        asked = await asking.propose_or_resume(body, synced)
        client, disk = rig.holder("h2"), rig.devices["h2"].disk
        synced, _ = await client.sync()
        seen = await client.member.find(asked.id, synced)
        assert not still_owed(disk)
        rig.in_the_way.add("h2")
        await client.approve(seen, synced)
        assert held_by(rig, "h2") == []
        assert still_owed(disk)
        (info,) = await fetch_keys(rig.devices["h1"].party, Name("payroll"))
        assert tuple(info.erased) == ()

    rig.run(day())


@pytest.mark.requirement("C9")
def test_a_sync_that_has_nothing_else_to_do_pays_what_is_owed() -> None:
    """A daemon renews its receive keys seldom: until then no other step would scrub."""
    rig = StubbornRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.create("payroll")
        await remove(rig, "h4", by=["h1", "h2"])
        rig.in_the_way.add("h1")
        for _ in range(3):
            for name in ("h1", "h2", "h3"):
                await rig.sync(name)
        disk = rig.devices["h1"].disk
        assert still_owed(disk), "the epoch of before is out of the store, and on the disk"
        await rig.holder("h1").sync(renew=False)
        assert still_owed(disk), "the control: whoever is in the way is in the way"
        rig.in_the_way.clear()
        _, report = await rig.holder("h1").sync(renew=False)
        assert not still_owed(disk)
        assert (report.received, report.sent, report.erased) == (0, 0, 0), "nothing else to do"

    rig.run(day())


SECRET = (rows.SEEDS, rows.HELD, rows.EPOCHS, rows.WRAPS, rows.REQUESTS)


class WatchedRig(DomainRig):
    """A domain whose disks know which tables have lost secret rows, and since which scrub."""

    def disk_for(self, name: str) -> MemoryStore:
        class Disk(MemoryStore):
            def __init__(self) -> None:
                super().__init__()
                self.lost: set[str] = set()
                self.scrubbed: set[str] = set()

            @contextmanager
            def transaction(self):
                before = {table: dict(self._tables.get(table, {})) for table in SECRET}
                with super().transaction() as tx:
                    yield tx
                for table, kept in before.items():
                    if kept.keys() - self._tables.get(table, {}).keys():
                        self.lost.add(table)

            def scrub(self) -> bool:
                self.scrubbed |= self.lost
                self.lost.clear()
                return super().scrub()

        return Disk()


@pytest.mark.requirement("C3")
def test_whatever_a_device_erases_is_scrubbed_by_the_same_command() -> None:
    rig = WatchedRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        await rig.requester("app")
        await rig.release("app", "payroll", by=["h1", "h2"])
        with rig.devices["app"].party.store.reading() as reader:
            ((_, row),) = reader.scan(rows.REQUESTS)
        rig.asker("app").forget(decode(rows.Request, row))
        await remove(rig, "h3", by=["h1", "h2"])
        disks = {name: rig.devices[name].disk for name in ("h1", "h2", "app")}
        # Without fresh receive keys, so that no old ones are erased beside what else is.
        for days, renew in ((0, True), (0, False), (0, False), (31, True), (0, False)):
            rig.clock.time += days * 24 * 3600
            for name in ("h1", "h2"):
                await rig.holder(name).sync(renew=renew)
                assert [disk.lost for disk in disks.values()] == [set()] * 3
        assert disks["h1"].scrubbed >= {rows.SEEDS, rows.HELD, rows.WRAPS}, "the control"
        assert disks["app"].scrubbed == {rows.REQUESTS}, "the control"

    rig.run(day())


@pytest.mark.requirement("C9")
def test_an_old_fragment_is_not_called_dead_before_no_file_shows_it() -> None:
    rig = StubbornRig(threshold=2)

    async def dead() -> list[bool]:
        (info,) = await fetch_keys(rig.devices["h1"].party, Name("payroll"))
        return [one.dead for one in info.removed]

    async def day() -> None:
        await rig.form(4)
        await rig.create("payroll")
        await remove(rig, "h4", by=["h1", "h2"])
        rig.in_the_way |= {"h1", "h2", "h3"}
        for name in ("h1", "h2", "h3", "h1", "h2", "h3"):
            await rig.sync(name)
        assert all(len(held_by(rig, name)) == 1 for name in ("h1", "h2", "h3")), "all erased"
        assert await dead() == [False]
        rig.in_the_way.clear()
        for name in ("h1", "h2", "h3"):
            await rig.sync(name)
        assert await dead() == [True]

    rig.run(day())


async def shown(rig: DomainRig, name: str) -> float:
    """A number as a fresh collector of metrics sees it."""
    text = (await pages(rig.authority)["/metrics"]()).body.decode()
    (line,) = [one for one in text.splitlines() if one.startswith(f"tigertally_{name} ")]
    return float(line.rpartition(" ")[2])


@pytest.mark.requirement("C6")
def test_the_authority_scrubs_beside_its_writer_until_it_has_succeeded() -> None:
    """A reader in the way costs tries and nothing else; the row goes with the success."""
    rig = StubbornRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("vault", suite=Suite.SHAMIR_GF256)
        assert not still_owed(rig.disk)
        rig.in_the_way.add("authority")
        worker = asyncio.create_task(rig.authority.work())
        await rig.requester("app")
        await rig.release("app", "vault", by=["h1", "h2"])
        assert still_owed(rig.disk), "its fresh key has gone"
        await remove(rig, "h3", by=["h1", "h2"])
        await asyncio.sleep(100)
        for name in ("h1", "h2"):
            await rig.sync(name)
        await asyncio.sleep(100)  # the child's part of the change is done as well
        assert +rig.authority.alarms.faults == {}
        failed = rig.authority.alarms.failures["erasing"]
        assert failed >= 20, "at least every five seconds"
        with rig.disk.reading() as reader:
            found = owed(reader)
        assert found is not None
        assert found.count >= 2, "the release, and the removal"
        assert await shown(rig, "erasures_owed") == found.count
        assert await shown(rig, "erasure_owed_since_timestamp_seconds") == rig.clock.time
        rig.in_the_way.clear()
        await asyncio.sleep(6)
        assert not still_owed(rig.disk)
        assert not worker.done()
        worker.cancel()
        assert await shown(rig, "erasures_owed") == 0

    rig.run(day())
