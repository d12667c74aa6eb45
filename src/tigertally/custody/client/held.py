"""A holder tells which epochs it has fragments of, whenever that has changed."""

from __future__ import annotations

from tigertally.base.codec import encode
from tigertally.custody.client import rows
from tigertally.custody.client.erasures import ErasingClient
from tigertally.custody.messages.reports import HELD
from tigertally.custody.protocol.reports import claims_of, sign_report
from tigertally.quorum.member.client import Synced
from tigertally.storage.erasure import owed


class ReportingClient(ErasingClient):
    """Signed reports, by which all see when a removed holder's fragments are dead."""

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
            self.me(synced.roster).index,
            number=number,
            claims=claims,
        )
        await self._call(HELD, encode(report))
        with self.party.store.transaction() as tx:
            rows.put_report_number(tx, number, told=True)
