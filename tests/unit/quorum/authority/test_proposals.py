"""The authority counts and executes; it takes nothing that the rules do not allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base import codec
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    Locked,
    MalformedMessage,
    NewerVersion,
    Refused,
    TigertallyError,
    Unavailable,
)
from tigertally.base.ids import Name, ProposalId, Text
from tigertally.base.limits import CLOCK_SKEW, MAX_OPEN_OF_ONE, MAX_OPEN_STRANGERS
from tigertally.custody.messages.kinds import CREATE, Create, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, Verdict, attachment_hash, sign_approval
from tigertally.quorum.card import Role
from tigertally.quorum.changes import JOIN, QUORUM, REMOVE, join_body
from tigertally.quorum.messages import ProposalState, ProposeRequest, VoteRequest
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import options_body, proposal_id

pytestmark = pytest.mark.requirement("C7")


def day(holders=3, threshold=2, **rest):
    """Run a scenario on a formed domain."""

    def wrap(scenario):
        def test():
            rig = DomainRig(threshold=threshold, **rest)

            async def whole():
                if holders:
                    await rig.form(holders)
                await scenario(rig)

            rig.run(whole())

        test.__name__ = scenario.__name__
        test.__doc__ = scenario.__doc__
        test.pytestmark = getattr(scenario, "pytestmark", [])
        return test

    return wrap


async def refused(rig, step, error=Refused, match=None):
    """The step is refused and the authority's disk is as it was."""
    before = dump(rig.disk)
    with pytest.raises(error, match=match):
        await step
    assert dump(rig.disk) == before


async def ask(rig, name, kind, body, **rest):
    client = rig.holder(name)
    roster = rig.authority.chain.current
    return await client.member.propose(client.member.new_proposal(kind, body, roster, **rest))


QUORUM_BODY = options_body(threshold=2, unlock=2)


@day()
async def test_only_holders_propose_changes(rig):
    await rig.requester("app")
    rig.device("mallory", Role.HOLDER)
    for name in ("app", "mallory"):
        for kind, body in ((QUORUM, QUORUM_BODY), (REMOVE, options_body(name="h1"))):
            await refused(rig, ask(rig, name, kind, body))


@day()
async def test_nobody_hands_in_anothers_proposal(rig):
    client = rig.holder("h1")
    proposal = client.member.new_proposal(QUORUM, QUORUM_BODY, rig.authority.chain.current)
    await refused(rig, rig.holder("h2").member.propose(proposal), match="proposer")


@day()
@pytest.mark.requirement("C8")
async def test_a_join_is_proposed_by_the_joiner(rig):
    joiner = rig.device("zoe", Role.HOLDER)
    card = rig.joining(joiner)._card
    await refused(rig, ask(rig, "h1", JOIN, join_body(card)), match="joiner")
    await refused(rig, ask(rig, "zoe", Name("requester.join"), join_body(card)), MalformedMessage)


@day()
async def test_changes_that_cannot_be(rig):
    for kind, body in (
        (QUORUM, options_body(threshold=4, unlock=1)),
        (REMOVE, options_body(name="nobody")),
    ):
        await refused(rig, ask(rig, "h1", kind, body))
    await refused(rig, ask(rig, "h1", Name("no.kind"), b"\xa0"), NewerVersion, match="upgrade")


@day(holders=2, threshold=2)
@pytest.mark.requirement("C10")
async def test_a_removal_that_leaves_too_few(rig):
    await refused(rig, ask(rig, "h1", REMOVE, options_body(name="h2")), match="fewer than 2")


@day(holders=2, threshold=3)
@pytest.mark.requirement("C8")
async def test_while_forming_no_key_can_be_made(rig):
    body = Create(key=Name("payroll"), suite=Suite.SHAMIR_GF256, acks=2, options=KeyOptions.of())
    await refused(rig, ask(rig, "h1", CREATE, body.to_body()), Unavailable, match="forming")
    await refused(rig, ask(rig, "h1", QUORUM, QUORUM_BODY), Unavailable, match="forming")


@day(holders=2, threshold=3)
@pytest.mark.requirement("C8")
async def test_while_forming_joining_needs_everybody(rig):
    joining = rig.joining(rig.device("h3", Role.HOLDER))
    asked = (await joining.ask()).proposal.hex()
    assert (await rig.approve("h1", asked)).status is Status.PENDING
    assert (await joining.ask()).state == "waiting"
    assert rig.authority.chain.current.version == 2
    assert (await rig.approve("h2", asked)).status is Status.COMPLETE
    assert (await joining.ask()).state == "enrolled"
    assert not rig.authority.chain.current.forming


@day()
@pytest.mark.requirement("C6")
async def test_a_locked_authority_commits_nothing(rig):
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    client = rig.holder("h2")
    synced = await client.member.sync()
    rig.start_authority()
    verdict = client.member.new_verdict(state.proposal, synced, Verdict.APPROVE)
    await refused(rig, client.member.vote(state, verdict), Locked)
    await refused(rig, ask(rig, "h1", REMOVE, options_body(name="h3")), Locked)
    await refused(rig, client.member.proposal(proposal_id(state.proposal)), Locked)
    await refused(rig, client.member.sync(), Locked)
    await refused(rig, rig.joining(rig.device("zoe", Role.HOLDER)).ask(), Locked)
    assert rig.authority.locked
    await rig.unlock_by("h3")
    assert (await client.member.vote(state, verdict)).approvals


@day()
async def test_dates(rig):
    client = rig.holder("h1")
    roster = rig.authority.chain.current
    early = client.member.new_proposal(QUORUM, QUORUM_BODY, roster, lifetime=60)
    rig.clock.time += 60
    await refused(rig, client.member.propose(early), match="expired")
    rig.clock.time += CLOCK_SKEW + 1
    ahead = client.member.new_proposal(QUORUM, QUORUM_BODY, roster)
    rig.clock.time -= CLOCK_SKEW + 1
    await refused(rig, client.member.propose(ahead), match="future")


@day()
async def test_a_verdict_is_handed_in_by_its_holder(rig):
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    client = rig.holder("h1")
    verdict = client.member.new_verdict(state.proposal, await client.member.sync(), Verdict.APPROVE)
    await refused(rig, rig.holder("h2").member.vote(state, verdict), match="its holder")
    raw = encode(ProposeRequest(proposal=state.proposal, approval=verdict, attachment=b""))
    h2 = rig.devices["h2"].party.channel
    await refused(rig, h2.call(messages.PROPOSE, raw), match="its holder")
    assert (await client.member.vote(state, verdict)).approvals == (verdict,)


@day()
async def test_attachments_are_bound_and_only_where_they_belong(rig):
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    client = rig.holder("h1")
    synced = await client.member.sync()
    plain = client.member.new_verdict(state.proposal, synced, Verdict.APPROVE)
    carrying = decode(Approval, plain.body)
    key = rig.devices["h1"].key
    for verdict in Verdict:
        signed = sign_approval(
            key, replace(carrying, verdict=verdict, attachment=attachment_hash(b"x"))
        )
        await refused(rig, client.member.vote(state, signed, attachment=b"x"), MalformedMessage)
        await refused(rig, client.member.vote(state, signed, attachment=b"y"), MalformedMessage)
        await refused(rig, client.member.vote(state, signed), MalformedMessage)
    await refused(rig, client.member.vote(state, plain, attachment=b"x"), MalformedMessage)


@day()
async def test_a_reason_to_reject_that_hides_something_is_not_taken(rig):
    """From no program: our own signs none."""
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    client = rig.holder("h2")
    plain = client.member.new_verdict(
        state.proposal, await client.member.sync(), Verdict.REJECT, reason="late"
    )
    hiding = replace(decode(Approval, plain.body), reason=Text("late\u2800"))
    signed = sign_approval(rig.devices["h2"].key, hiding)
    await refused(rig, client.member.vote(state, signed), match="the reason has U\\+2800")
    assert (await client.member.vote(state, plain)).rejections == (plain,)


@day()
@pytest.mark.requirement("X5")
async def test_a_verdict_under_a_roster_that_nobody_knows(rig):
    """It would tell the other holders of a fork that never was."""
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    client = rig.holder("h1")
    good = decode(
        Approval,
        client.member.new_verdict(state.proposal, await client.member.sync(), Verdict.APPROVE).body,
    )
    made_up = type(good.roster)(bytes(32))
    signed = sign_approval(rig.devices["h1"].key, replace(good, roster=made_up))
    await refused(rig, client.member.vote(state, signed))


@day()
async def test_a_change_of_holders_voids_what_is_open(rig):
    quorum = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    client = rig.holder("h2")
    verdict = client.member.new_verdict(quorum.proposal, await client.member.sync(), Verdict.REJECT)
    await rig.requester("app")
    now = await client.member.proposal(proposal_id(quorum.proposal))
    assert now.status is Status.VOID
    await refused(rig, client.member.vote(quorum, verdict))


@day(holders=4, threshold=2)
async def test_a_release_outlives_a_change_of_requesters_but_not_of_holders(rig):
    await rig.requester("app")
    await rig.create("payroll")
    asker = rig.asker("app")
    ref = KeyRef(name=Name("payroll"), version=1)
    _, state = await asker.ask(ref, "long", Form.PRIVATE, await asker.member.sync())
    id_ = proposal_id(state.proposal)
    await rig.requester("web")
    assert (await rig.approve("h1", str(id_))).status is Status.PENDING
    await rig.admit(rig.joining(rig.device("h5", Role.HOLDER)), by=["h1", "h2"])
    assert (await rig.holder("h1").member.proposal(id_)).status is Status.VOID


@day()
async def test_one_member_cannot_fill_the_table(rig):
    client = rig.holder("h1")
    roster = rig.authority.chain.current
    for _ in range(MAX_OPEN_OF_ONE):
        await client.member.propose(client.member.new_proposal(QUORUM, QUORUM_BODY, roster))
    await refused(rig, ask(rig, "h1", QUORUM, QUORUM_BODY), Unavailable)
    assert await ask(rig, "h2", QUORUM, QUORUM_BODY)


@day()
async def test_strangers_cannot_fill_the_table(rig):
    for number in range(MAX_OPEN_STRANGERS):
        await rig.joining(rig.device(f"s{number}", Role.HOLDER)).ask()
    late = rig.joining(rig.device("late", Role.HOLDER))
    await refused(rig, late.ask(), Unavailable)
    assert await ask(rig, "h1", REMOVE, options_body(name="h3"))


@day()
@pytest.mark.requirement("C13")
async def test_a_strangers_proposal_has_no_more_items_than_its_messages_may_have(rig):
    """Nothing of it is built: the body's bytes are a message inside a message."""
    built, build = [], codec._built
    many = options_body(name="zoe", more=[{}] * 3000)
    rig.device("mallory", Role.HOLDER)
    for who, error in (("mallory", MalformedMessage), ("h1", NewerVersion)):
        device = rig.devices[who]
        synced = await rig.holder("h1").member.sync()
        proposal = rig.holder(who).member.new_proposal(Name(JOIN), many, synced.roster)
        built.clear()
        raw = encode(ProposeRequest(proposal=proposal, approval=None, attachment=b""))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(codec, "_built", lambda raw: built.append(len(raw)) or build(raw))
            await refused(rig, device.party.channel.call(messages.PROPOSE, raw), error)
        assert (len(many) in built) == (who == "h1"), "a member's is built, a stranger's is not"


@day()
async def test_the_same_proposal_again_changes_nothing(rig):
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    before = dump(rig.disk)
    assert await rig.holder("h1").member.propose(state.proposal) == state
    assert dump(rig.disk) == before


@day()
@pytest.mark.requirement("C13")
async def test_a_stranger_cannot_read_a_proposal_that_it_has_seen(rig):
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    rig.device("mallory", Role.HOLDER)
    mallory = rig.holder("mallory")
    await refused(rig, mallory.member.propose(state.proposal))
    await refused(rig, mallory.member.proposal(proposal_id(state.proposal)))
    raw = encode(VoteRequest(verdict=state.proposal, attachment=b""))
    await refused(rig, mallory.party.channel.call(messages.VOTE, raw), TigertallyError)


@day()
@pytest.mark.requirement("C13")
async def test_a_joiner_sees_how_its_request_stands_but_not_who_voted(rig):
    device = rig.device("zoe", Role.HOLDER)
    id_ = ProposalId((await rig.joining(device).ask()).proposal)
    seen = await rig.approve("h1", str(id_))
    assert len(seen.approvals) == 1
    client = rig.holder("zoe")
    for state in (await client.member.proposal(id_), await client.member.propose(seen.proposal)):
        assert state.status is Status.PENDING
        assert state.approvals == state.rejections == state.late == ()
    rig.device("mallory", Role.HOLDER)
    await refused(rig, rig.holder("mallory").member.proposal(id_))
    await refused(rig, rig.holder("mallory").member.propose(seen.proposal))


@day()
async def test_a_tally_is_audited_with_who_said_what(rig):
    state = await ask(rig, "h1", QUORUM, QUORUM_BODY)
    id_ = proposal_id(state.proposal)
    for name in ("h2", "h3"):
        state = await rig.approve(name, str(id_))
    assert isinstance(state, ProposalState)
    report = await rig.audit("h1").report()
    about = [(e.kind, e.actor) for e in report.entries if e.detail == id_]
    assert about == [
        ("proposal.made", "h1"),
        ("proposal.approved", "h2"),
        ("proposal.approved", "h3"),
        ("tally.executed", "authority"),
    ]
