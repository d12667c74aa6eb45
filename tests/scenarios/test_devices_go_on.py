"""What ends a holder's daemon, and what does not; what one damaged row of a device holds up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from custody_thief import held_by
from domain_rig import DomainRig
from live_rig import LiveRig, ranked
from tigertally.base.errors import Corrupt, Damaged, Refused, TigertallyError
from tigertally.base.ids import Name
from tigertally.custody.client import rows
from tigertally.custody.messages.kinds import Form, KeyRef
from tigertally.custody.service import rows as authority_rows
from tigertally.quorum import messages
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.memory import MemoryStore
from tigertally.transport.answers import heard
from tigertally.transport.channel import DEFAULT_WAIT, Channel

ORDER = ranked(["h3", "h1", "h2"])


def damage(disk: MemoryStore, table: str, key: bytes) -> bytes:
    """Flip a bit of a row; what it was."""
    row = disk._tables[table][key]
    with disk.transaction() as tx:
        tx.put(table, key, bytes([row[0] ^ 1]) + row[1:])
    return row


@dataclass
class Shut:
    """A way to an authority that answers everything but long polls with an error, for a while."""

    inner: Channel
    error: TigertallyError | None
    told: int = 0
    served: list[str] = field(default_factory=list)

    async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
        answer = await self.inner.call(path, body, wait=wait)
        if self.error is not None and path != messages.NEWS:
            self.told += 1
            raise self.error
        self.served.append(path)
        return answer


@pytest.mark.requirement("C12")
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Refused("this device is not a holder of the domain"), "refused"),
        (heard(Corrupt("a row does not open")), "waiting"),
    ],
)
def test_no_answer_of_the_authority_ends_a_holders_daemon(error, line) -> None:
    """It may be wrong, or so for a while: a holder that ends on its word is a voice less."""
    rig = LiveRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        device = rig.devices["h3"]
        shut = Shut(device.party.channel, error)
        device.party = replace(device.party, channel=shut)
        async with rig.live("h1", "h2", "h3", order=ORDER):  # raises what ends a daemon
            await rig.until(lambda: shut.told >= 3)
            shut.error, shut.served = None, []
            await rig.until(lambda: messages.SYNC in shut.served)
        said = [event for _, event, _ in rig.lines["h3"].said]
        assert said.count(line) == 1, "one reason is said once"
        assert not {"critical", "exception"} & {level for level, _, _ in rig.lines["h3"].said}

    rig.run(day())


@pytest.mark.requirement("C12")
def test_only_its_own_damaged_store_ends_a_holders_daemon() -> None:
    """Nothing but a person mends it, and a service manager shows a daemon that has ended."""
    rig = LiveRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        disk = rig.devices["h3"].disk
        ((key, _),) = disk._tables[rows.PUBLISHED].items()
        damage(disk, rows.PUBLISHED, key)
        with pytest.raises(Corrupt) as ended:
            async with rig.live("h1", "h2", "h3", order=ORDER):
                await rig.until(lambda: any(one[0] == "critical" for one in rig.lines["h3"].said))
        assert ended.value.table == rows.PUBLISHED
        assert ended.value.code == 6
        (line,) = [more for level, _, more in rig.lines["h3"].said if level == "critical"]
        assert rows.PUBLISHED in line["error"]
        assert not any(one[0] == "critical" for one in rig.lines["h1"].said), "nobody else ends"

    rig.run(day())


@pytest.mark.requirement("C6")
def test_a_row_of_the_authority_reads_as_the_authoritys_damage() -> None:
    """Exit 6 says that this device's store is damaged: a person would restore the wrong one."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        ((key, _),) = rig.disk._tables[authority_rows.KEYS].items()
        damage(rig.disk, authority_rows.KEYS, key)
        client = rig.asker("app")
        synced = await client.member.sync()
        ref = KeyRef(name=Name("payroll"), version=1)
        with pytest.raises(Damaged) as told:
            await client.ask(ref, "a test", Form.PRIVATE, synced)
        assert (told.value.code, authority_rows.KEYS in str(told.value)) == (4, True)

    rig.run(day())


@pytest.mark.requirement("C12")
def test_a_damaged_wrap_holds_up_its_release_alone() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        client = rig.asker("app")
        asked = {}
        for key in ("lost", "spare"):
            await rig.create(key)
        synced = await client.member.sync()
        for key in ("lost", "spare"):
            ref = KeyRef(name=Name(key), version=1)
            request, state = await client.ask(ref, key, Form.PRIVATE, synced)
            asked[key] = request, ref, proposal_id(state.proposal)
            await rig.approve("h1", asked[key][2].hex())
        disk = rig.devices["h1"].disk
        (wrap,) = [key for key in disk._tables[rows.WRAPS] if key.startswith(asked["lost"][2])]
        row = damage(disk, rows.WRAPS, wrap)
        for key in ("lost", "spare"):
            await rig.approve("h2", asked[key][2].hex())
        _, report = await rig.holder("h1").sync(renew=False)
        (problem,) = report.problems
        assert rows.WRAPS in problem
        secret = rig.devices["app"].device_secret
        for key, (request, ref, _) in asked.items():
            released = await client.collect(request, ref, Form.PRIVATE, synced, secret)
            assert (released is None) == (key == "lost"), "two fragments are needed of each"
        with disk.transaction() as tx:  # the control: with the row it would have come
            tx.put(rows.WRAPS, wrap, row)
        _, report = await rig.holder("h1").sync(renew=False)
        request, ref, _ = asked["lost"]
        assert await client.collect(request, ref, Form.PRIVATE, synced, secret) is not None
        assert report.problems == []

    rig.run(day())


@pytest.mark.requirement("C12")
def test_a_damaged_answer_holds_up_the_certificate_of_its_key_alone() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        made = {}
        for key in ("lost", "spare"):
            state = await rig.propose_key(key)
            made[key] = proposal_id(state.proposal)
            await rig.approve("h2", made[key].hex())
        for name in ("h1", "h2"):
            await rig.sync(name)
        disk = rig.devices["h1"].disk
        (answered,) = [key for key in disk._tables[rows.ANSWERED] if key.startswith(made["lost"])]
        row = damage(disk, rows.ANSWERED, answered)
        await rig.sync("h3")  # the last acknowledgement: both are certified
        report = await rig.sync("h1")
        assert any(rows.ANSWERED in problem for problem in report.problems)
        assert len(disk._tables[rows.UNCERTIFIED]) == 1, "the other one is taken"
        with disk.transaction() as tx:
            tx.put(rows.ANSWERED, answered, row)
        assert (await rig.sync("h1")).problems == []
        assert not disk._tables[rows.UNCERTIFIED]
        assert len(held_by(rig, "h1")) == 2

    rig.run(day())
