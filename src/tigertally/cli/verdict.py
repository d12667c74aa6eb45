"""`tally holder approve` and `reject`: resolve, sync, find, show, ask, sign what was shown.

On a terminal the person is asked, and may name the proposal by the beginning of its id, which
stands for one that this device has displayed. Elsewhere nobody is asked, and only the whole id
names a proposal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tigertally.base.clock import SystemClock
from tigertally.base.ids import Name, ProposalId, Text
from tigertally.cli.members import opened, run_as, warn
from tigertally.cli.output import emit
from tigertally.cli.proposals import card_of, quoted_of
from tigertally.cli.question import ask, at_terminal, check_screen, named_by, show
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.client.answer import check_same, look
from tigertally.custody.client.holder import Holder
from tigertally.node.kinds import all_kinds
from tigertally.node.profile import OpenProfile
from tigertally.quorum.card import Role
from tigertally.quorum.member.client import Party, Synced
from tigertally.quorum.member.displayed import displayed_as
from tigertally.quorum.member.memory import Seen, UnknownProposal, check_may_vote_on
from tigertally.quorum.messages import ProposalState


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

    def check(self, seen: Seen, synced: Synced, device: VerifyKey) -> None:
        """Check that it may be signed, so that nobody is asked in vain.

        Args:
            device: the key of who answers.

        Raises:
            NewerVersion: it is a yes to what this program does not understand.
            Refused: it is a yes to what may not be proposed so.
        """
        if not self.approve:
            return
        if isinstance(seen, UnknownProposal):
            raise seen.refusal()
        me = synced.roster.holder_of(device)
        if me is not None and seen.voted(me.index):
            return  # the same command again: our yes may have been the last one, and changed much
        check_may_vote_on(seen.proposal, synced.roster, all_kinds())

    async def sign(self, client: Holder, seen: Seen, synced: Synced) -> ProposalState:
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
    emit(document, f"{state.status.value}: {approvals} of {seen.needed or '?'} approvals")


def _displayed(open_profile: OpenProfile, beginning: str) -> ProposalId:
    with open_profile.store.reading() as reader:
        return displayed_as(reader, beginning, now=SystemClock().now())


def _unasked(
    open_profile: OpenProfile, id_: ProposalId, answer: Answer
) -> tuple[Seen, ProposalState]:
    """Show it, for whoever reads the log, and sign it."""

    async def work(_: OpenProfile, party: Party) -> tuple[Seen, ProposalState]:
        client = Holder(party)
        with open_profile.exclusive(doing=answer.doing):
            seen, synced, report = await look(client, id_)
            warn(report)
            show(card_of(seen))
            answer.check(seen, synced, party.key.public)
            return seen, await answer.sign(client, seen, synced)

    return run_as(open_profile, work)


def _asked(
    open_profile: OpenProfile, id_: ProposalId, answer: Answer
) -> tuple[Seen, ProposalState]:
    """Show it, ask, look again, and sign it if it is still the same.

    Nothing is locked while the person thinks: the daemon of this profile goes on.
    """

    async def find(_: OpenProfile, party: Party) -> tuple[Seen, Synced]:
        with open_profile.exclusive(doing=answer.doing):
            found, synced, report = await look(Holder(party), id_)
        warn(report)
        return found, synced

    async def sign(_: OpenProfile, party: Party) -> ProposalState:
        client = Holder(party)
        with open_profile.exclusive(doing=answer.doing):
            again, now, report = await look(client, id_)
            warn(report)
            check_same(seen, again)
            return await answer.sign(client, again, now)

    seen, synced = run_as(open_profile, find)
    show(card_of(seen))
    answer.check(seen, synced, open_profile.signing_key.public)
    ask(answer.question, otherwise="nothing was signed")
    return seen, run_as(open_profile, sign)
