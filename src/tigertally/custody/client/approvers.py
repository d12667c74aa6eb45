"""The third face of a kind: what a holder's device does when its person says yes to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tigertally.crypto.envelope import Envelope
from tigertally.custody.client import rows
from tigertally.custody.client.report import Report
from tigertally.custody.state.holder import KeptWrap
from tigertally.quorum.approval import Verdict
from tigertally.quorum.member.client import MemberClient, Synced
from tigertally.quorum.member.memory import SeenProposal
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.proposal import proposal_id


async def _nothing_more(_state: ProposalState, _synced: Synced, _report: Report) -> None:
    """Do nothing besides: the yes is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """How a device says yes to one kind of proposal.

    `approve` hands in the yes with what this device gives to it. `completed` acts on the spot if
    that made the tally complete; what it cannot do now it reports, and the next sync does.
    """

    approve: Callable[[SeenProposal, Synced], Awaitable[ProposalState]]
    completed: Callable[[ProposalState, Synced, Report], Awaitable[None]] = _nothing_more


def first_approval(
    member: MemberClient,
    proposal: Envelope,
    synced: Synced,
    *,
    attachment: bytes = b"",
    wrap: KeptWrap | None = None,
) -> Envelope:
    """Return our approval, the same bytes each time; it is kept, together with a new wrap."""
    id_ = proposal_id(proposal)
    with member.party.store.reading() as reader:
        verdict = rows.APPROVED.get(reader, id_)
    if verdict is None:
        verdict = member.new_verdict(proposal, synced, Verdict.APPROVE, attachment=attachment)
    elif wrap is None:
        return verdict
    with member.party.store.transaction() as tx:
        if wrap is not None:
            rows.put_wrap(tx, wrap)
        rows.APPROVED.put(tx, id_, verdict)
    return verdict


def plain_approver(member: MemberClient) -> Approver:
    """Return the approver of a kind to which a device gives its yes and nothing else."""

    async def approve(seen: SeenProposal, synced: Synced) -> ProposalState:
        return await member.vote(seen.state, first_approval(member, seen.state.proposal, synced))

    return Approver(approve=approve)
