"""What becomes of a proposal at the authority: the table of states, and one step a verdict.

No I/O. Exactly one outcome: once closed, a proposal never opens again, and the same approval
twice is the same as once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from tigertally.base.errors import Refused
from tigertally.base.ids import HolderIndex, ProposalId, Text
from tigertally.crypto.envelope import Envelope
from tigertally.quorum.approval import Approval, Verdict, open_approval
from tigertally.quorum.proposal import Proposal, open_proposal, proposal_id
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import (
    THE_AUTHORITY,
    Tally,
    check_approval,
    check_electorate,
    check_open,
    check_unexpired,
    needed,
    voters,
)


class Status(Enum):
    """Where a proposal stands."""

    PENDING = "pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"


# Who may follow whom. Everything but PENDING is final.
NEXT: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.COMPLETE, Status.REJECTED, Status.EXPIRED, Status.VOID}),
    Status.COMPLETE: frozenset(),
    Status.REJECTED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.VOID: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A proposal with the verdicts it has, and why it was closed.

    `late` are approvals beyond the quorum; they never count, but may carry something useful.
    """

    proposal: Envelope
    approvals: tuple[Envelope, ...] = ()
    rejections: tuple[Envelope, ...] = ()
    late: tuple[Envelope, ...] = ()
    status: Status = Status.PENDING
    why: Text = Text("")

    @property
    def id(self) -> ProposalId:
        """The proposal's id."""
        return proposal_id(self.proposal)

    def tally(self) -> Tally:
        """The proposal with the approvals that closed it."""
        return Tally(proposal=self.proposal, approvals=self.approvals)

    def moved_to(self, status: Status, why: str = "") -> Pending:
        """The next state; `Refused` if it may not follow."""
        if status not in NEXT[self.status]:
            raise Refused(f"the proposal is {self.status.value}")
        return replace(self, status=status, why=Text(why[:200]))

    def refreshed(self, roster: Roster, *, now: int) -> Pending:
        """Expired or void by now? The state as of this moment."""
        if self.status is not Status.PENDING:
            return self
        proposal = open_proposal(self.proposal)
        if now >= proposal.expires:
            return self.moved_to(Status.EXPIRED, "nobody completed it in time")
        try:
            check_electorate(roster, proposal)
        except Refused as error:
            return self.moved_to(Status.VOID, str(error))
        return self


def propose(envelope: Envelope, roster: Roster, *, now: int) -> Pending:
    """Accept a new proposal.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: another electorate, expired, or made in the future.
    """
    proposal = open_proposal(envelope)
    check_electorate(roster, proposal)
    check_open(proposal, now=now, clock=THE_AUTHORITY)
    return Pending(proposal=envelope)


def with_verdict(
    pending: Pending,
    envelope: Envelope,
    roster: Roster,
    *,
    now: int,
    takes_late: bool,
) -> tuple[Pending, Approval]:
    """Count one holder's verdict.

    Returns:
        The new state and the verified verdict. The same bytes again change nothing, nor does a
        yes beyond the quorum to a kind that takes none.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: no vote, voted otherwise before, or the proposal is closed.
    """
    proposal = open_proposal(pending.proposal)
    approval = open_approval(envelope, roster)
    check_approval(approval, proposal, pending.id, roster)
    if envelope in (*pending.approvals, *pending.rejections, *pending.late):
        return pending, approval
    if approval.holder in _voted(pending, roster):
        raise Refused(f"holder {approval.holder} has voted on this proposal already")
    check_unexpired(proposal, now=now, clock=THE_AUTHORITY)
    if pending.status is Status.COMPLETE and approval.verdict is Verdict.APPROVE:
        late = (*pending.late, envelope) if takes_late else pending.late
        return replace(pending, late=late), approval
    if pending.status is not Status.PENDING:
        raise Refused(f"the proposal is {pending.status.value} already")
    return _counted(pending, approval, envelope, proposal, roster), approval


def _voted(pending: Pending, roster: Roster) -> set[HolderIndex]:
    everything = (*pending.approvals, *pending.rejections, *pending.late)
    return {open_approval(envelope, roster).holder for envelope in everything}


def _counted(
    pending: Pending, approval: Approval, envelope: Envelope, proposal: Proposal, roster: Roster
) -> Pending:
    want = needed(roster, proposal)
    if approval.verdict is Verdict.APPROVE:
        pending = replace(pending, approvals=(*pending.approvals, envelope))
        if len(pending.approvals) >= want:
            return pending.moved_to(Status.COMPLETE)
        return pending
    pending = replace(pending, rejections=(*pending.rejections, envelope))
    if voters(roster, proposal) - len(pending.rejections) < want:
        return pending.moved_to(Status.REJECTED, "too many holders said no")
    return pending
