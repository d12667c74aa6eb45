"""A newer authority and newer holders: what an older device does not understand ends nothing.

The authority, h1 and h2 know one more kind than h3 and the requester do.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import NewerVersion, Refused
from tigertally.base.ids import Name
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.report import Report
from tigertally.custody.client.unattended import answer_by_rules
from tigertally.custody.messages.kinds import Form, KeyRef
from tigertally.custody.rules import parse_rules
from tigertally.quorum import messages
from tigertally.quorum.approval import Verdict
from tigertally.quorum.member.memory import SeenProposal, UnknownProposal
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import options_body, proposal_id
from tomorrow import NOTICE, Notice, all_kinds

pytestmark = pytest.mark.requirement("C7")

BODY = options_body(about="payroll", lines=["a", b"\x00"])
RULE = """
[[rule]]
key = "*"
requester = "app"
reason = '.*'
per_day = 9
"""


def upgraded(rig: DomainRig, *names: str) -> None:
    """The authority and these devices know the kind."""
    kinds = all_kinds()
    rig.services.quorum._kinds = kinds
    rig.services.quorum._executors = {**rig.services.quorum._executors, NOTICE: Notice()}
    for name in names:
        device = rig.devices[name]
        device.party = replace(device.party, kinds=kinds)


@pytest.fixture
def rig():
    rig = DomainRig()

    async def day():
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")

    rig.run(day())
    upgraded(rig, "h1", "h2")
    return rig


async def noticed(rig, by="h1"):
    """Propose a notice; with the proposer's yes if it is a holder."""
    client = rig.holder(by)
    synced = await client.member.sync()
    proposal = client.member.new_proposal(NOTICE, BODY, synced.roster)
    if synced.roster.holder_of(client.party.key.public) is None:
        return await client.member.propose(proposal)
    return await client.member.propose_with_yes(proposal, synced)


def test_it_is_listed_and_everything_else_goes_on(rig):
    async def day():
        state = await noticed(rig)
        synced, report = await rig.holder("h3").sync()
        assert report.problems == []
        (one,) = synced.unknown
        assert isinstance(one, UnknownProposal)
        assert (synced.proposals, synced.open) == ((), (one,))
        assert one.id == proposal_id(state.proposal)
        assert [said.holder for said in one.approvals] == [1]
        released = await rig.release("app", "payroll", by=["h3", "h2"])
        assert released.approved_by == ("h2", "h3")
        await rig.create("other")
        (known,) = (await rig.holder("h2").member.sync()).proposals
        assert (known.id, known.words) == (one.id, "a notice about payroll · proposed by h1")

    rig.run(day())


def test_whoever_asks_as_version_1_did_is_not_shown_it(rig):
    """It would stop there."""

    async def day():
        state = await noticed(rig)
        for door in (messages.SYNC, messages.TALLIES):
            rig.devices["h3"].party.lacking.note(door, rig.clock.now())
        synced = await rig.holder("h3").member.sync()
        assert synced.open == ()
        id_ = proposal_id(state.proposal)
        known = {one.id for one in await rig.holder("h3").member.tallies(0)}
        assert known == {one.id for one in await rig.holder("h2").member.tallies(0)} - {id_}
        assert await rig.audit("h3").report()

    rig.run(day())


def test_it_cannot_be_approved_and_nothing_is_signed(rig):
    async def day():
        await noticed(rig)
        client = rig.holder("h3")
        synced = await client.member.sync()
        (one,) = synced.unknown
        found = await client.member.find(one.id, synced)
        assert found == one
        before = rig.authority_rows()
        with pytest.raises(NewerVersion, match=r"unknown kind.*upgraded"):
            await client.approve(found, synced)
        with pytest.raises(NewerVersion):  # below the commands too
            client.member.new_verdict(one.state.proposal, synced, Verdict.APPROVE)
        assert rig.authority_rows() == before

    rig.run(day())


def test_a_no_needs_no_understanding(rig):
    async def day():
        await noticed(rig)
        client = rig.holder("h3")
        synced = await client.member.sync()
        (one,) = synced.unknown
        state = await client.reject(one, synced, "what is this?")
        assert (state.status, len(state.rejections)) == (Status.PENDING, 1)
        state = await rig.holder("h2").reject(one, await rig.holder("h2").member.sync(), "")
        assert state.status is Status.REJECTED

    rig.run(day())


def test_tallies_and_audit_verify(rig):
    async def day():
        state = await noticed(rig)
        state = await rig.approve("h2", proposal_id(state.proposal).hex())
        assert state.status is Status.COMPLETE
        client = rig.holder("h3")
        seen = await client.member.tallies(0)
        unknown = [one for one in seen if isinstance(one, UnknownProposal)]
        assert [one.proposal.kind for one in unknown] == [NOTICE]
        assert len(unknown[0].approvals) == 2
        assert len([one for one in seen if isinstance(one, SeenProposal)]) == len(seen) - 1
        report = await rig.audit("h3").report()
        assert report.cosigned_by == ("h1", "h2")
        assert await rig.audit("h3").prove(0, 3)

    rig.run(day())


def test_no_rule_ever_allows_it(rig):
    async def day():
        await noticed(rig)
        asker = rig.asker("app")
        ref = KeyRef(name=Name("payroll"), version=1)
        await asker.ask(ref, "a job", Form.FINAL, await asker.member.sync())
        client = Holder(rig.devices["h3"].party)
        synced, _ = await client.sync()
        (answered,) = await answer_by_rules(client, synced, parse_rules(RULE), Report())
        assert answered.proposal.proposal.kind == "custody.release"
        assert len(synced.unknown) == 1

    rig.run(day())


def test_a_requester_with_an_older_program_goes_on(rig):
    async def day():
        today = rig.devices["app"].party
        upgraded(rig, "app")
        await noticed(rig, by="app")
        rig.devices["app"].party = today
        (one,) = (await rig.asker("app").member.sync()).unknown
        assert one.proposer == "app"
        assert await rig.release("app", "payroll", by=["h1", "h3"])

    rig.run(day())


def test_an_older_authority_says_that_it_is_older(rig):
    async def day():
        rig.start_authority()
        await rig.unlock_by("h1")
        before = rig.authority_rows()
        with pytest.raises(NewerVersion, match="the authority's program is older"):
            await noticed(rig)
        assert rig.authority_rows() == before

    rig.run(day())


def test_a_known_kind_with_an_unknown_option(rig):
    """Put to all by a newer authority, which the rig has for nothing but its door."""

    async def day():
        client = rig.holder("h1")
        synced = await client.member.sync()
        kinds = rig.services.quorum._kinds
        lenient = replace(kinds["custody.destroy"], parse=dict, words=lambda body: "tomorrow's")
        rig.services.quorum._kinds = {**kinds, "custody.destroy": lenient}
        rig.services.quorum._executors["custody.destroy"] = Notice()
        body = options_body(key="payroll", after=7)
        proposal = client.member.new_proposal(Name("custody.destroy"), body, synced.roster)
        await client.member.propose(proposal)
        synced, report = await rig.holder("h3").sync()
        (one,) = synced.unknown
        assert "unknown options: after" in one.detail
        assert "after" not in one.words
        assert report.problems == []
        with pytest.raises(Refused, match="upgraded"):
            await rig.holder("h3").approve(one, synced)

    rig.run(day())
