"""People come and go, the quorum changes: every key gets a new epoch and stays the same key."""

from __future__ import annotations

import pytest

from change_rig import change, settle
from domain_rig import DomainRig
from tigertally.base.errors import Corrupt, Refused
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.custody.client.rows import all_held
from tigertally.custody.messages.kinds import Suite
from tigertally.custody.service import rows as service_rows
from tigertally.quorum.card import Role
from tigertally.quorum.changes import QUORUM, REMOVE, quorum_body, remove_body
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.sealed import RowSealer


def epochs_held(rig: DomainRig, name: str) -> int:
    with rig.devices[name].store.reading() as reader:
        return len(list(all_held(reader)))


@pytest.mark.requirement("C9")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_joiner_gets_a_fragment_and_the_key_stays(suite: Suite) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        await rig.create("ledger", suite=suite)
        before = await rig.release("app", "payroll", by=["h1", "h2", "h3"])
        device = rig.device("h5", Role.HOLDER)
        await rig.admit(rig.joining(device), by=["h1", "h2", "h3"])
        await settle(rig, rig.holders())
        info = {i.ref.name: i for i in await rig.asker("app").keys()}
        assert info["payroll"].state == "active"
        assert info["payroll"].epoch == 2
        assert info["ledger"].epoch == 2
        assert [epochs_held(rig, name) for name in rig.holders()] == [1] * 5
        for table in ("custody-fresh", "custody-contribution"):
            left = [key for key, _ in rig.disk._tables.get(table, {}).items()]
            assert left == [], "nothing is left that opens or holds a donor's fragment"
        after = await rig.release("app", "payroll", by=["h5", "h2", "h4"], reason="after")
        assert before.secret.matches(after.secret)

    rig.run(day())


@pytest.mark.requirement("C10")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_removed_holder_holds_nothing_of_use(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        before = await rig.release("app", "payroll", by=["h1", "h2"])
        await change(rig, REMOVE, remove_body(Name("h4")), by=["h1", "h2"])
        await settle(rig, ["h1", "h2", "h3"])
        assert [epochs_held(rig, name) for name in ("h1", "h2", "h3")] == [1] * 3
        after = await rig.release("app", "payroll", by=["h3", "h2"], reason="after")
        assert before.secret.matches(after.secret)
        with pytest.raises(Refused):
            await rig.sync("h4")
        rig.start_authority()
        with pytest.raises(Refused):
            await rig.unlock_by("h4")
        assert await rig.unlock_by("h3") == "ready"
        again = await rig.release("app", "payroll", by=["h1", "h2"], reason="unlocked")
        assert before.secret.matches(again.secret)

    rig.run(day())


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(("first", "then"), [(2, 3), (3, 2)])
def test_the_quorum_changes_and_the_key_stays(first: int, then: int) -> None:
    rig = DomainRig(threshold=first)

    async def day() -> None:
        names = await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll")
        before = await rig.release("app", "payroll", by=names[:first])
        await change(rig, QUORUM, quorum_body(then, 1), by=names[: max(first, then)])
        await settle(rig, names)
        after = await rig.release("app", "payroll", by=names[-then:], reason="after")
        assert before.secret.matches(after.secret)

    rig.run(day())


@pytest.mark.requirement("C10")
def test_a_removal_draws_a_new_barrier_key_for_every_row() -> None:
    """The removed holder knows the old barrier key: it opens no row of the disk any more."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        old = rig.authority.writer.memory.barrier
        assert old is not None
        stolen = RowSealer(Secret(old.key.to_secret_bytes()))
        assert opened(rig, stolen) > 20  # positive control: now it opens them
        await change(rig, REMOVE, remove_body(Name("h3")), by=["h1", "h2"])
        await settle(rig, ["h1", "h2"])
        assert opened(rig, stolen) == 0
        new = rig.authority.writer.memory.barrier
        assert new is not None
        sealed = sum(len(rows) for name, rows in rig.disk._tables.items() if name not in PLAIN)
        assert opened(rig, new.sealer) == sealed > 20

    rig.run(day())


PLAIN = {
    *("writer", "erasure-owed", "roster", "audit", "audit-nodes", "audit-head", "envelopes"),
    "authority",
}


def opened(rig: DomainRig, sealer: RowSealer) -> int:
    """How many rows outside the plain tables open under this sealer."""
    count = 0
    for table, rows in rig.disk._tables.items():
        for key, value in rows.items():
            if table in PLAIN:
                continue
            try:
                sealer.open(table, key, value)
            except Corrupt:
                continue
            count += 1
    return count


@pytest.mark.requirement("C10")
def test_a_removed_holder_owes_nothing_and_nobody_sends_to_it() -> None:
    rig = DomainRig(threshold=2)

    def known() -> dict[str, list[bytes]]:
        """What the authority keeps about h4's contacts, by table."""
        tables = (service_rows.DUES, service_rows.RECEIVE_KEYS, service_rows.SEEN)
        found = {table: rig.disk._tables.get(table, {}) for table in tables}
        return {table: [key for key in found[table] if key[0] == 4] for table in tables}

    async def day() -> None:
        await rig.form(4)
        state = await rig.propose_key("payroll", acks=2)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        for name in ("h1", "h2", "h3"):
            await rig.sync(name)
        assert [len(keys) for keys in known().values()] == [1, 1, 1]
        await change(rig, REMOVE, remove_body(Name("h4")), by=["h1", "h2"])
        assert [len(keys) for keys in known().values()] == [0, 0, 0]

    rig.run(day())


@pytest.mark.requirement("C9")
@pytest.mark.requirement("X3")
def test_many_keys_travel_together_and_stay_what_they_were() -> None:
    rig = DomainRig(threshold=2)
    keys = [f"key-{number}" for number in range(5)]

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        for key in keys:
            await rig.create(key)
        before = [await rig.release("app", key, by=["h1", "h2"]) for key in keys]
        for number, name in ((2, "h4"), (3, "h5")):
            device = rig.device(name, Role.HOLDER)
            await rig.admit(rig.joining(device), by=["h1", "h2"])
            await settle(rig, rig.holders())
            assert {info.epoch for info in await rig.asker("app").keys()} == {number}
            assert [epochs_held(rig, name) for name in rig.holders()] == [1] * (2 + number)
        for key, old in zip(keys, before, strict=True):
            new = await rig.release("app", key, by=["h5", "h3"], reason="after")
            assert old.secret.matches(new.secret)

    rig.run(day())
