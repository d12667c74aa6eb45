"""`tally holder approve` and `reject`: resolve, sync, find, show, ask, sign what was shown.

On a terminal the person is asked, and may name the proposal by the beginning of its id, which
stands for one that this device has displayed. Elsewhere nobody is asked, and only the whole id
names a proposal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tigertally.base.errors import Refused
from tigertally.base.ids import Name, ProposalId, Text
from tigertally.cli.members import opened, run_as, warn
from tigertally.cli.output import emit
from tigertally.cli.proposals import card_of, quoted_of
from tigertally.cli.question import ask, at_terminal, check_screen, named_by, show
from tigertally.custody.client.holder import HolderClient
from tigertally.node.clock import SystemClock
from tigertally.node.profile import OpenProfile
from tigertally.quorum.card import Role
from tigertally.quorum.client import Party, Synced
from tigertally.quorum.displayed import displayed_as, remember_displayed
from tigertally.quorum.member import SeenProposal
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status

_NOTHING = "nothing was signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the person means to say to a proposal."""

    approve: bool
    reason: Text = Text("")

    @property
    def question(self) -> str:
        """What is asked before it is signed."""
        return "Approve?" if self.approve else "Reject?"

    @property
    def doing(self) -> str:
        """What the profile is locked for."""
        return "approving" if self.approve else "rejecting"

    async def sign(self, client: HolderClient, seen: SeenProposal, synced: Synced) -> ProposalState:
        """Sign it and hand it in."""
        if self.approve:
            state, _ = await client.approve(seen, synced)
            return state
        return await client.reject(seen, synced, self.reason)


def give(
    answer: Answer, id_text: str, profile: Name, passphrase_file: Path | None, *, yes: bool
) -> None:
    """Answer a proposal: show it, ask the person at the terminal, sign what was shown.

    Args:
        id_text: the whole id; where the person is asked, also its beginning.
        yes: do not ask.

    Raises:
        UsageError: no such id was displayed, or the whole one is needed. Nobody was contacted.
        Refused: the person did not say yes, the proposal is closed, or it is not what was shown.
    """
    asks = at_terminal() and not yes
    named = named_by(id_text, beginning=asks)
    if asks:
        check_screen()
    with opened(profile, passphrase_file, role=Role.HOLDER) as open_profile:
        id_ = named if isinstance(named, ProposalId) else _displayed(open_profile, named)
        seen, state = (_asked if asks else _unasked)(open_profile, id_, answer)
    approvals = len(state.approvals) + len(state.late)
    document = {
        "id": str(seen.id),
        "approvals": approvals,
        "needed": seen.needed,
        "state": state.status.value,
        "summary": seen.words,
        "quoted": quoted_of(seen.quotes),
    }
    emit(document, f"{state.status.value}: {approvals} of {seen.needed} approvals")


def _displayed(open_profile: OpenProfile, beginning: str) -> ProposalId:
    with open_profile.store.reading() as reader:
        return displayed_as(reader, beginning, now=SystemClock().now())


def _unasked(
    open_profile: OpenProfile, id_: ProposalId, answer: Answer
) -> tuple[SeenProposal, ProposalState]:
    """Show it, for whoever reads the log, and sign it."""

    async def work(_: OpenProfile, party: Party) -> tuple[SeenProposal, ProposalState]:
        client = HolderClient(party)
        with open_profile.exclusive(doing=answer.doing):
            seen, synced = await _look(client, id_)
            show(card_of(seen))
            return seen, await answer.sign(client, seen, synced)

    return run_as(open_profile, work)


def _asked(
    open_profile: OpenProfile, id_: ProposalId, answer: Answer
) -> tuple[SeenProposal, ProposalState]:
    """Show it, ask, look again, and sign it if it is still the same.

    Nothing is locked while the person thinks: the daemon of this profile goes on.
    """

    async def look(_: OpenProfile, party: Party) -> SeenProposal:
        with open_profile.exclusive(doing=answer.doing):
            return (await _look(HolderClient(party), id_))[0]

    async def sign(_: OpenProfile, party: Party) -> ProposalState:
        client = HolderClient(party)
        with open_profile.exclusive(doing=answer.doing):
            now, synced = await _look(client, id_)
            check_same(seen, now)
            return await answer.sign(client, now, synced)

    seen = run_as(open_profile, look)
    show(card_of(seen))
    ask(answer.question, otherwise=_NOTHING)
    return seen, run_as(open_profile, sign)


async def _look(client: HolderClient, id_: ProposalId) -> tuple[SeenProposal, Synced]:
    """Sync and find exactly this proposal; from here on it counts as displayed.

    Raises:
        Refused: it is closed: there is nothing to answer.
    """
    synced, report = await client.sync_all()
    warn(report)
    seen = await client.find(id_, synced)
    # A complete one may still be answered: a release takes spare fragments.
    if seen.state.status not in (Status.PENDING, Status.COMPLETE):
        raise Refused(f"the proposal is {seen.state.status.value}: {_NOTHING}")
    with client.party.store.transaction() as tx:
        remember_displayed(tx, [seen], now=client.party.clock.now())
    return seen, synced


def check_same(shown: SeenProposal, now: SeenProposal) -> None:
    """Check that what would be signed is what the person has read.

    Raises:
        Refused: it is another proposal, reads otherwise, or was closed meanwhile.
    """
    if _read(now) != _read(shown):
        raise Refused(f"the proposal does not read as it was shown any more: {_NOTHING}")
    if now.state.status is not shown.state.status:
        raise Refused(f"the proposal is {now.state.status.value} by now: {_NOTHING}")


def _read(seen: SeenProposal) -> tuple[object, ...]:
    """What a person has read, and what decides whether another reading is the same."""
    return (seen.id, seen.words, seen.quotes, seen.proposer, seen.proposal.expires)
