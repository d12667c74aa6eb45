"""The tally: a proposal with a quorum of approvals. Anyone with the roster verifies it offline.

Rules, numbered as in `docs/protocols/quorum.md`. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from tigertally.base.clock import time_text
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused, WrongTime
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.base.limits import CLOCK_SKEW, MAX_HOLDERS
from tigertally.crypto.envelope import Envelope
from tigertally.quorum import changes
from tigertally.quorum.approval import Approval, Verdict, open_approval
from tigertally.quorum.proposal import Proposal, open_proposal, proposal_id
from tigertally.quorum.roster import Roster

THIS_DEVICE, THE_AUTHORITY = "this device", "the authority"  # whose clock it is, in `check_open`


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A proposal and approvals of it, as they travel: not yet verified."""

    MOST_ITEMS: ClassVar[int] = 5 + 3 * MAX_HOLDERS

    proposal: Envelope
    approvals: tuple[Envelope, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedTally:
    """A tally that `verify_tally` has checked against a roster."""

    id: ProposalId
    proposal: Proposal
    approvals: tuple[Approval, ...]

    @property
    def approved_by(self) -> tuple[HolderIndex, ...]:
        """Who said yes, ascending."""
        return tuple(sorted(approval.holder for approval in self.approvals))


def needed(roster: Roster, proposal: Proposal) -> int:
    """How many holders must approve this proposal.

    While forming it is all of them; a change of the quorum needs the larger of the two numbers.
    """
    if roster.forming:
        return len(roster.holders)
    if proposal.kind == changes.QUORUM:
        change = changes.parse_quorum(proposal.options())
        return max(roster.threshold, change.threshold)
    return roster.threshold


def may_vote(roster: Roster, proposal: Proposal, index: HolderIndex) -> bool:
    """A holder votes on everything but its own removal."""
    if proposal.kind != changes.REMOVE:
        return any(holder.index == index for holder in roster.holders)
    target = changes.parse_remove(proposal.options()).name
    return any(h.index == index and h.name != target for h in roster.holders)


def voters(roster: Roster, proposal: Proposal) -> int:
    """How many holders may vote on this proposal."""
    return sum(may_vote(roster, proposal, holder.index) for holder in roster.holders)


def check_electorate(roster: Roster, proposal: Proposal) -> None:
    """Is this proposal put to exactly these holders and this quorum?

    Raises:
        Refused: another domain, other holders or quorum, or it follows another roster.
    """
    check_put_to(roster, proposal)
    follows = proposal.kind in changes.KINDS
    if follows != (proposal.predecessor is not None):
        raise MalformedMessage("exactly the proposals that change the roster name a predecessor")
    if follows and proposal.predecessor != roster.hash:
        raise Refused(
            "the roster has changed since this was proposed",
            advice="its proposer must propose it again",
        )


def check_put_to(roster: Roster, proposal: Proposal) -> None:
    """Of any kind: is this proposal put to these holders and this quorum? Raises `Refused`."""
    if proposal.domain != roster.domain:
        raise Refused("the proposal is for another domain")
    if proposal.electorate != roster.electorate:
        raise Refused(
            "holders or quorum have changed since this was proposed",
            advice="its proposer must propose it again",
        )


def check_approval(approval: Approval, proposal: Proposal, id_: ProposalId, roster: Roster) -> None:
    """Does this approval count for this proposal?

    Raises:
        Refused: it is for another proposal, by nobody who may vote, or outside its time.
    """
    if not may_vote(roster, proposal, approval.holder):
        raise Refused(f"holder {approval.holder} has no vote on this proposal")
    check_given(approval, proposal, id_)


def check_given(approval: Approval, proposal: Proposal, id_: ProposalId) -> None:
    """Of any kind: was this verdict given on this proposal, in its time? Raises `Refused`."""
    if approval.proposal != id_:
        raise Refused("the approval is for another proposal")
    if approval.time >= proposal.expires:
        raise Refused("the proposal had expired when it was approved")


def verify_tally(tally: Tally, roster: Roster) -> VerifiedTally:
    """Check a tally against the roster it was put to.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: not exactly as many distinct holders as needed, a rejection among them, another
            electorate.
    """
    proposal = open_proposal(tally.proposal)  # (1) the proposer signed exactly these bytes
    id_ = proposal_id(tally.proposal)
    check_electorate(roster, proposal)  # (2) it was put to these holders
    approvals = _all_yes(tally, roster, lambda said: check_approval(said, proposal, id_, roster))
    want = needed(roster, proposal)
    if len(approvals) != want:  # (6) a quorum, and no choice which of more approvals counted
        raise Refused(f"{len(approvals)} of {want} approvals")
    return VerifiedTally(id=id_, proposal=proposal, approvals=approvals)


def verify_any_tally(tally: Tally, roster: Roster) -> VerifiedTally:
    """Check what holds for the tally of every kind, also one that this program does not know.

    Who has no vote on it is not known, nor how many must agree beyond the quorum.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: fewer distinct holders than the quorum, a rejection among them, another roster.
    """
    proposal = open_proposal(tally.proposal)
    id_ = proposal_id(tally.proposal)
    check_put_to(roster, proposal)
    if proposal.predecessor not in (None, roster.hash):
        raise Refused("the change was proposed to another roster")
    approvals = _all_yes(tally, roster, lambda said: check_given(said, proposal, id_))
    least = len(roster.holders) if roster.forming else roster.threshold
    if len(approvals) < least:
        raise Refused(f"{len(approvals)} of at least {least} approvals")
    return VerifiedTally(id=id_, proposal=proposal, approvals=approvals)


def _all_yes(
    tally: Tally, roster: Roster, check: Callable[[Approval], None]
) -> tuple[Approval, ...]:
    """Rules (3) to (5): each verdict is signed by its own holder, and a yes that `check` lets pass.

    Raises:
        MalformedMessage, InvalidSignature, Refused
    """
    if len(tally.approvals) > len(roster.holders):  # what cannot count is not verified either
        raise Refused(f"{len(tally.approvals)} approvals by {len(roster.holders)} holders")
    approvals = _opened(tally.approvals, roster)  # (3) each holder signed its verdict
    for approval in approvals:  # (4) each verdict is a yes to exactly this proposal
        check(approval)
        if approval.verdict is not Verdict.APPROVE:
            raise Refused("a rejection is no part of a tally")
    if len({approval.holder for approval in approvals}) != len(approvals):
        raise Refused("the same holder stands twice in a tally")  # (5) distinct holders
    return approvals


def _opened(envelopes: Iterable[Envelope], roster: Roster) -> tuple[Approval, ...]:
    try:
        return tuple(open_approval(envelope, roster) for envelope in envelopes)
    except InvalidSignature as error:
        raise InvalidSignature(
            f"an approval in the tally was not signed by its holder: {error}",
            culprits=("authority",),
        ) from error


def check_live(tally: VerifiedTally, *, now: int) -> None:
    """Was this tally still alive when its change was made? For history; see `check_open`.

    Raises:
        Refused: it had expired.
    """
    if now >= tally.proposal.expires:
        raise Refused("the proposal has expired")


def check_open(proposal: Proposal, *, now: int, clock: str) -> None:
    """May one still say yes to this proposal, or act on its tally?

    Everybody asks their own clock: dated ahead by an authority that lies, a proposal would outlive
    all that people remember of it. Not for history: what was signed stays as it was.

    Args:
        now: Unix seconds, by the clock of whoever asks.
        clock: whose clock that is, in words.

    Raises:
        WrongTime: it has expired, or was made later than two honest clocks can differ.
    """
    check_unexpired(proposal, now=now, clock=clock)
    check_dated(proposal, now=now, clock=clock)


def check_unexpired(proposal: Proposal, *, now: int, clock: str) -> None:
    """May one still answer this proposal? As `check_open`, but a no to the future is a no.

    Raises:
        WrongTime: it has expired.
    """
    if now >= proposal.expires:
        raise WrongTime(
            f"the proposal has expired: {clock} says {time_text(now)}, it ended at "
            f"{time_text(proposal.expires)}"
        )


def check_dated(proposal: Proposal, *, now: int, clock: str) -> None:
    """Was this proposal made by now? As `check_open`, for what may be older than its expiry.

    Raises:
        WrongTime: it was made later than two honest clocks can differ.
    """
    if proposal.created > now + CLOCK_SKEW:
        raise WrongTime(
            f"the proposal is dated in the future: {clock} says {time_text(now)}, it says that it "
            f"was made at {time_text(proposal.created)}; check both clocks"
        )
