"""How a holder's device erases a destroyed key: the tally first, verified here; then the proof."""

from __future__ import annotations

from tigertally.base.codec import encode
from tigertally.base.errors import Unavailable
from tigertally.base.ids import HolderIndex
from tigertally.custody.client import rows
from tigertally.custody.client.admissible import check_made_before
from tigertally.custody.client.report import Report
from tigertally.custody.client.voting import VotingClient
from tigertally.custody.messages.destroy import ERASURE, EraseDue
from tigertally.custody.messages.kinds import DESTROY
from tigertally.custody.protocol.destroy import check_destroy_tally, sign_erasure
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.conviction import check_not_convicted
from tigertally.quorum.member.memory import Seen
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.tally import Tally
from tigertally.storage.erasure import owe


class StillOnDisk(Unavailable):
    """Rows are deleted, and no scrub has succeeded yet: nothing says that they are erased."""


class ErasingClient(VotingClient):
    """The destroying part of a holder's device."""

    async def approve(self, seen: Seen, synced: Synced) -> tuple[ProposalState, Report]:
        """Approve a proposal; a device whose yes completes a destruction erases at once.

        Returns:
            The proposal's state afterwards, and what the device did besides: where the disk cannot
            be scrubbed yet, the yes has counted and the report says that the erasure is owed.
        """
        state, report = await super().approve(seen, synced)
        if seen.proposal.kind == DESTROY and state.status is Status.COMPLETE:
            tally = Tally(proposal=state.proposal, approvals=state.approvals)
            me = self.me(synced.roster).index
            try:
                await self._erase(synced, EraseDue(tally=tally), me, report)
            except StillOnDisk as error:  # the yes has counted; the next sync acknowledges
                report.blame(error)
        return state, report

    async def _erase(self, synced: Synced, due: EraseDue, me: HolderIndex, report: Report) -> None:
        """Steps (3) and (4) of `docs/protocols/custody-destroy.md`.

        The mark that a key is destroyed is stored with the erasing, so that nothing brings the
        key back; the acknowledgement follows what is stored, and the scrub.

        Raises:
            StillOnDisk: erased, but not acknowledged: a file of this device may still show it.
        """
        now = self.party.clock.now()
        tally, body = check_destroy_tally(due.tally, synced.chain, now=now)
        with self.party.store.transaction() as tx:
            check_not_convicted(tx)
            for ref in rows.refs_held(tx, body.key):
                if body.covers(ref):
                    check_made_before(tx, ref, tally)
            erased = rows.erase_destroyed(tx, body, tally.id)
            if erased:
                owe(tx, now=now)
        report.erased += erased
        if not self.scrub():  # what we sign is that this device has it no more
            raise StillOnDisk(
                f"{body.key} is erased, but files of this device may still show it: close what "
                "else has its store open, or free some space; then `tally holder sync`"
            )
        said = sign_erasure(self.party.key, synced.roster, tally.id, me, now=now)
        await self._call(ERASURE, encode(said))
