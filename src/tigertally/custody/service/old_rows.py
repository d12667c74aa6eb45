"""An authority's rows of older versions, written anew at the first unlock after an upgrade.

They lie behind the barrier, so this is done in the transaction that unlocks: whatever looks at a
row afterwards finds the form of today. A row that cannot be read stays as it is, and holds up
nothing.

The next form: its number in `FORM`, and in `_STEPS` what reads the rows of the form before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage
from tigertally.custody.messages.v1 import EpochClaimV1, KeyTermsV1
from tigertally.custody.service import rows
from tigertally.custody.state.v1 import EpochRecordV1, KeyRecordV1
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.damage import set_aside

FORM: Final = 2  # of the rows that this program writes
_ROW: Final = b"form"


class _Old(Protocol):
    def today(self) -> Any: ...


_Step = Mapping[str, type[_Old]]

_STEPS: Final[dict[int, _Step]] = {
    1: {
        rows.KEYS: KeyRecordV1,
        rows.EPOCHS: EpochRecordV1,
        rows.CLAIMS: EpochClaimV1,
        rows.TERMS: KeyTermsV1,
    },
}
"""By the form that it finds: what reads each table's rows of that form, and says them in the next.

A row that is not of that form is left as it is: so a step may be run again.
"""


def note_form(desk: DomainDesk) -> None:
    """The rows behind the barrier are in the form of today."""
    desk.sealed.put(rows.FORM, _ROW, bytes([FORM]))


def bring_up_to_date(desk: DomainDesk) -> None:
    """Write every row of an older version anew; costs one look where that has been done."""
    found = _form(desk)
    if found >= FORM:
        return
    count = sum(_taken(desk, _STEPS[form]) for form in range(found, FORM))
    note_form(desk)
    if count:
        desk.record(
            "store.upgraded",
            actor="authority",
            summary=f"{count} rows of an older version of the program were written anew",
        )


def _form(desk: DomainDesk) -> int:
    """The form of the rows; the first where no row says so, or one that cannot be read."""
    try:
        row = desk.sealed.get(rows.FORM, _ROW)
    except Corrupt as damage:
        set_aside(desk.sealed, damage)
        return 1
    return max(1, row[0]) if row else 1


def _taken(desk: DomainDesk, step: _Step) -> int:
    """How many rows this step has written anew."""
    return sum(
        _renewed(desk, table, key, old)
        for table, old in step.items()
        for key in _places(desk, table)
    )


def _places(desk: DomainDesk, table: str) -> list[bytes]:
    return [key for key, _ in desk.plain.scan(table)]


def _renewed(desk: DomainDesk, table: str, key: bytes, old: type[_Old]) -> bool:
    """Was it a row of that form? Then it is one of the next now."""
    try:
        row = desk.sealed.get(table, key)
        today = encode(decode(old, row or b"").today())
    except (Corrupt, MalformedMessage):  # whoever needs this row says what is wrong with it
        return False
    if today == row:
        return False
    desk.sealed.put(table, key, today)
    return True
