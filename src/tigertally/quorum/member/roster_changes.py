"""A holder proposes a change of the roster; the same command again finds it and goes on."""

from __future__ import annotations

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, Name, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.quorum.member.client import MemberClient, Synced
from tigertally.quorum.member.memory import vote_given
from tigertally.quorum.member.ongoing import Ongoings
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.proposal import open_proposal, proposal_id
from tigertally.storage.table import Table, fixed, message

# What was asked for -> the signed proposal.
CHANGES = Table("holder-change", fixed(Hash), message(Envelope))


class RosterChanges:
    """A holder's proposals of changes of the roster.

    A device votes for one successor of a roster, so the proposal it voted for must not be lost:
    it is stored before the vote is given, and handed in again until it has arrived.
    """

    def __init__(self, member: MemberClient) -> None:
        self.member = member
        self.party = member.party
        self.ongoings = Ongoings(member, CHANGES)

    async def propose_or_resume(self, kind: Name, body: bytes, synced: Synced) -> ProposalId:
        """Propose a change with our approval in it, or go on with the very same one of before.

        Raises:
            Refused: it is not possible, the holders said no (it is forgotten then, so that one
                may ask again), or our vote is given to another change.
        """
        what = tagged_hash(tags.REQUEST, kind.encode(), body)
        rejected = "the holders rejected this change"
        known = await self.ongoings.resume(
            what, lambda one: self._handed_in(one, synced), rejected=rejected, ends=True
        )
        if known is not None:
            return proposal_id(known[0])
        proposal = self.member.new_proposal(kind, body, synced.roster)
        self.ongoings.keep(what, proposal)
        try:
            await self.member.propose_with_yes(proposal, synced)
        except Refused as error:
            if self._voted_for(proposal, synced):  # as with a clock that is ahead
                error.add_note("the same command again goes on with it once that is mended")
            else:
                self.ongoings.forget(what, proposal)
            raise
        return proposal_id(proposal)

    async def _handed_in(self, proposal: Envelope, synced: Synced) -> ProposalState | None:
        """How it stands; handed in if it never arrived; None if it is too late for that.

        Raises:
            Refused: not now, and our vote is given to it.
        """
        state = await self.ongoings.state_of(proposal_id(proposal))
        if state is not None:
            return state
        try:
            return await self.member.propose_with_yes(proposal, synced)
        except Refused:
            if self._voted_for(proposal, synced):
                raise
            return None

    def _voted_for(self, proposal: Envelope, synced: Synced) -> bool:
        """Is our vote for a successor of this roster given to it, as long as it lives?"""
        with self.party.store.reading() as reader:
            given = vote_given(reader, synced.roster) == proposal_id(proposal)
        return given and self.party.clock.now() < open_proposal(proposal).expires
