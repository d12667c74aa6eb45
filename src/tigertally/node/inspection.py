"""Looks at the authority's rows before they are needed; mends what memory or other rows know.

A row that nobody asks for may be damaged for months, until the others that could have mended it
are gone. So all rows are read, some at a time: first those on which everything rests.
"""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.audit.nodes import HEAD
from tigertally.base.errors import Corrupt
from tigertally.custody.service.barrier import SET_ASIDE, BarrierKey
from tigertally.host.desk import KeepChanges
from tigertally.node.damage import Place, tell_mended
from tigertally.quorum.authority.admission import Settings, get_pin, mend_settings
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.restore import check_records
from tigertally.quorum.authority.rows import mend_rosters

_ROWS = 1000  # looked at each time: some milliseconds of the writer thread
_ENTRIES = 200  # of the audit log, with their hashes
_KNOWN = 50  # of the damaged rows


class Inspection:
    """One authority's rows, over and over again.

    Args:
        barrier: its tables behind the barrier, and its envelopes.
        settings: as they were when it started.
    """

    def __init__(self, barrier: BarrierKey, settings: Settings) -> None:
        self._barrier = barrier
        self._settings = settings
        self._tables = (*barrier.sealed, SET_ASIDE)
        self._table, self._after = 0, b""  # the next sealed row
        self._entry = 0  # the next entry of the audit log
        self._known = 0  # the next of the damaged rows

    def look(self, desk: DomainDesk, known: frozenset[Place]) -> None:
        """Look at what comes next.

        Raises:
            KeepChanges: what was mended, and `Corrupt` for what everything rests on and nothing
                mends.
        """
        lost: list[Corrupt] = []
        mended: list[Place] = []
        for check in (self._rosters, self._envelopes, self._others):
            try:
                mended += check(desk)
            except Corrupt as damage:
                desk.damaged.append(damage)
                lost.append(damage)
        mended += self._audit(desk)
        mended += self._right_again(desk, known)
        if desk.barrier is not None:
            self._patrol(desk)
        tell_mended(desk, mended, known)
        if lost:
            raise KeepChanges(lost[0])

    def _rosters(self, desk: DomainDesk) -> Sequence[Place]:
        mended = mend_settings(desk.plain, self._settings)
        return mended if desk.chain is None else [*mended, *mend_rosters(desk.plain, desk.chain)]

    def _envelopes(self, desk: DomainDesk) -> Sequence[Place]:
        return [] if desk.chain is None else self._barrier.mend_envelopes(desk)

    def _others(self, desk: DomainDesk) -> Sequence[Place]:
        check_records(desk.plain, desk.key.public)
        if desk.chain is None:
            get_pin(desk.plain)
        return []

    def _audit(self, desk: DomainDesk) -> Sequence[Place]:
        found = desk.log.mend(desk.plain, self._entry, _ENTRIES)
        size = desk.log.size(desk.plain)
        self._entry = self._entry + _ENTRIES if self._entry + _ENTRIES < size else 0
        desk.damaged += found.lost
        return found.rows

    def _right_again(self, desk: DomainDesk, known: frozenset[Place]) -> Sequence[Place]:
        """Damaged rows that have been written anew since, or are gone with what they were of."""
        places = sorted(known)
        self._known = self._known % max(1, len(places))
        these = places[self._known : self._known + _KNOWN]
        self._known += _KNOWN
        return [place for place in these if self._is_right(desk, *place)]

    def _is_right(self, desk: DomainDesk, table: str, key: bytes) -> bool:
        if table == HEAD:
            return desk.log.is_said(desk.plain)
        if table not in self._tables:
            return False  # looked at by those who know what it should be
        if desk.barrier is None:
            return False
        try:
            desk.sealed.get(table, key)
        except Corrupt:
            return False
        return True

    def _patrol(self, desk: DomainDesk) -> None:
        """The next sealed rows: do they open?"""
        left = _ROWS
        while left > 0:
            table = self._tables[self._table]
            after = self._after or None
            rows = list(desk.sealed.each(table, after=after, limit=left))
            desk.damaged += [row for _, row in rows if isinstance(row, Corrupt)]
            if len(rows) == left:
                self._after = rows[-1][0]
                return
            left -= len(rows)
            self._table, self._after = (self._table + 1) % len(self._tables), b""
            if self._table == 0:
                return
