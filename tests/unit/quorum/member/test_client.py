"""A member's side: it keeps only what it has verified."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from domain_rig import DomainRig
from evil import dump, tell
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused, Unavailable
from tigertally.base.ids import Name, ProposalId
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, Verdict
from tigertally.quorum.card import Role
from tigertally.quorum.changes import JOIN, QUORUM, REMOVE, remove_body
from tigertally.quorum.member.audit import Audit
from tigertally.quorum.messages import AuditReply, ProposalState, SyncReply
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import open_proposal, options_body, proposal_id
from tigertally.storage.memory import MemoryStore

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("X5")]

BODY = options_body(threshold=2, unlock=2)


@pytest.fixture
def rig():
    rig = DomainRig()

    async def day():
        await rig.form(3)

    rig.run(day())
    return rig


async def question(rig, name="h1"):
    client = rig.holder(name)
    return await client.member.propose(
        client.member.new_proposal(QUORUM, BODY, (await client.member.sync()).roster)
    )


def test_before_enrolment(rig):
    rig.device("zoe", Role.HOLDER)
    with pytest.raises(Unavailable):
        rig.holder("zoe").member.chain()
    with pytest.raises(Unavailable):
        rig.run(rig.holder("zoe").member.sync())


def test_a_sync_cosigns_on_what_it_verified(rig):
    async def day():
        client = rig.holder("h1")
        state = await question(rig)
        synced = await client.member.sync()
        verdict = client.member.new_verdict(state.proposal, synced, Verdict.APPROVE)
        approval = decode(Approval, verdict.body)
        signed = SignedCheckpoint.from_text(approval.checkpoint)
        signed.verify(rig.key.public)
        assert approval.roster == synced.roster.hash
        assert signed.checkpoint.size >= 1

    rig.run(day())


def test_a_proposal_of_ours(rig):
    async def day():
        client = rig.holder("h1")
        roster = (await client.member.sync()).roster
        one, two = (client.member.new_proposal(QUORUM, BODY, roster) for _ in range(2))
        assert proposal_id(one) != proposal_id(two)
        assert open_proposal(one).predecessor == roster.hash
        plain = open_proposal(client.member.new_proposal(type(QUORUM)("custody.x"), BODY, roster))
        assert plain.predecessor is None

    rig.run(day())


def test_an_answer_about_another_proposal(rig):
    async def day():
        one, two = await question(rig), await question(rig)
        client = rig.holder("h2")
        for path, step in (
            (messages.PROPOSAL, lambda: client.member.proposal(proposal_id(one.proposal))),
            (messages.PROPOSE, lambda: rig.holder("h1").member.propose(one.proposal)),
        ):
            tell(rig, path, lambda _, raw: encode(two))
            with pytest.raises(PeerFault):
                await step()
        synced = await client.member.sync()
        verdict = client.member.new_verdict(one.proposal, synced, Verdict.REJECT)
        tell(rig, messages.VOTE, lambda _, raw: encode(two))
        with pytest.raises(PeerFault):
            await client.member.vote(one, verdict)

    rig.run(day())


@pytest.mark.parametrize("garbage", [b"", b"\x80", b"\xff" * 40, encode(messages.Nothing())])
def test_garbage_from_the_authority(rig, garbage):
    async def day():
        client = rig.holder("h1")
        before = dump(rig.devices["h1"].disk)
        steps = {
            messages.SYNC: client.member.sync,
            messages.AUDIT: Audit(client.member).report,
            messages.NEWS: lambda: client.member.news(1),
        }
        for path, step in steps.items():
            tell(rig, path, lambda _, raw: garbage)
            with pytest.raises(MalformedMessage):
                await step()
        assert dump(rig.devices["h1"].disk) == before

    rig.run(day())


def test_finding_a_proposal(rig):
    async def day():
        client = rig.holder("h2")
        one = proposal_id((await question(rig)).proposal)
        synced = await client.member.sync()
        assert (await client.member.find(one, synced)).id == one
        with pytest.raises(Refused, match="no proposal has the id"):
            await client.member.find(ProposalId(bytes(one)[:-1] + b"?"), synced)
        other = await question(rig)
        tell(rig, messages.PROPOSAL, lambda _, raw: encode(other))
        with pytest.raises(PeerFault, match="another proposal"):
            await client.member.find(one, synced)

    rig.run(day())


def test_a_removed_or_unknown_device_is_no_holder(rig):
    async def day():
        await rig.requester("app")
        roster = (await rig.holder("h1").member.sync()).roster
        assert rig.holder("h2").member.me(roster).name == "h2"
        with pytest.raises(Refused):
            rig.holder("app").member.me(roster)
        state = await question(rig)
        synced = await rig.holder("app").member.sync()
        with pytest.raises(Refused):
            rig.holder("app").member.new_verdict(state.proposal, synced, Verdict.APPROVE)

    rig.run(day())


@pytest.mark.parametrize("verdict", list(Verdict))
def test_nobody_votes_on_its_own_removal_or_loses_its_vote_by_trying(rig, verdict):
    async def day():
        client = rig.holder("h1")
        synced = await client.member.sync()
        own = client.member.new_proposal(REMOVE, remove_body(Name("h1")), synced.roster)
        before = rig.snapshot()
        with pytest.raises(Refused, match="no vote on its own removal"):
            client.member.new_verdict(own, synced, verdict)
        with pytest.raises(Refused, match="no vote on its own removal"):
            await client.member.propose_with_yes(own, synced)
        assert rig.snapshot() == before
        other = client.member.new_proposal(REMOVE, remove_body(Name("h2")), synced.roster)
        assert (await client.member.propose_with_yes(other, synced)).status is Status.PENDING

    rig.run(day())


def test_tallies_are_verified_one_by_one(rig):
    async def day():
        client = rig.holder("h1")
        tallies = await client.member.tallies(0)
        assert [one.proposal.kind for one in tallies] == [JOIN, JOIN]
        assert all(one.state.status is Status.COMPLETE for one in tallies)
        assert await client.member.tallies(rig.clock.now() + 1) == ()

        def fewer(_, raw):
            states = decode(messages.TalliesReply, raw).proposals
            cut = tuple(replace(s, approvals=s.approvals[1:]) for s in states)
            return encode(messages.TalliesReply(proposals=cut))

        tell(rig, messages.TALLIES, fewer)
        with pytest.raises(PeerFault):
            await client.member.tallies(0)

    rig.run(day())


def test_an_audit_names_who_cosigned(rig):
    async def day():
        report = await rig.audit("h3").report()
        assert report.cosigned_by == ("h1", "h2")
        assert len(report.entries) == report.checkpoint.checkpoint.size

    rig.run(day())


@pytest.mark.requirement("C6")
def test_an_audit_works_while_locked(rig):
    async def day():
        rig.start_authority()
        report = await rig.audit("h3").report()
        assert report.entries
        assert report.cosigned_by == ()

    rig.run(day())


def test_an_audit_with_entries_held_back(rig):
    async def day():
        client = rig.holder("h1")

        pages = []

        def fewer(_, raw):
            pages.append(raw)
            reply = decode(AuditReply, raw)
            return encode(replace(reply, entries=reply.entries[:2] if len(pages) == 1 else ()))

        tell(rig, messages.AUDIT, fewer)
        with pytest.raises(PeerFault):
            await Audit(client.member).report()
        assert len(pages) == 2

    rig.run(day())


def test_news_come_when_something_happens(rig):
    async def day():
        client = rig.holder("h2")
        await client.member.news(1)
        await question(rig)
        await client.member.news(20)
        assert (await client.member.sync()).proposals

    rig.run(day())


def test_a_state_that_lies_about_its_verdicts_changes_nothing(rig):
    async def day():
        state = await question(rig)
        client = rig.holder("h2")
        await client.member.sync()
        yes = rig.holder("h1").member.new_verdict(
            state.proposal, await rig.holder("h1").member.sync(), Verdict.APPROVE
        )
        lie = ProposalState(
            proposal=state.proposal,
            approvals=(),
            rejections=(yes, yes),
            late=(),
            status=Status.REJECTED,
            why=state.why,
        )

        def told(_, raw):
            return encode(replace(decode(SyncReply, raw), proposals=(lie,)))

        tell(rig, messages.SYNC, told)
        before = dump(rig.devices["h2"].disk)
        with pytest.raises(PeerFault):
            await client.member.sync()
        assert dump(rig.devices["h2"].disk) == before

    rig.run(day())


class FullDisk(MemoryStore):
    """A disk that takes nothing while it is full."""

    full = False

    @contextmanager
    def transaction(self):
        with super().transaction() as tx:
            yield tx
            if self.full:
                raise Unavailable("the disk is full")


class FullRig(DomainRig):
    def disk_for(self, name):
        return FullDisk()


def test_proof_against_the_authority_stops_a_device_whose_disk_is_full_too():
    rig = FullRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        client, disk = rig.holder("h1"), rig.devices["h1"].disk
        disk.full = True
        fork = PeerFault("two histories", culprits=("authority",), sure=True)
        with pytest.raises(PeerFault) as caught, client.member.taking(b"shown"):
            raise fork
        assert "free some space" in caught.value.__notes__[0]
        with pytest.raises(PeerFault, match="two histories"):
            await client.member.sync()
        disk.full = False
        with pytest.raises(PeerFault, match="two histories"):
            await client.member.sync()
        with pytest.raises(PeerFault, match="stopped: two histories"):  # from the disk, by now
            await rig.holder("h1").member.sync()

    rig.run(day())
