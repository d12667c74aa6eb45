"""An authority that holds its real key and lies to its holders: what it gains, and who sees it.

The lies are told by rewriting honest answers per caller, or by driving the real authority's own
code on a second disk: it signs what it says with its real key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from domain_rig import DomainRig
from evil import dump, filled, lead, tell, twin
from tigertally.algebra import tags
from tigertally.audit.entry import AuditEntry
from tigertally.audit.log import ENTRIES, HEAD, NODES, AuditLog
from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, PeerFault, Refused
from tigertally.base.ids import HolderIndex, Name
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.kinds import Form, KeyRef
from tigertally.custody.messages.sync import CUSTODY_SYNC, DELIVER, CustodySyncReply, ReleaseDue
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, Verdict
from tigertally.quorum.card import Role
from tigertally.quorum.changes import JOIN, QUORUM, REMOVE
from tigertally.quorum.member.audit import Audit
from tigertally.quorum.messages import ProposalState, SyncReply
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import options_body, proposal_id
from tigertally.quorum.restoration import log_origin

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("X5")]

KEY = KeyRef(name=Name("payroll"), version=1)


async def formed(rig: DomainRig, holders: int = 5) -> None:
    await rig.form(holders)
    await rig.requester("app")
    await rig.create("payroll")


async def asked(rig: DomainRig, reason: str) -> ProposalState:
    client = rig.asker("app")
    _, state = await client.ask(KEY, reason, Form.PRIVATE, await client.member.sync())
    return state


async def with_yes(rig: DomainRig, state: ProposalState, *names: str) -> ProposalState:
    for name in names:
        state = await rig.approve(name, proposal_id(state.proposal).hex())
    return state


def sent(rig: DomainRig) -> list[str]:
    """Who let a fragment go, by the network's diary."""
    return sent_on(rig, DELIVER)


def sent_on(rig: DomainRig, path: str) -> list[str]:
    return [e.from_ for e in rig.network.events if e.path == path and e.what == "sent"]


def claim(rig: DomainRig, *states: ProposalState) -> None:
    """Tell every holder that these releases are complete and its fragment is due."""

    def rewrite(_: str, raw: bytes) -> bytes:
        due = tuple(ReleaseDue(state=replace(s, status=Status.COMPLETE)) for s in states)
        return encode(replace(decode(CustodySyncReply, raw), releases=due))

    tell(rig, CUSTODY_SYNC, rewrite)


async def no_fragment(
    rig: DomainRig, *states: ProposalState, names: tuple[str, ...] = ("h1", "h2", "h3", "h4", "h5")
) -> None:
    """No device lets anything go for these states, and each says what is wrong."""
    claim(rig, *states)
    before = sent(rig)
    for name in names:
        report = await rig.sync(name)
        assert report.problems
        assert not set(names) & set(report.culprits)
    assert sent(rig) == before


class TestApprovals:
    """m = 3 of 5. Two said yes; the relay wants the third."""

    def run(self, lie: Callable[[DomainRig, ProposalState], tuple[ProposalState, ...]]) -> None:
        rig = DomainRig(threshold=3)

        async def day() -> None:
            await formed(rig)
            state = await with_yes(rig, await asked(rig, "a reason"), "h1", "h2")
            assert state.status is Status.PENDING
            await no_fragment(rig, *lie(rig, state))

        rig.run(day())

    def test_it_just_says_complete(self) -> None:
        self.run(lambda _, state: (state,))

    def test_it_counts_one_twice(self) -> None:
        self.run(lambda _, s: (replace(s, approvals=(*s.approvals, s.approvals[0])),))

    def test_it_invents_one(self) -> None:
        def lie(rig: DomainRig, state: ProposalState) -> tuple[ProposalState, ...]:
            body = replace(decode(Approval, state.approvals[0].body), holder=HolderIndex(3))
            made = encode(body)
            forged = Envelope(body=made, signature=rig.key.sign(tags.APPROVAL, made))
            copied = Envelope(body=made, signature=state.approvals[0].signature)
            return tuple(
                replace(state, approvals=(*state.approvals, one)) for one in (forged, copied)
            )

        self.run(lie)

    def test_it_calls_a_late_or_missing_one_counted(self) -> None:
        self.run(lambda _, s: (replace(s, approvals=s.approvals[:1]), replace(s, approvals=())))

    def test_it_changes_what_was_asked(self) -> None:
        def lie(rig: DomainRig, state: ProposalState) -> tuple[ProposalState, ...]:
            body = state.proposal.body.replace(b"a reason", b"b reason")
            assert body != state.proposal.body
            return (replace(state, proposal=replace(state.proposal, body=body)),)

        self.run(lie)


def test_the_honest_way_does_send_fragments() -> None:
    """The positive control: without a lie, exactly the approvers send."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await formed(rig)
        state = await with_yes(rig, await asked(rig, "a reason"), "h1", "h2", "h5")
        assert state.status is Status.COMPLETE
        for number in range(1, 6):
            assert not (await rig.sync(f"h{number}")).problems
        assert sorted(sent(rig)) == ["h1", "h2", "h5"]

    rig.run(day())


def test_three_half_approved_requests_are_not_spliced_into_one() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await formed(rig)
        halves = []
        for number, reason in enumerate(("one", "two", "three"), start=1):
            halves.append(await with_yes(rig, await asked(rig, reason), f"h{number}"))
        together = tuple(state.approvals[0] for state in halves)
        await no_fragment(rig, *(replace(state, approvals=together) for state in halves))

    rig.run(day())


def test_approvals_of_another_proposal_are_not_replayed() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await formed(rig)
        done = await with_yes(rig, await asked(rig, "approved"), "h1", "h2", "h3")
        for name in ("h1", "h2", "h3"):
            await rig.sync(name)
        fresh = await with_yes(rig, await asked(rig, "not approved"), "h1")
        await no_fragment(
            rig,
            replace(fresh, approvals=done.approvals),
            replace(fresh, approvals=(*fresh.approvals, *done.approvals[1:])),
        )

    rig.run(day())


def test_an_expired_tally_moves_nobody() -> None:
    """A complete tally that is held back until it has expired."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await formed(rig)
        state = await with_yes(rig, await asked(rig, "soon over"), "h1", "h2")
        state = await with_yes(rig, state, "h3")
        assert sent(rig) == ["h3"]
        rig.clock.time += 24 * 3600
        await no_fragment(rig, state)

    rig.run(day())


def test_the_order_of_approvals_changes_nothing() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await formed(rig)
        state = await with_yes(rig, await asked(rig, "a reason"), "h1", "h2", "h3")
        claim(rig, replace(state, approvals=tuple(reversed(state.approvals))))
        for name in ("h1", "h2"):
            assert not (await rig.sync(name)).problems
        assert set(sent(rig)) == {"h1", "h2", "h3"}
        claim(rig, state)
        for name in ("h4", "h5"):  # they never approved: nothing leaves them on a good tally
            assert (await rig.sync(name)).problems
        assert set(sent(rig)) == {"h1", "h2", "h3"}

    rig.run(day())


async def removed(rig: DomainRig, name: str, *, by: list[str]) -> None:
    """A quorum of the others removes a holder."""
    client = rig.holder(by[0])
    synced, _ = await client.sync()
    proposal = client.member.new_proposal(REMOVE, options_body(name=name), synced.roster)
    await client.member.propose_with_yes(proposal, synced)
    for other in by[1:]:
        await rig.approve(other, proposal_id(proposal).hex())


def test_a_tally_whose_approvers_have_left_moves_nobody() -> None:
    """The approvals of a removed holder die with its membership."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await formed(rig)
        half = await with_yes(rig, await asked(rig, "before"), "h1", "h2")
        whole = await with_yes(rig, half, "h3")
        await removed(rig, "h3", by=["h1", "h2", "h4"])
        left = ("h1", "h2", "h4", "h5")
        for name in left * 3:  # until the new epoch is everywhere
            await rig.sync(name)
        await no_fragment(rig, whole, half, names=left)

    rig.run(day())


class TestWhatHoldersSign:
    """A holder checks for itself that a question is put to the holders as they are now."""

    def test_a_question_to_an_older_roster_is_not_approved(self) -> None:
        """Otherwise the authority could have a second successor of an old version signed."""
        rig = DomainRig(threshold=2)

        async def day() -> None:
            await rig.form(4)
            client = rig.holder("h1")
            old = (await client.member.sync()).roster
            stale = client.member.new_proposal(QUORUM, options_body(threshold=3, unlock=1), old)
            await rig.admit(rig.joining(rig.device("h5", Role.HOLDER)), by=["h1", "h2"])
            state = ProposalState(
                proposal=stale, approvals=(), rejections=(), late=(), status=Status.PENDING, why=""
            )
            offer(rig, state)
            for name in ("h1", "h2", "h3"):
                await self.refuses(rig, name, stale)

        rig.run(day())

    def test_a_question_by_somebody_without_the_right_is_not_approved(self) -> None:
        rig = DomainRig(threshold=2)

        async def day() -> None:
            await rig.form(3)
            await rig.requester("app")
            roster = (await rig.holder("h1").member.sync()).roster
            body = options_body(name="h3")
            by_app = rig.asker("app").member.new_proposal(REMOVE, body, roster)
            offer(rig, pending(by_app))
            await self.refuses(rig, "h1", by_app)

        rig.run(day())

    def test_nobody_is_made_to_join(self) -> None:
        """A card is public: whoever has it cannot ask in its owner's name."""
        rig = DomainRig(threshold=2)

        async def day() -> None:
            await rig.form(3)
            joining = rig.joining(rig.device("victim", Role.HOLDER))
            await joining.ask()
            client = rig.holder("h1")
            synced = await client.member.sync()
            (true,) = synced.proposals
            stolen = client.member.new_proposal(JOIN, true.proposal.body, synced.roster)
            offer(rig, pending(stolen))
            await self.refuses(rig, "h2", stolen)

        rig.run(day())

    async def refuses(self, rig: DomainRig, name: str, proposal: Envelope) -> None:
        client = rig.holder(name)
        synced = await client.member.sync()
        seen = next(one for one in synced.proposals if one.id == proposal_id(proposal))
        before = dump(rig.devices[name].disk)
        votes = len(sent_on(rig, messages.VOTE))
        with pytest.raises(Refused):
            client.member.new_verdict(proposal, synced, Verdict.APPROVE)
        with pytest.raises(Refused):
            await client.approve(seen, synced)
        assert dump(rig.devices[name].disk) == before
        assert len(sent_on(rig, messages.VOTE)) == votes


def pending(proposal: Envelope) -> ProposalState:
    return ProposalState(
        proposal=proposal, approvals=(), rejections=(), late=(), status=Status.PENDING, why=""
    )


def offer(rig: DomainRig, state: ProposalState) -> None:
    """Show everybody who syncs this open proposal."""

    def rewrite(_: str, raw: bytes) -> bytes:
        reply = decode(SyncReply, raw)
        return encode(replace(reply, proposals=(*reply.proposals, state)))

    tell(rig, messages.SYNC, rewrite)


class TestVerdictsInSync:
    """What a device shows its person about who voted is verified too."""

    def run(self, lie: Callable[[ProposalState, ProposalState], ProposalState]) -> None:
        rig = DomainRig(threshold=3)

        async def day() -> None:
            await formed(rig)
            one = await with_yes(rig, await asked(rig, "one"), "h1", "h2")
            client = rig.holder("h3")
            synced = await client.member.sync()
            seen = await client.member.find(proposal_id(one.proposal), synced)
            one = await client.reject(seen, synced, "no")
            two = await with_yes(rig, await asked(rig, "two"), "h2")
            assert (await rig.holder("h4").member.sync()).proposals

            def rewrite(_: str, raw: bytes) -> bytes:
                return encode(replace(decode(SyncReply, raw), proposals=(lie(one, two),)))

            tell(rig, messages.SYNC, rewrite)
            before = dump(rig.devices["h4"].disk)
            with pytest.raises(PeerFault) as fault:
                await rig.holder("h4").member.sync()
            assert fault.value.culprits == ("authority",)
            assert not fault.value.sure
            assert dump(rig.devices["h4"].disk) == before

        rig.run(day())

    def test_approvals_shown_as_rejections(self) -> None:
        self.run(lambda one, _: replace(one, approvals=(), rejections=one.approvals))

    def test_rejections_shown_as_approvals(self) -> None:
        self.run(lambda one, _: replace(one, approvals=one.rejections, rejections=()))

    def test_a_rejection_counted_twice(self) -> None:
        self.run(lambda one, _: replace(one, rejections=one.rejections * 2))

    def test_approvals_of_another_proposal(self) -> None:
        self.run(lambda one, two: replace(one, approvals=two.approvals))

    def test_a_rejected_one_that_is_not(self) -> None:
        self.run(lambda one, _: replace(one, status=Status.REJECTED))

    def test_a_complete_one_that_is_not(self) -> None:
        self.run(lambda one, _: replace(one, status=Status.COMPLETE))


async def fork(rig: DomainRig, syncing: int = 2) -> None:
    """Each half of four holders takes in another requester; of a half so many learn of it."""
    await rig.form(4)
    twin(rig)
    for server, half, joiner in (
        ("authority", ("h1", "h2"), "app"),
        ("twin", ("h3", "h4"), "web"),
    ):
        device = rig.device(joiner, Role.REQUESTER)
        lead(rig, server, joiner, *half)
        await rig.admit(rig.joining(device), by=half)
        for name in half[:syncing]:
            await rig.holder(name).member.sync()


class TestForkedRosters:
    def test_two_successors_convict_it_and_holders_stop(self) -> None:
        """m = 2 of 4: each half approves another change; the authority signs both."""
        rig = DomainRig(threshold=2)

        async def day() -> None:
            await fork(rig)
            ours, theirs = rig.holder("h1").member.chain(), rig.holder("h3").member.chain()
            assert ours.current.version == theirs.current.version
            assert ours.current.hash != theirs.current.hash
            await self.shown_the_other(rig, theirs.signed[-1])

        rig.run(day())

    async def shown_the_other(self, rig: DomainRig, other: object) -> None:
        def rewrite(_: str, raw: bytes) -> bytes:
            return encode(replace(decode(SyncReply, raw), rosters=(other,)))

        client = rig.holder("h1")
        synced = await client.member.sync()
        chain = client.member.chain()
        tell(rig, messages.SYNC, rewrite)
        with pytest.raises(PeerFault) as convicted:
            await client.member.sync()
        assert convicted.value.sure
        assert convicted.value.culprits == ("authority",)
        assert client.member.chain() == chain
        tell(rig, messages.SYNC, lambda _, raw: raw)  # it behaves again: too late
        calls = len(rig.network.events)
        asked = client.member.new_proposal(
            QUORUM, options_body(threshold=3, unlock=1), synced.roster
        )
        for again in (
            client.member.sync,
            client.sync,
            lambda: rig.unlock_by("h1"),
        ):
            with pytest.raises(PeerFault) as stopped:
                await again()
            assert stopped.value.sure
        with pytest.raises(PeerFault):
            client.member.new_verdict(asked, synced, Verdict.APPROVE)
        assert len(rig.network.events) == calls

    def test_a_fork_shows_in_the_verdicts_of_the_others(self) -> None:
        """The same holders on both branches, so that the question itself fits both."""
        rig = DomainRig(threshold=2)

        async def day() -> None:
            await fork(rig, syncing=1)
            asker = rig.holder("h3")
            synced = await asker.member.sync()
            question = asker.member.new_proposal(Name("custody.create"), CREATE, synced.roster)
            blind = replace(synced, checkpoint="")  # else the two logs convict it at once
            yes = asker.member.new_verdict(question, blind, Verdict.APPROVE)
            offer(rig, replace(pending(question), approvals=(yes,)))
            with pytest.raises(PeerFault, match="another roster") as fault:
                await rig.holder("h1").member.sync()
            assert not fault.value.sure

        rig.run(day())

    def test_a_successor_of_another_past_convicts_it(self) -> None:
        rig = DomainRig(threshold=2)

        async def day() -> None:
            await fork(rig)
            await rig.admit(second(rig), by=["h3", "h4"])
            lead(rig, "twin", "h1")
            with pytest.raises(PeerFault) as convicted:
                await rig.holder("h1").member.sync()
            assert convicted.value.sure

        rig.run(day())


def second(rig: DomainRig):
    device = rig.device("third", Role.REQUESTER)
    lead(rig, "twin", "third")
    return rig.joining(device)


CREATE = options_body(key="payroll", suite="shamir-gf256", acks=4, requester=[], unattended=False)


@pytest.mark.requirement("C6")
def test_an_older_roster_is_not_taken_and_not_unlocked_against() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        old = dump(rig.disk)
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
        for name in ("h1", "h2", "h3"):
            await rig.holder(name).member.sync()
        newest = rig.holder("h1").member.chain().current
        rig.disk = filled(old)
        rig.start_authority()
        with pytest.raises(Refused, match="older roster"):
            await rig.unlock_by("h1")  # and brings it the newer one
        assert rig.authority.chain.current == newest
        with pytest.raises(PeerFault, match="cut"):
            await rig.unlock_by("h1")
        assert rig.authority.locked
        assert rig.holder("h1").member.chain().current == newest

    rig.run(day())


def test_a_stale_authority_is_noticed_at_sync() -> None:
    """It shows the state of an old disk: the log it shows is shorter than the one it showed."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        disk = filled(dump(rig.disk))
        await rig.requester("app")
        for name in ("h1", "h2", "h3"):
            await rig.holder(name).member.sync()
        twin(rig, disk=disk)
        lead(rig, "twin", "h1")
        before = dump(rig.devices["h1"].disk)
        with pytest.raises(PeerFault, match="cut"):
            await rig.holder("h1").member.sync()
        assert dump(rig.devices["h1"].disk) == before

    rig.run(day())


def test_an_older_checkpoint_is_never_cosigned() -> None:
    """No proofs and an old checkpoint: the device neither takes it nor signs it on."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        old = (await rig.holder("h1").member.sync()).checkpoint
        await rig.requester("app")
        newest = (await rig.holder("h1").member.sync()).checkpoint
        assert newest != old

        def rewrite(_: str, raw: bytes) -> bytes:
            return encode(replace(decode(SyncReply, raw), checkpoint=old, proofs=()))

        tell(rig, messages.SYNC, rewrite)
        with pytest.raises(PeerFault):
            await rig.holder("h1").member.sync()

    rig.run(day())


class TestDifferentLogs:
    """Each half of the holders is shown another log, both signed by the authority."""

    def test_cosigned_checkpoints_convict_it(self) -> None:
        rig = DomainRig(threshold=3)

        async def day() -> None:
            await formed(rig)
            twin(rig)
            lead(rig, "twin", "h4", "h5")
            state = await asked(rig, "a reason")
            await with_yes(rig, state, "h1")  # cosigns the first log
            await other_entry(rig, "h4")
            approval = await with_yes(rig, await self.same(rig, state), "h4")  # the other one
            seen = rig.holder("h2")
            offer(rig, replace(state, approvals=approval.approvals))
            with pytest.raises(PeerFault) as fault:
                await seen.member.sync()
            assert "log" in str(fault.value)

        rig.run(day())

    async def same(self, rig: DomainRig, state: ProposalState) -> ProposalState:
        """The twin is told of the same proposal."""
        lead(rig, "twin", "app")
        return await rig.asker("app").member.propose(state.proposal)


async def other_entry(rig: DomainRig, name: str) -> None:
    """Something happens at the server this device talks to."""
    client = rig.holder(name)
    synced = await client.member.sync()
    await client.member.propose(
        client.member.new_proposal(QUORUM, options_body(threshold=3, unlock=1), synced.roster)
    )
    await client.member.sync()


def rewritten(rig: DomainRig, change: Callable[[list[AuditEntry]], list[AuditEntry]]) -> None:
    """The authority writes its whole log anew and signs what it likes."""
    log = AuditLog(log_origin(rig.authority.chain.current.domain), rig.key)
    with rig.disk.transaction() as tx:
        entries = change(list(log.entries(tx)))
        for table in (ENTRIES, NODES, HEAD):
            for key, _ in list(tx.scan(table)):
                tx.delete(table, key)
        for one in entries:
            log.append(
                tx,
                time=one.time,
                kind=one.kind,
                actor=one.actor,
                summary=one.summary,
                detail=one.detail,
            )


def without(entries: list[AuditEntry]) -> list[AuditEntry]:
    return [entry for entry in entries if "app" not in entry.summary]


REWRITES = {
    "an entry changed": lambda e: [*e[:3], replace(e[3], summary="nothing happened"), *e[4:]],
    "the first entry changed": lambda e: [replace(e[0], actor="nobody"), *e[1:]],
    "the last entry changed": lambda e: [*e[:-1], replace(e[-1], time=7)],
    "the end cut": lambda e: e[:-1],
    "all cut": lambda e: e[:1],
    "an entry left out": without,
    "left out and filled up": lambda e: [*without(e), *[e[-1]] * (len(e) - len(without(e)) + 3)],
    "two exchanged": lambda e: [*e[:2], e[3], e[2], *e[4:]],
    "one added in the middle": lambda e: [*e[:4], e[4], *e[4:]],
}


@pytest.mark.parametrize("change", REWRITES.values(), ids=REWRITES)
def test_a_rewritten_log_is_caught_by_a_holder_that_cosigned(change) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        client = rig.holder("h1")
        await client.member.sync()
        report = await Audit(client.member).report()
        assert report.cosigned_by == ("h1", "h2")
        rewritten(rig, change)
        with pytest.raises(PeerFault) as caught:
            await Audit(client.member).report()
        assert caught.value.culprits == ("authority",)
        with pytest.raises(PeerFault):
            await client.member.sync()

    rig.run(day())


def test_a_log_that_only_grew_is_no_fault() -> None:
    """The positive control of the rewrites."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        client = rig.holder("h1")
        first = await Audit(client.member).report()
        rewritten(rig, lambda entries: entries)
        assert (await Audit(client.member).report()).entries == first.entries
        await rig.requester("app")
        assert len((await Audit(client.member).report()).entries) > len(first.entries)

    rig.run(day())


def test_a_forked_log_is_caught_by_comparing_what_others_cosigned() -> None:
    """h1 follows the branch that it is shown; h2 has cosigned the other one in an approval."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.holder("h1").member.sync()
        saved = dump(rig.disk)
        await other_entry(rig, "h3")
        state = (await rig.holder("h2").member.sync()).proposals[0]
        await rig.approve("h2", str(state.id))
        told = await rig.holder("h2").member.proposal(state.id)
        assert told.approvals
        twin(rig, disk=filled(saved))
        lead(rig, "twin", "h1")
        for number in range(4):
            stranger = rig.device(f"s{number}", Role.HOLDER)
            lead(rig, "twin", stranger.name)
            await rig.joining(stranger).ask()
        client = rig.holder("h1")
        await Audit(client.member).report()  # so far h1 has nothing to compare with
        rig.network.equivocate("twin", lambda _, path, raw: shown_as(path, raw, told))
        with pytest.raises(PeerFault):
            await Audit(client.member).report()

    rig.run(day())


def shown_as(path: str, raw: bytes, state: ProposalState) -> bytes:
    """The approvals must be shown some day, or nothing comes of them."""
    if path != messages.TALLIES:
        return raw
    return encode(messages.TalliesReply(proposals=(state,)))


def test_an_answer_signed_by_nobody_is_refused() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        text = (await rig.holder("h1").member.sync()).checkpoint
        other = text.replace("\u2014 tigertally", "\u2014 tigertallx")
        assert other != text

        def rewrite(_: str, raw: bytes) -> bytes:
            return encode(replace(decode(SyncReply, raw), checkpoint=other))

        tell(rig, messages.SYNC, rewrite)
        with pytest.raises(InvalidSignature):
            await rig.holder("h1").member.sync()

    rig.run(day())
