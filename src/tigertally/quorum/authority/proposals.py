"""Proposals at the authority: it takes them, counts verdicts, and carries out; it never votes.

Each handler works on one `DomainDesk` (one transaction) and raises the errors of `base/errors.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tigertally.base.codec import decode
from tigertally.base.errors import (
    MalformedMessage,
    NewerVersion,
    PeerFault,
    Refused,
    Unavailable,
    UsageError,
    WrongTime,
)
from tigertally.base.ids import ProposalId, Text
from tigertally.base.limits import (
    MAX_OPEN_OF_ONE,
    MAX_OPEN_PROPOSALS,
    MIN_PROPOSAL_SECONDS,
)
from tigertally.base.text import fault_of
from tigertally.crypto.envelope import Envelope, parse_message
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum import changes, messages
from tigertally.quorum.approval import Approval, Verdict, attachment_hash
from tigertally.quorum.authority import rows
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.joins import Joins
from tigertally.quorum.authority.strangers import STRANGERS, Counted
from tigertally.quorum.chain import next_roster
from tigertally.quorum.kinds import (
    Kind,
    Kinds,
    check_formed,
    check_shows,
    kind_of,
    proposer_name,
    words_of,
)
from tigertally.quorum.pending import Pending, Status, propose, with_verdict
from tigertally.quorum.proposal import (
    Proposal,
    check_few_options,
    open_proposal,
    parsed_body,
    proposal_id,
)
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import VerifiedTally, verify_tally
from tigertally.quorum.words import Quote, in_one_line

_SUMMARY = 400  # characters of an audit entry's summary

RosterHook = Callable[[DomainDesk, Roster, VerifiedTally], None]


class Executor(ABC):
    """What the authority does about one kind. `node/wiring` pairs executors with kinds."""

    @abstractmethod
    def check(self, desk: DomainDesk, proposal: Proposal, body: Any) -> None:
        """Check that this could be executed now; `Refused` says what a person can do about it."""

    def admitted(  # noqa: B027  most kinds need nothing
        self, desk: DomainDesk, pending: Pending, body: Any
    ) -> None:
        """Get ready what approvers will need of a proposal that was taken; nothing, if not said."""

    def check_attachment(
        self, desk: DomainDesk, pending: Pending, body: Any, approval: Approval, attachment: bytes
    ) -> None:
        """Check what travels beside this approval; nothing may, if not said."""
        if attachment:
            raise MalformedMessage("nothing travels with the approval of such a proposal")

    @abstractmethod
    def execute(self, desk: DomainDesk, tally: VerifiedTally, body: Any) -> None:
        """Carry it out, in the transaction of the approval that completed it."""

    def late(  # noqa: B027  most kinds take no late approval
        self, desk: DomainDesk, pending: Pending, approval: Approval
    ) -> None:
        """Do what an approval beyond the quorum asks for; nothing, if not said."""


class ChangeRoster(Executor):
    """Executes the roster's own kinds."""

    def __init__(self, hooks: tuple[RosterHook, ...]) -> None:
        self._hooks = hooks

    def check(self, desk: DomainDesk, proposal: Proposal, body: Any) -> None:
        """Refuse a change that is not possible on this roster."""
        new = changes.apply_change(desk.roster, proposal, created=desk.now)
        desk.known_chain.check_new_names(new)

    def execute(self, desk: DomainDesk, tally: VerifiedTally, body: Any) -> None:
        """Sign and store the next roster; the hooks see old (on the desk) and new."""
        old = desk.known_chain
        pending = rows.get_pending(desk.sealed, tally.id)
        signed = next_roster(old.current, pending.tally(), desk.key, now=desk.now)
        chain = old.extended((signed,))
        rows.put_roster(desk.plain, signed)
        desk.chain = chain
        for hook in self._hooks:
            hook(desk, old.current, tally)
        new = chain.current
        desk.record(
            "roster.changed",
            actor="authority",
            summary=f"{tally.proposal.kind}: roster version {new.version}",
            detail=new.hash,
        )
        for roster in (old.current, new):  # requesters too: what they wait for may be void now
            desk.wake(holder.signing_key for holder in roster.holders)
            desk.wake(requester.signing_key for requester in roster.requesters)
        wake_proposers(desk)


class QuorumService:
    """Proposals and verdicts at the authority.

    Raises:
        UsageError: a kind has no executor, or an executor no kind.
    """

    def __init__(self, kinds: Kinds, executors: Mapping[str, Executor], counted: Counted) -> None:
        if apart := set(kinds) ^ set(executors):
            raise UsageError(f"kinds and executors do not pair: {', '.join(sorted(apart))}")
        self._kinds = kinds
        self._executors = executors
        self._counted = counted
        self._joins = Joins()

    def propose(
        self, desk: DomainDesk, request: messages.ProposeRequest, peer: VerifyKey
    ) -> messages.ProposalState:
        """Take a proposal, with its proposer's own approval if it is a holder's.

        Raises:
            MalformedMessage, InvalidSignature, Refused, Locked
        """
        known = proposal_id(request.proposal)
        if rows.PROPOSALS.has(desk.sealed, known):
            pending = self._readable(desk, known, peer)
        else:
            pending = self._admitted(desk, request, peer)
        if request.approval is not None:
            desk.holder(peer)
            pending = self._count(desk, pending, request.approval, request.attachment, peer=peer)
        return state_for(desk, pending, peer)

    def _admitted(
        self, desk: DomainDesk, request: messages.ProposeRequest, peer: VerifyKey
    ) -> Pending:
        try:
            return self._admit(desk, request, peer)
        except (MalformedMessage, PeerFault, Refused):
            if _is_stranger(desk.roster, peer):
                self._counted.note(
                    "proposal.refused", actor=STRANGERS, did="asked to join and were refused"
                )
            raise

    def _admit(
        self, desk: DomainDesk, request: messages.ProposeRequest, peer: VerifyKey
    ) -> Pending:
        roster = desk.roster
        self._room(desk, peer)
        if _is_stranger(roster, peer):
            check_few_options(request.proposal.body)
        if decode(Proposal, request.proposal.body).proposer != peer:
            raise Refused("a proposal is handed in by its proposer")
        proposal = open_proposal(request.proposal)
        if roster.holder_of(peer) is None and desk.now < proposal.expires:
            _check_stands(proposal, now=desk.now)
        try:
            kind, body = self._parsed(proposal)
        except NewerVersion as error:
            raise NewerVersion(
                f"the authority's program is older than this proposal ({error}): upgrade that first"
            ) from error
        pending = propose(request.proposal, roster, now=desk.now)
        check_formed(kind, roster)
        kind.may_propose(roster, proposal, body)
        check_shows(self._kinds, proposal)
        self._executors[kind.name].check(desk, proposal, body)
        rows.put_pending(desk.sealed, pending)
        if _is_stranger(roster, peer):
            self._joins.add(pending.id, desk.address, now=desk.now)
        self._executors[kind.name].admitted(desk, pending, body)
        who = proposer_name(desk.known_chain, proposal)
        words = words_of(self._kinds, proposal, roster, by=who)
        desk.record(
            "proposal.made",
            actor=roster.name_of(peer),
            summary=in_one_line(f"{proposal.kind}: {words.facts}", words.quotes, most=_SUMMARY),
            detail=pending.id,
        )
        desk.wake_holders()
        return pending

    def _parsed(self, proposal: Proposal) -> tuple[Kind, Any]:
        kind = kind_of(self._kinds, proposal)
        return kind, parsed_body(kind.parse, proposal)

    def _room(self, desk: DomainDesk, peer: VerifyKey) -> None:
        """Is there room for one more of this peer?

        Holders have room of their own: a requester or stranger who fills the table cannot keep
        them from proposing its removal.
        """
        roster = desk.roster
        holders = {holder.signing_key for holder in roster.holders}
        listed = {member.signing_key for member in roster.members}
        open_ = list(rows.open_proposals(desk.sealed))
        if sum(proposer == peer for _, proposer in open_) >= MAX_OPEN_OF_ONE:
            raise Unavailable("too many open proposals of this device: let holders answer some")
        if peer in holders:
            return
        if sum(proposer not in holders for _, proposer in open_) >= MAX_OPEN_PROPOSALS:
            raise Unavailable("too many open proposals: let holders answer some first")
        if peer not in listed:
            self._room_to_join(desk, [id_ for id_, proposer in open_ if proposer not in listed])

    def _room_to_join(self, desk: DomainDesk, open_: list[ProposalId]) -> None:
        def unanswered(id_: ProposalId) -> bool:
            pending = rows.get_pending(desk.sealed, id_)
            return not (pending.approvals or pending.rejections)

        leaving = self._joins.leaving(open_, desk.address, now=desk.now, unanswered=unanswered)
        if leaving is not None:
            pending = rows.get_pending(desk.sealed, leaving)
            pending = pending.moved_to(Status.VOID, "it gave way to newer requests: ask again")
            self._close(desk, pending)
            desk.wake([open_proposal(pending.proposal).proposer])

    def vote(
        self, desk: DomainDesk, request: messages.VoteRequest, peer: VerifyKey
    ) -> messages.ProposalState:
        """Take one holder's verdict with its attachment.

        Raises:
            MalformedMessage, InvalidSignature, Refused, Locked
        """
        desk.holder(peer)
        approval = decode(Approval, request.verdict.body)
        pending = rows.get_pending(desk.sealed, approval.proposal)
        pending = self._count(desk, pending, request.verdict, request.attachment, peer=peer)
        return state_for(desk, pending, peer)

    def _count(
        self,
        desk: DomainDesk,
        pending: Pending,
        verdict: Envelope,
        attachment: bytes,
        *,
        peer: VerifyKey,
    ) -> Pending:
        roster = desk.roster
        if decode(Approval, verdict.body).holder != desk.holder(peer).index:
            raise Refused("a verdict is handed in by its holder")
        before = self._refreshed(desk, pending)
        kind, body = self._parsed(open_proposal(before.proposal))
        executor = self._executors[kind.name]
        pending, approval = with_verdict(
            before, verdict, roster, now=desk.now, takes_late=kind.takes_late_approvals
        )
        if pending == before:
            return pending
        if fault := fault_of(approval.reason):
            raise Refused(f"the reason has {fault}: say it in plain letters and spaces")
        desk.known_chain.check_cast(approval, open_proposal(pending.proposal))
        self._check_attachment(desk, pending, approval, attachment)
        if attachment:
            rows.ATTACHMENTS.put(desk.sealed, (pending.id, approval.holder), attachment)
        rows.put_pending(desk.sealed, pending)
        rows.forget_attachments(desk.sealed, pending)
        self._record_verdict(desk, pending, approval)
        if verdict in pending.late:
            executor.late(desk, pending, approval)
        elif pending.status is Status.COMPLETE:
            self._execute(desk, executor, pending, body)
        if pending.status is not before.status:
            desk.wake(roster.holder(h).signing_key for h in _yes(pending, roster))
            # Who takes late approvals still waits for something, and wakes the proposer with it.
            if pending.status is not Status.COMPLETE or not kind.takes_late_approvals:
                desk.wake([open_proposal(pending.proposal).proposer])
        return pending

    def _check_attachment(
        self, desk: DomainDesk, pending: Pending, approval: Approval, attachment: bytes
    ) -> None:
        expected = attachment_hash(attachment) if attachment else None
        if approval.attachment != expected:
            raise MalformedMessage("the approval does not sign what travels beside it")
        if approval.verdict is Verdict.APPROVE:
            kind, body = self._parsed(open_proposal(pending.proposal))
            self._executors[kind.name].check_attachment(desk, pending, body, approval, attachment)
        elif attachment:
            raise MalformedMessage("nothing travels beside a rejection")

    def _record_verdict(self, desk: DomainDesk, pending: Pending, approval: Approval) -> None:
        who = desk.roster.holder(approval.holder).name
        done = "approved" if approval.verdict is Verdict.APPROVE else "rejected"
        said = [Quote(by=who, what="reason", text=approval.reason)] if approval.reason else []
        summary = in_one_line(f"{who} {done}", said, most=_SUMMARY)
        desk.record(f"proposal.{done}", actor=who, summary=summary, detail=pending.id)

    def _execute(self, desk: DomainDesk, executor: Executor, pending: Pending, body: Any) -> None:
        """Carry out a complete tally, once, in the transaction that completed it."""
        tally = verify_tally(pending.tally(), desk.roster)
        executor.execute(desk, tally, body)
        desk.record(
            "tally.executed",
            actor="authority",
            summary=f"{tally.proposal.kind} approved by {len(tally.approvals)}",
            detail=pending.id,
        )

    def proposal(
        self, desk: DomainDesk, request: messages.ProposalRequest, peer: VerifyKey
    ) -> messages.ProposalState:
        """How a proposal stands: for members, and for the one who proposed it."""
        pending = self._readable(desk, request.id, peer)
        return state_for(desk, self._refreshed(desk, pending), peer)

    def _readable(self, desk: DomainDesk, id_: ProposalId, peer: VerifyKey) -> Pending:
        """A proposal that this peer may read: its own, or as a member any."""
        pending = rows.get_pending(desk.sealed, id_)
        if open_proposal(pending.proposal).proposer != peer:
            desk.member(peer)
        return pending

    def _refreshed(self, desk: DomainDesk, pending: Pending) -> Pending:
        """The state as of now: expired, or void because it has become impossible."""
        fresh = pending.refreshed(desk.roster, now=desk.now)
        if fresh.status is Status.PENDING:
            proposal = open_proposal(fresh.proposal)
            kind, body = self._parsed(proposal)
            try:
                self._executors[kind.name].check(desk, proposal, body)
            except Refused as error:
                fresh = fresh.moved_to(Status.VOID, str(error))
        if fresh != pending:
            self._close(desk, fresh)
        return fresh

    def _close(self, desk: DomainDesk, ended: Pending) -> None:
        """Nobody completes this any more. What strangers asked is counted, not written each."""
        rows.put_pending(desk.sealed, ended)
        rows.forget_attachments(desk.sealed, ended)
        desk.wake([open_proposal(ended.proposal).proposer])
        kind = f"proposal.{ended.status.value}"
        if _is_stranger(desk.roster, open_proposal(ended.proposal).proposer):
            self._counted.add(desk, kind, actor=STRANGERS, did="asked to join; nobody let them in")
            return
        desk.record(kind, actor="authority", summary=ended.why, detail=ended.id)

    def check_waits(self, desk: DomainDesk, peer: VerifyKey) -> None:
        """Has this peer, who is no member, an open proposal to wait for? Raises `Unavailable`."""
        if all(proposer != peer for _, proposer in rows.open_proposals(desk.sealed)):
            raise Unavailable("this device has asked for nothing that it could wait for")

    def open_states(
        self, desk: DomainDesk, mine: VerifyKey | None = None
    ) -> tuple[messages.ProposalState, ...]:
        """All pending proposals (of one proposer), brought up to date."""
        found = []
        for id_, proposer in list(rows.open_proposals(desk.sealed)):
            if mine is not None and proposer != mine:
                continue
            with desk.apart():
                pending = self._refreshed(desk, rows.get_pending(desk.sealed, id_))
                if pending.status is Status.PENDING:
                    found.append(state_of(pending))
        return tuple(found)


def wake_proposers(desk: DomainDesk) -> None:
    """What has just been carried out may have ended other proposals: let their proposers look.

    Those who want to join are in no roster, and nobody else wakes them.
    """
    desk.wake(proposer for _, proposer in rows.open_proposals(desk.sealed))


def _is_stranger(roster: Roster, key: VerifyKey) -> bool:
    return all(member.signing_key != key for member in roster.members)


def _check_stands(proposal: Proposal, *, now: int) -> None:
    """Refuse a proposal that is over before anybody has read it.

    **Security:** places for open proposals are counted. One that frees its place a second later
    makes room for the next, and each stays on the disk, in the log, and wakes every holder.
    """
    if proposal.expires < now + MIN_PROPOSAL_SECONDS:
        raise WrongTime(
            f"a proposal stands for {MIN_PROPOSAL_SECONDS // 60} minutes at least, so that holders "
            "can answer it: check the clock of this device"
        )


def state_of(pending: Pending) -> messages.ProposalState:
    """A proposal's state as it travels."""
    return messages.ProposalState(
        proposal=pending.proposal,
        approvals=pending.approvals,
        rejections=pending.rejections,
        late=pending.late,
        status=pending.status,
        why=Text(pending.why),
    )


def state_for(desk: DomainDesk, pending: Pending, peer: VerifyKey) -> messages.ProposalState:
    """A proposal's state for this peer: one who is no member does not see who voted (C13)."""
    state = state_of(pending)
    if any(member.signing_key == peer for member in desk.roster.members):
        return state
    return replace(state, approvals=(), rejections=(), late=())


def _yes(pending: Pending, roster: Roster) -> tuple[int, ...]:
    return tuple(
        parse_message(Approval, e.body).holder for e in (*pending.approvals, *pending.late)
    )
