"""A release while holders or the quorum change: one outcome, and always the same key."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from change_rig import (
    Asking,
    epochs,
    info_of,
    join,
    one_epoch,
    remove,
    set_quorum,
    settle,
)
from domain_rig import DomainRig
from evil import tell
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused, Unavailable
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.custody.client.requester import AskAgain
from tigertally.custody.messages.kinds import Form, KeyRef, Suite
from tigertally.custody.messages.sync import CUSTODY_SYNC, DELIVER, CustodySyncReply
from tigertally.node.connect import until
from tigertally.quorum.changes import REQUESTER_REMOVE, remove_body
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import open_proposal, proposal_id

pytestmark = pytest.mark.requirement("C10")


async def domain(rig: DomainRig, n: int, suite: Suite = Suite.PEDERSEN_ED25519) -> Secret:
    """n holders, a requester, a key; what the key is."""
    names = await rig.form(n)
    await rig.requester("app")
    await rig.create("payroll", suite=suite)
    released = await rig.release("app", "payroll", by=names[: rig.threshold])
    return released.secret


def fresh(rig: DomainRig, *names: str) -> list[str]:
    return [*names, *(name for name in rig.holders() if name not in names)]


@pytest.mark.parametrize("suite", list(Suite))
def test_fragments_are_sent_again_in_the_newer_epoch(suite: Suite) -> None:
    """One fragment of the old epoch came, the other is late: both approvers send a new one."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 3, suite)
        asking = await Asking.make(rig)
        state = await asking.approved("h1", "h2")  # h2's fragment leaves at once
        assert state.status is Status.COMPLETE
        withhold_releases(rig, "h1")
        await join(rig, "h4", by=["h1", "h2"])
        await settle(rig, fresh(rig, "h4"))
        assert (await info_of(rig, "payroll")).epoch == 2
        assert await asking.collect() is None
        withhold_releases(rig)
        reports = await settle(rig, rig.holders(), 2)
        assert [report.problems for report in reports if report.problems] == []
        one_epoch(rig, rig.holders())
        released = await asking.collect()
        assert released is not None
        assert released.secret.matches(good)
        assert released.approved_by == ("h1", "h2")

    rig.run(day())


def withhold_releases(rig: DomainRig, *names: str) -> None:
    """The relay does not tell these holders of complete requests."""

    def without(who: str, raw: bytes) -> bytes:
        if who not in names:
            return raw
        return encode(replace(decode(CustodySyncReply, raw), releases=()))

    tell(rig, CUSTODY_SYNC, without)


@pytest.mark.parametrize("suite", list(Suite))
def test_what_had_come_in_full_is_collected_after_the_commit(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 3, suite)
        asking = await Asking.make(rig)
        await asking.approved("h1", "h2")
        await rig.sync("h1")
        withhold_releases(rig, *rig.holders())  # nobody sends anything once more
        await join(rig, "h4", by=["h1", "h2"])
        await settle(rig, fresh(rig, "h4"))
        one_epoch(rig, rig.holders())
        for _ in range(2):  # also once more: its first answer may have been lost
            released = await asking.collect()
            assert released is not None
            assert released.secret.matches(good)
            assert released.faulty == ()
            await settle(rig, rig.holders(), 1)

    rig.run(day())


@pytest.mark.parametrize("suite", list(Suite))
def test_a_removed_approvers_fragment_is_not_used(suite: Suite) -> None:
    """Complete, then one approver goes: the request has died, and asks again with the same body."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4, suite)
        asking = await Asking.make(rig)
        rig.network.drop(path=DELIVER, from_="h2")
        assert (await asking.approved("h1")).status is Status.PENDING
        with pytest.raises(Unavailable):
            await asking.approved("h2")  # it counts; its fragment does not come through
        rig.network.heal()
        await rig.sync("h1")
        assert await asking.collect() is None
        await remove(rig, "h1", by=["h3", "h4"])
        reports = await settle(rig, ["h2", "h3", "h4"])
        assert [report.problems for report in reports if report.problems] == []
        with pytest.raises(AskAgain):
            await asking.collect()
        before = open_proposal(asking.request.proposal)
        await asking.repeat()
        after = open_proposal(asking.request.proposal)
        assert after.body == before.body
        assert after.electorate != before.electorate
        await asking.approved("h2", "h3")
        await settle(rig, ["h2", "h3"], 1)
        released = await asking.collect()
        assert released is not None
        assert released.secret.matches(good)
        assert released.approved_by == ("h2", "h3")

    rig.run(day())


def test_a_removed_holders_approval_counts_no_more() -> None:
    """One yes of two, then that holder goes: the open request is void and asks again."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 3)
        asking = await Asking.make(rig)
        await asking.approved("h3")
        await remove(rig, "h3", by=["h1", "h2"])
        with pytest.raises(Refused):
            await rig.approve("h2", asking.id)
        with pytest.raises(AskAgain):
            await asking.collect()
        again, state = await rig.asker("app").ask(
            KeyRef(name=Name("payroll"), version=1),
            "a race",
            Form.PRIVATE,
            await rig.asker("app").member.sync(),
        )
        assert state.status is Status.PENDING
        assert open_proposal(again.proposal).body == open_proposal(asking.request.proposal).body
        asking.request = again
        await settle(rig, ["h1", "h2"])
        await asking.approved("h1", "h2")
        await rig.sync("h1")
        released = await asking.collect()
        assert released is not None
        assert released.secret.matches(good)

    rig.run(day())


@pytest.mark.requirement("X3")
def test_a_quorum_lowered_during_a_release() -> None:
    """Two of three had agreed: that is no quorum of the old number, and void for the new one."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        good = await domain(rig, 4)
        asking = await Asking.make(rig)
        await asking.approved("h1", "h2")
        await set_quorum(rig, 2, by=["h1", "h2", "h3"])
        with pytest.raises(AskAgain):
            await asking.collect()
        await asking.repeat()
        state = await asking.approved("h1", "h2")
        assert state.status is Status.COMPLETE
        await settle(rig, ["h1", "h2", "h3"])
        assert (await info_of(rig, "payroll")).state == "resharing"
        assert await asking.collect() is None  # two fragments of an epoch that needs three
        reports = await settle(rig, rig.holders())
        assert [report.problems for report in reports if report.problems] == []
        one_epoch(rig, rig.holders())
        released = await asking.collect()
        assert released is not None
        assert released.secret.matches(good)

    rig.run(day())


def test_who_waits_for_a_key_hears_of_the_change_at_once() -> None:
    """Else it would ask the new holders only when its long poll ends."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await domain(rig, 3)
        asking = await Asking.make(rig)

        async def void() -> bool | None:
            try:
                return None if await asking.collect() is None else False
            except AskAgain:
                return True

        waiting = asyncio.create_task(until(rig.asker("app").member, void, wait=3600))
        await asyncio.sleep(1)
        assert not waiting.done(), "the control: nothing has changed yet"
        await set_quorum(rig, 3, by=["h1", "h2", "h3"])
        await asyncio.sleep(1)
        assert waiting.done(), "one second of virtual time"
        assert await waiting

    rig.run(day())


@pytest.mark.requirement("X3")
def test_a_quorum_raised_during_a_release() -> None:
    """Two approvals were a quorum; where their fragments have not left, they are none now."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        asking = await Asking.make(rig)
        await asking.approved("h1", "h2")  # h2's fragment has left, h1's has not
        await set_quorum(rig, 3, by=["h2", "h3", "h4"])
        reports = await settle(rig, rig.holders())
        assert [report.problems for report in reports if report.problems] == []
        with pytest.raises(AskAgain):
            await asking.collect()
        await asking.repeat()
        assert (await asking.approved("h1", "h2")).status is Status.PENDING
        assert (await asking.approved("h3")).status is Status.COMPLETE
        await settle(rig, rig.holders(), 1)
        released = await asking.collect()
        assert released is not None
        assert released.secret.matches(good)

    rig.run(day())


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("acknowledged", [0, 1, 3])
def test_a_quorum_lowered_and_raised_again_leaves_nothing_of_the_lower_one(
    acknowledged: int,
) -> None:
    """Whatever came of the epoch in between, two holders' disks never open the key afterwards."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        good = await domain(rig, 4)
        await set_quorum(rig, 2, by=["h1", "h2", "h3"])
        for name in rig.holders()[:3]:
            await rig.sync(name)  # the donors
        for name in rig.holders()[:acknowledged]:
            await rig.sync(name)
        await set_quorum(rig, 3, by=["h1", "h2", "h3"])
        await settle(rig, rig.holders())
        one_epoch(rig, rig.holders())
        for name in rig.holders():
            assert [held.parsed().threshold for held in epochs(rig, name)] == [3]
        released = await rig.release("app", "payroll", by=["h2", "h3", "h4"], reason="after")
        assert released.secret.matches(good)

    rig.run(day())


def test_a_request_that_expires_half_answered_ends() -> None:
    """Complete, but its fragments never came: it does not wait for ever."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await domain(rig, 3)
        asking = await Asking.make(rig)
        await asking.approved("h1", "h2")
        assert await asking.collect() is None
        rig.clock.time += 24 * 3600
        with pytest.raises(Refused, match="expired"):
            await asking.collect()
        again = await Asking.make(rig)
        assert again.id != asking.id

    rig.run(day())


def test_a_removed_requesters_request_ends() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await domain(rig, 3)
        asking = await Asking.make(rig)
        await asking.approved("h1")
        proposer = rig.holder("h1")
        synced, _ = await proposer.sync()
        proposal = proposer.member.new_proposal(
            REQUESTER_REMOVE, remove_body(Name("app")), synced.roster
        )
        await proposer.member.propose_with_yes(proposal, synced)
        await rig.approve("h2", proposal_id(proposal).hex())
        for step in (asking.collect, lambda: asking.approved("h2")):
            with pytest.raises(Refused):
                await step()

    rig.run(day())
