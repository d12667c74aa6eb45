"""A holder's answer to one proposal: find it, show it, sign it only if it still reads the same.

shown, synced, report = await look(holder, id_)     # show it to the person, and ask
again, synced, report = await look(holder, id_)     # after the answer
check_same(shown, again)
await holder.approve(again, synced)
"""

from __future__ import annotations

from tigertally.base.errors import Refused, WrongTime
from tigertally.base.ids import ProposalId
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.report import Report
from tigertally.custody.messages.kinds import RELEASE
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.displayed import remember_displayed
from tigertally.quorum.member.memory import Seen, authority_says
from tigertally.quorum.pending import Status
from tigertally.quorum.tally import THIS_DEVICE, check_unexpired


async def look(holder: Holder, id_: ProposalId) -> tuple[Seen, Synced, Report]:
    """Sync and find exactly this proposal; from here on it counts as displayed.

    Raises:
        Refused: the authority knows none, or it is closed: there is nothing to answer.
        PeerFault: the authority shows another.
    """
    synced, report = await holder.sync()
    seen = await holder.member.find(id_, synced)
    # A complete one may still be answered: a release takes spare fragments.
    if seen.state.status not in (Status.PENDING, Status.COMPLETE):
        why = f"; {authority_says(seen.state.why)}" if seen.state.why else ""
        raise Refused(f"the proposal is {seen.state.status.value}: nothing was signed{why}")
    now = holder.party.clock.now()
    try:
        check_unexpired(seen.proposal, now=now, clock=THIS_DEVICE)
    except WrongTime as error:
        raise WrongTime(f"{error}; nothing was signed") from error
    with holder.party.store.transaction() as tx:
        remember_displayed(tx, [seen], now=now)
    return seen, synced, report


def check_same(shown: Seen, now: Seen) -> None:
    """Check that what would be signed is what the person has read.

    Raises:
        Refused: it is another proposal, reads otherwise, or was closed meanwhile.
    """
    if _read(now) != _read(shown):
        changed = Refused("the proposal does not read as it was shown any more: nothing was signed")
        changed.add_note("run it again and read it anew")
        raise changed
    if now.state.status is not shown.state.status:
        closed = Refused(f"the proposal is {now.state.status.value} by now: nothing was signed")
        closed.add_note(_after_the_end(now))
        raise closed


def _after_the_end(now: Seen) -> str:
    """What may still be done; a complete release takes fragments beyond those it needs."""
    if now.state.status is Status.COMPLETE and now.proposal.kind == RELEASE:
        return f"`tally holder approve {now.id}` sends this device's fragment as a spare"
    return "`tally tally list` shows how it ended"


def _read(seen: Seen) -> tuple[object, ...]:
    """What a person has read of it. Approvals may have come in the meantime."""
    return (seen.id, seen.words, seen.quotes, seen.proposer, seen.needed, seen.proposal.expires)
