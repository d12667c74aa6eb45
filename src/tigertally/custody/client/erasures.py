"""How a device erases a destroyed key, and tells which epochs it still has fragments of.

The tally of a destruction first, verified here; then the proof. A signed report of what is held
follows whenever that has changed: by it all see when a removed holder's fragments are dead.
"""

from __future__ import annotations

from tigertally.base.codec import encode
from tigertally.base.errors import Unavailable
from tigertally.base.ids import HolderIndex
from tigertally.custody.client import rows
from tigertally.custody.client.admissible import check_made_before
from tigertally.custody.client.report import Report
from tigertally.custody.messages.destroy import ERASURE, EraseDue
from tigertally.custody.messages.reports import HELD
from tigertally.custody.protocol.destroy import check_destroy_tally, sign_erasure
from tigertally.custody.protocol.reports import claims_of, sign_report
from tigertally.quorum.member.client import MemberClient, Synced
from tigertally.quorum.member.conviction import check_not_convicted
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.tally import Tally
from tigertally.storage.erasure import owe, owed


class StillOnDisk(Unavailable):
    """Rows are deleted, and no scrub has succeeded yet: nothing says that they are erased."""


class Erasures:
    """What leaves this device for good: `erase` a destroyed key; `report_held` what is left."""

    def __init__(self, member: MemberClient) -> None:
        self.member = member
        self.party = member.party

    async def completed(self, state: ProposalState, synced: Synced, report: Report) -> None:
        """Erase at once what our own yes has destroyed.

        Where the disk cannot be scrubbed yet, the yes has counted and the report says that the
        erasure is owed.
        """
        tally = Tally(proposal=state.proposal, approvals=state.approvals)
        me = self.member.me(synced.roster).index
        try:
            await self.erase(synced, EraseDue(tally=tally), me, report)
        except StillOnDisk as error:  # the next sync acknowledges
            report.blame(error)

    async def erase(self, synced: Synced, due: EraseDue, me: HolderIndex, report: Report) -> None:
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
        if not self.member.scrub():  # what we sign is that this device has it no more
            raise StillOnDisk(
                f"{body.key} is erased, but files of this device may still show it: close what "
                "else has its store open, or free some space; then `tally holder sync`"
            )
        said = sign_erasure(self.party.key, synced.roster, tally.id, me, now=now)
        await self.party.call(ERASURE, encode(said))

    async def report_held(self, synced: Synced) -> None:
        """Send a report if the last one is not true any more.

        The clock moves the number on, so that a device put back to an old state is believed again.
        """
        with self.party.store.reading() as reader:
            number = rows.report_number(reader)
            if number is None or owed(reader) is not None:
                return  # what its files may still show is not gone: the next sync says so
            claims = claims_of(rows.all_held(reader))
        number = max(number, self.party.clock.now())
        with self.party.store.transaction() as tx:
            rows.put_report_number(tx, number, told=False)
        report = sign_report(
            self.party.key,
            synced.roster.domain,
            self.member.me(synced.roster).index,
            number=number,
            claims=claims,
        )
        await self.party.call(HELD, encode(report))
        with self.party.store.transaction() as tx:
            rows.put_report_number(tx, number, told=True)
