"""An authority's rows of version 1, written anew at the first unlock after an upgrade.

They lie behind the barrier, so this is done in the transaction that unlocks: whatever looks at a
row afterwards finds the form of today. A row that cannot be read stays as it is, and holds up
nothing.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage
from tigertally.custody.messages.v1 import EpochClaimV1, KeyTermsV1
from tigertally.custody.service import rows
from tigertally.custody.state.v1 import EpochRecordV1, KeyRecordV1
from tigertally.quorum.desk import Desk
from tigertally.storage.damage import is_marked

FORM: Final = 2  # of the rows that this program writes
_ROW: Final = b"form"


class _Old(Protocol):
    def today(self) -> Any: ...


_TABLES: Final[dict[str, type[_Old]]] = {
    rows.KEYS: KeyRecordV1,
    rows.EPOCHS: EpochRecordV1,
    rows.CLAIMS: EpochClaimV1,
    rows.TERMS: KeyTermsV1,
}


def note_form(desk: Desk) -> None:
    """The rows behind the barrier are in the form of today."""
    desk.sealed.put(rows.FORM, _ROW, bytes([FORM]))


def bring_up_to_date(desk: Desk) -> None:
    """Write every row of an older version anew; costs one look where that has been done."""
    if is_marked(desk.sealed, rows.FORM, _ROW):  # damaged, it says so too: it is written once
        return
    count = sum(_renewed(desk, table, key) for table in _TABLES for key in _places(desk, table))
    note_form(desk)
    if count:
        desk.record(
            "store.upgraded",
            actor="authority",
            summary=f"{count} rows of an older version of the program were written anew",
        )


def _places(desk: Desk, table: str) -> list[bytes]:
    return [key for key, _ in desk.plain.scan(table)]


def _renewed(desk: Desk, table: str, key: bytes) -> bool:
    """Was it a row of version 1? Then it is one of today now."""
    try:
        row = desk.sealed.get(table, key)
        today = encode(decode(_TABLES[table], row or b"").today())
    except (Corrupt, MalformedMessage):  # whoever needs this row says what is wrong with it
        return False
    if today == row:
        return False
    desk.sealed.put(table, key, today)
    return True
