"""What strangers do, counted in memory, and one audit entry per minute that says how often.

Whoever has no place in the domain must not be able to fill its disk: the log would grow by a
gigabyte a day. The first of a kind is written at once; what follows within a minute is one more
entry with a number, also while the authority is locked, and at a clean stop. A crash forgets the
number of the last minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tigertally.base.limits import COUNTED_SECONDS
from tigertally.quorum.authority.desk import DomainDesk

STRANGERS: Final = "strangers"  # all together: as many keys as they like, one party


@dataclass(slots=True)
class _Count:
    did: str = ""
    number: int = 0  # not written yet
    written: int | None = None  # Unix seconds

    def due(self, now: int) -> bool:
        """Was nothing written for a minute, or was the clock set back?"""
        return self.written is None or not self.written <= now < self.written + COUNTED_SECONDS


class Counted:
    """The counts of one authority, by kind of entry and party."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}

    @property
    def waiting(self) -> bool:
        """Is there a number that is not written yet?"""
        return any(count.number for count in self._counts.values())

    def add(self, desk: DomainDesk, kind: str, *, actor: str, did: str) -> bool:
        """Count one.

        Returns:
            Whether an entry was written: then the transaction must commit (see `KeepChanges`).
        """
        count = self.note(kind, actor=actor, did=did)
        if not count.due(desk.now):
            return False
        self._write(desk, kind, actor, count)
        return True

    def note(self, kind: str, *, actor: str, did: str) -> _Count:
        """Count one, to be written later: where nothing of this request may be committed."""
        count = self._counts.setdefault((kind, actor), _Count())
        count.number += 1
        count.did = did
        return count

    def write(self, desk: DomainDesk, *, all_: bool = False) -> None:
        """Write the numbers whose minute is over (or all of them), and forget who is quiet."""
        for (kind, actor), count in list(self._counts.items()):
            if not (all_ or count.due(desk.now)):
                continue
            if count.number:
                self._write(desk, kind, actor, count)
            else:
                del self._counts[kind, actor]

    def _write(self, desk: DomainDesk, kind: str, actor: str, count: _Count) -> None:
        times = "" if count.number == 1 else f" ({count.number} times)"
        desk.record(kind, actor=actor, summary=f"{actor} {count.did}{times}")
        count.number, count.written = 0, desk.now
