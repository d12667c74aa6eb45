"""Erasures that are owed: what transactions have deleted, and the files may still hold.

A deleted row stays readable in the write-ahead log until a scrub, and a scrub must not wait: a
reader may be in the way, or the disk full. So whoever erases a secret says so in the same
transaction, in a row that only a scrub which succeeded takes away again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage, TigertallyError
from tigertally.storage.store import Reader, Store, Transaction

OWED = "erasure-owed"  # one row
_ROW = b"all"
_MARK_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What is owed since the last scrub.

    Attributes:
        since: when the first of these erasures was committed, Unix seconds; 0 if nobody knows.
        last: when the last was.
        count: how many transactions have erased something.
        mark: another one after each of them.
    """

    since: int
    last: int
    count: int
    mark: bytes


def owe(tx: Transaction, *, now: int) -> None:
    """Say that this transaction erases something of which no file may keep a copy."""
    known = owed(tx)
    tx.put(
        OWED,
        _ROW,
        encode(
            Owed(
                since=now if known is None else known.since,
                last=now,
                count=1 if known is None else known.count + 1,
                mark=os.urandom(_MARK_BYTES),
            )
        ),
    )


def owed(reader: Reader) -> Owed | None:
    """What is owed now; None if nothing is."""
    try:
        row = reader.get(OWED, _ROW)
        return None if row is None else decode(Owed, row)
    except (Corrupt, MalformedMessage):
        return Owed(since=0, last=0, count=1, mark=b"")  # damaged: then owed all the same


def settle(tx: Transaction, seen: Owed) -> None:
    """A scrub has succeeded that began when `seen` was owed. What came later is still owed."""
    now = owed(tx)
    if now is None or now.mark == seen.mark:
        tx.delete(OWED, _ROW)
        return
    later = max(1, now.count - seen.count)
    tx.put(OWED, _ROW, encode(Owed(since=seen.last, last=now.last, count=later, mark=now.mark)))


def pay(store: Store) -> Owed | None:
    """Scrub, if anything is owed; what is still owed afterwards, since somebody was in the way.

    Raises:
        Unavailable, Corrupt: the store cannot even be read.
    """
    with store.reading() as reader:
        seen = owed(reader)
    if seen is None:
        return None
    try:
        if not store.scrub():
            return seen
        with store.transaction() as tx:
            settle(tx, seen)
            return owed(tx)
    except TigertallyError:  # a full disk: what it cannot do now stays owed
        return seen
