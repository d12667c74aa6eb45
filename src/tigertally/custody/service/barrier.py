"""The barrier key at the authority: what is stored of it, and what is sealed under it.

It is in memory only; beside the roster are envelopes, from which enough holders give it back
(`lock.py`). Steps as in `docs/protocols/lock-and-unlock.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, InvalidSignature, MalformedMessage, Unavailable
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.lock import Envelopes
from tigertally.custody.protocol import lock
from tigertally.custody.service import reshare
from tigertally.custody.service.old_rows import note_form
from tigertally.quorum.authority.desk import DomainDesk, barrier_of
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import VerifiedTally
from tigertally.storage.sealed import SealedTransaction

ENVELOPES = "envelopes"  # plain: one row
SET_ASIDE = "set-aside"  # sealed: table, 0, key -> the bytes of a row that did not open
_ROW = b"newest"


@dataclass(frozen=True, slots=True)
class BarrierKey:
    """Draws the barrier key, seals it for the holders, and replaces it when one is removed.

    Used in this order: `draw` once; `roster_changed` with every change of the roster; `envelopes`
    at every unlocking, and then `catch_up`. `mend_envelopes` belongs to the inspection of rows.

    `sealed` are all tables behind the barrier, whoever's they are: one that is missing here is lost
    when a holder is removed, because its rows stay under the barrier key of before.
    """

    sealed: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a table that stands twice: sealed anew twice, its rows would open no more."""
        if len(set(self.sealed)) != len(self.sealed):
            raise ValueError("a table behind the barrier is listed twice")

    def draw(self, desk: DomainDesk) -> None:
        """Draw it when the first holder has enrolled: from now on rows are sealed."""
        key = Secret.random(desk.randomness, lock.BARRIER_BYTES)
        desk.barrier = barrier_of(key)
        note_form(desk)
        self._put(desk, lock.seal_barrier(key, desk.roster, desk.randomness))

    def roster_changed(self, desk: DomainDesk, old: Roster, tally: VerifiedTally) -> None:
        """Make new envelopes if holders or unlock number have changed, in the same transaction."""
        new = desk.roster
        if (new.electorate, lock.unlock_needs(new)) == (old.electorate, lock.unlock_needs(old)):
            return
        if desk.barrier is None:
            raise Unavailable("a locked authority commits nothing")
        left = {holder.index for holder in new.holders}
        if any(holder.index not in left for holder in old.holders):
            self._draw_anew(desk)
        self._put(desk, lock.seal_barrier(desk.barrier.key, new, desk.randomness))

    def _draw_anew(self, desk: DomainDesk) -> None:
        """Draw a new key after a holder is removed, and put every sealed row under it at once.

        What the removed holder may have seen of the old key then opens nothing that is on the disk.
        """
        before = desk.sealed
        desk.barrier = barrier_of(Secret.random(desk.randomness, lock.BARRIER_BYTES))
        after = desk.sealed
        count = 0
        # What was set aside before comes first: what is set aside now is under the new key already.
        for table in (SET_ASIDE, *self.sealed):
            for key, value in list(before.each(table)):
                if isinstance(value, Corrupt):
                    desk.damaged.append(value)
                    _set_aside(desk, after, table, key)
                else:
                    after.put(table, key, value)
                    count += 1
        desk.owe_erasure()
        desk.record("barrier.renewed", actor="authority", summary=f"{count} rows sealed anew")

    def _put(self, desk: DomainDesk, envelopes: Envelopes) -> None:
        desk.plain.put(ENVELOPES, _ROW, encode(lock.sign_envelopes(desk.key, envelopes)))

    def envelopes(self, desk: DomainDesk) -> Envelopes:
        """Return the present envelopes.

        Raises:
            Corrupt: they are gone, or not the ones that this authority signed.
        """
        row = desk.plain.get(ENVELOPES, _ROW)
        if row is None:
            why = "the envelopes beside the roster are gone: restore a back-up"
            raise Corrupt.of_row(ENVELOPES, _ROW, why)
        try:
            return lock.open_envelopes(decode(Envelope, row), desk.roster)
        except (MalformedMessage, InvalidSignature) as error:
            why = "the envelopes beside the roster have been changed"
            raise Corrupt.of_row(ENVELOPES, _ROW, why) from error

    def mend_envelopes(self, desk: DomainDesk) -> list[tuple[str, bytes]]:
        """Make the envelopes anew if they cannot be read; without them nobody unlocks again.

        Returns:
            Table and key, if they were wrong.

        Raises:
            Corrupt: they were, and while it is locked nobody knows what to put into new ones.
        """
        try:
            self.envelopes(desk)
        except Corrupt:
            if desk.barrier is None:
                raise
            self._put(desk, lock.seal_barrier(desk.barrier.key, desk.roster, desk.randomness))
            return [(ENVELOPES, _ROW)]
        return []

    def catch_up(self, desk: DomainDesk, envelopes: Envelopes) -> None:
        """Do what changes of the roster would have done, if the chain is newer than the rows.

        Args:
            envelopes: the present ones, which say for whom the rows were last sealed.
        """
        roster = desk.roster
        if (envelopes.electorate, envelopes.unlock) == (
            roster.electorate,
            lock.unlock_needs(roster),
        ):
            return
        left = {holder.index for holder in roster.holders}
        # The envelope of somebody who is no holder any more must open nothing.
        if any(envelope.holder not in left for envelope in envelopes.envelopes):
            self._draw_anew(desk)
        if desk.barrier is not None:
            self._put(desk, lock.seal_barrier(desk.barrier.key, roster, desk.randomness))
        reshare.catch_up(desk)


def _set_aside(desk: DomainDesk, after: SealedTransaction, table: str, key: bytes) -> None:
    """Keep the bytes of a row that does not open, so cannot be sealed anew, and leave it damaged.

    **Security:** one wrong bit does not hide the others from whoever has the old key. So the bytes
    go under the new one as they are, elsewhere; what is left in their place is empty and never
    opens, since what is damaged must not become absent.
    """
    raw = desk.plain.get(table, key)
    if raw and table != SET_ASIDE:
        after.put(SET_ASIDE, table.encode() + b"\x00" + key, raw)
    desk.plain.put(table, key, b"")
