"""Proof against the authority: once a member has it, it stops for good. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.errors import PeerFault
from tigertally.storage.store import Reader, Transaction
from tigertally.storage.table import RAW, Table, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """Proof that the authority signed two histories: this member stops for good.

    `shown` is the answer that proves it, together with what this member had stored before.
    """

    why: str
    shown: bytes


CONVICTION = Table("member-conviction", RAW, message(Conviction))  # one row
_NEWEST = b"newest"


def keep_conviction(tx: Transaction, fault: PeerFault, shown: bytes) -> None:
    """Remember what proves that the authority forked its rosters or its log."""
    if not CONVICTION.has(tx, _NEWEST):
        CONVICTION.put(tx, _NEWEST, Conviction(why=str(fault), shown=shown))


def check_not_convicted(reader: Reader) -> None:
    """Holders stop once their authority is convicted.

    Raises:
        PeerFault: this member has proof that the authority signed two histories.
    """
    known = CONVICTION.get(reader, _NEWEST)
    if known is not None:
        raise PeerFault(
            f"this device has proof against the authority and stopped: {known.why}",
            culprits=("authority",),
            sure=True,
        )
