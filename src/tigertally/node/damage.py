"""Rows that cannot be read: each named once, in the log and in the audit log, and counted.

They stay where they are, byte for byte: damaged is not absent. What is known of them is a row too,
so that after a restart they are not named again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tigertally.base.errors import Corrupt
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.store import Reader

DAMAGED = "damaged"  # plain: table, 0, key of the row -> when it was found, Unix seconds (8 bytes)
_MOST_AT_ONCE = 50  # named in one transaction; the others are come across again

Place = tuple[str, bytes]

log = logging.getLogger("tigertally.authority")


def known_damage(reader: Reader) -> frozenset[Place]:
    """The rows that have been named and were not right again since."""
    return frozenset(_place(key) for key, _ in reader.scan(DAMAGED))


def name_damage(
    desk: DomainDesk, found: Iterable[Corrupt], known: frozenset[Place]
) -> frozenset[Place]:
    """Name rows that are not known yet, in the transaction in which they were come across.

    Returns:
        All that are known now.
    """
    fresh = {(one.table, one.key): str(one) for one in found if one.table}
    fresh = {place: why for place, why in fresh.items() if place not in known}
    for (table, key), why in list(fresh.items())[:_MOST_AT_ONCE]:
        log.error("%s; it is set aside, and everything else goes on", why)
        desk.plain.put(DAMAGED, _key(table, key), desk.now.to_bytes(8, "big"))
        desk.record(
            "store.damaged",
            actor="authority",
            summary=f"row {key.hex()[:200]} of table {table} cannot be read: {why}"[:400],
            detail=_key(table, key),
        )
        known |= {(table, key)}
    return known


def tell_mended(desk: DomainDesk, places: Iterable[Place], known: frozenset[Place]) -> None:
    """Write down that rows are right again, or gone as they should be."""
    for table, key in places:
        log.warning("row %s of table %s is right again", key.hex(), table)
        if (table, key) in known:
            desk.plain.delete(DAMAGED, _key(table, key))
        desk.record(
            "store.mended",
            actor="authority",
            summary=f"row {key.hex()[:200]} of table {table} is right again"[:400],
            detail=_key(table, key),
        )
        desk.mended.append((table, key))


def _key(table: str, key: bytes) -> bytes:
    return table.encode() + b"\x00" + key


def _place(raw: bytes) -> Place:
    table, _, key = raw.partition(b"\x00")
    return table.decode(errors="replace"), key
