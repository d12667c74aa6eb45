"""What the model of the epoch change found (docs/protocols/epoch-model.md), on the real parties."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody_thief import CrookedHolder, epoch_records, held_by
from domain_rig import DomainRig
from tigertally.base.codec import decode, encode
from tigertally.base.ids import Hash, Name
from tigertally.custody.messages.dealing import Dealing, Opening
from tigertally.custody.messages.sync import CUSTODY_SYNC, CustodySyncReply
from tigertally.custody.state.authority import EpochRecord, EpochStatus
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id


async def joins(rig: DomainRig, name: str, *, by: list[str]) -> None:
    await rig.admit(rig.joining(rig.device(name, Role.HOLDER)), by=by)


def newest(rig: DomainRig) -> EpochRecord:
    return max(epoch_records(rig), key=lambda record: record.roster_version)


async def settle(rig: DomainRig, names: list[str]) -> None:
    for _ in range(4):
        for name in names:
            await rig.sync(name)


@pytest.mark.requirement("C9")
@pytest.mark.requirement("C12")
def test_a_late_acknowledgement_makes_the_donor_that_a_reshare_waits_for() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        proposer = rig.holder("h3")
        synced, _ = await proposer.sync()
        removal = proposer.member.new_proposal(Name(REMOVE), remove_body(Name("h1")), synced.roster)
        await proposer.member.propose_with_yes(removal, synced)
        state = await rig.propose_key("payroll", acks=2)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await settle(rig, ["h1", "h2"])  # h3 is away: the key is active without it
        before = await rig.release("app", "payroll", by=["h1", "h2"])
        state = await rig.approve("h2", proposal_id(removal).hex())
        assert state.status is Status.COMPLETE
        assert len(epoch_records(rig)) == 1  # of the donors only h2 is left: too few
        await settle(rig, ["h3", "h2"])
        assert [len(held_by(rig, name)) for name in ("h2", "h3")] == [1, 1]
        (mine,) = held_by(rig, "h2")
        assert mine.parsed().holders == (2, 3)
        assert mine.certificate is not None
        after = await rig.release("app", "payroll", by=["h2", "h3"], reason="after")
        assert before.secret.matches(after.secret)

    rig.run(day())


@pytest.mark.requirement("C9")
def test_a_lying_donor_is_named_and_holds_up_nothing() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        before = await rig.release("app", "payroll", by=["h1", "h2"])
        await joins(rig, "h4", by=["h1", "h2"])
        await rig.holder("h4").sync()
        _, report = await CrookedHolder(rig.devices["h1"].party).sync()
        assert any("h1 dealt another fragment" in problem for problem in report.problems)
        assert newest(rig).status is EpochStatus.DEALING
        assert newest(rig).dealers == (2, 3)
        await settle(rig, ["h2", "h3", "h4", "h1"])
        assert (newest(rig).status, newest(rig).dealers) == (EpochStatus.CERTIFIED, (2, 3))
        after = await rig.release("app", "payroll", by=["h4", "h1"], reason="after")
        assert before.secret.matches(after.secret)

    rig.run(day())


@pytest.mark.requirement("C9")
@pytest.mark.requirement("C12")
def test_an_epoch_that_was_replaced_never_comes_back() -> None:
    rig = DomainRig(threshold=2)
    openings: list[Opening] = []
    bundles: set[Hash] = set()
    replay = False

    def keep(caller: str, path: str, answer: bytes) -> bytes:
        """The relay keeps what it sent to h1, and has h1 keep its receive keys."""
        if path != CUSTODY_SYNC or caller != "h1":
            return answer
        reply = decode(CustodySyncReply, answer)
        for opening in reply.openings:
            openings.append(opening)
            dealings = [decode(Dealing, envelope.body) for envelope in opening.dealings]
            bundles.update(dealing.slot_of(1).bundle for dealing in dealings)
        shown = (openings[0],) if replay else reply.openings
        return encode(replace(reply, openings=shown, open_bundles=tuple(sorted(bundles))))

    async def day() -> None:
        nonlocal replay
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        rig.network.equivocate("authority", keep)
        await joins(rig, "h4", by=["h1", "h2"])
        await settle(rig, ["h4", "h1", "h2", "h3"])
        await joins(rig, "h5", by=["h1", "h2"])
        await settle(rig, ["h5", "h1", "h2", "h3", "h4"])
        (last,) = held_by(rig, "h1")
        assert openings[0].base
        assert openings[0].roster != last.parsed().roster
        replay = True
        report = await rig.sync("h1")
        assert any("holds a newer epoch of payroll" in problem for problem in report.problems)
        assert held_by(rig, "h1") == [last]

    rig.run(day())
