"""Proof against the authority: once a member has it, it stops for good. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault
from tigertally.storage.store import Reader, Transaction

CONVICTION = "member-conviction"  # one row: why this authority is never believed again
_NEWEST = b"newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """Proof that the authority signed two histories: this member stops for good.

    `shown` is the answer that proves it, together with what this member had stored before.
    """

    why: str
    shown: bytes


def keep_conviction(tx: Transaction, fault: PeerFault, shown: bytes) -> None:
    """Remember what proves that the authority forked its rosters or its log."""
    if tx.get(CONVICTION, _NEWEST) is None:
        tx.put(CONVICTION, _NEWEST, encode(Conviction(why=str(fault), shown=shown)))


def check_not_convicted(reader: Reader) -> None:
    """Holders stop once their authority is convicted.

    Raises:
        PeerFault: this member has proof that the authority signed two histories.
    """
    row = reader.get(CONVICTION, _NEWEST)
    if row is not None:
        why = decode(Conviction, row).why
        raise PeerFault(
            f"this device has proof against the authority and stopped: {why}",
            culprits=("authority",),
            sure=True,
        )
