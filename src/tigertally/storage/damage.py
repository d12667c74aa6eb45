"""Rows that cannot be read, among others that can: named and left out, so that they stop nobody.

Whoever asks for such a row itself gets `Corrupt`: damaged is not absent. Only where rows are
independent of each other does one go on without it, and then it is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from tigertally.base.errors import Corrupt
from tigertally.storage.sealed import SealedReader
from tigertally.storage.store import Reader

T = TypeVar("T")


def readable(
    reader: Reader,
    table: str,
    read: Callable[[bytes, bytes], T],
    *,
    prefix: bytes = b"",
    after: bytes | None = None,
) -> Iterator[tuple[bytes, T]]:
    """Keys and values of a table, in order; a row that cannot be read is noted and left out.

    Args:
        reader: where; one that takes no notes raises `Corrupt` instead.
        table: its name.
        read: makes the value from key and row; may raise `Corrupt` with the place.
        prefix, after: as for `Reader.scan`.
    """
    for key, row in _each(reader, table, prefix=prefix, after=after):
        try:
            if isinstance(row, Corrupt):
                raise row
            value = read(key, row)
        except Corrupt as damage:
            set_aside(reader, damage)
            continue
        yield key, value


def marks(
    reader: Reader,
    table: str,
    *,
    prefix: bytes = b"",
    after: bytes | None = None,
    limit: int | None = None,
) -> Iterator[bytes]:
    """The keys of a table whose rows say something by being there; damaged ones do so too.

    So a row that cannot be read is noted, and counts. Its key may be what is damaged: whoever finds
    nothing behind a key tells so by `Corrupt`.
    """
    for key, row in _each(reader, table, prefix=prefix, after=after, limit=limit):
        if isinstance(row, Corrupt):
            set_aside(reader, row)
        yield key


def is_marked(reader: Reader, table: str, key: bytes) -> bool:
    """Is there a row, readable or not?"""
    try:
        return reader.get(table, key) is not None
    except Corrupt as damage:
        set_aside(reader, damage)
        return True


def set_aside(reader: Reader, damage: Corrupt) -> None:
    """Note a row that cannot be read; raise where nobody takes notes."""
    if not isinstance(reader, SealedReader):
        raise damage
    reader.set_aside(damage)


def _each(
    reader: Reader,
    table: str,
    *,
    prefix: bytes = b"",
    after: bytes | None = None,
    limit: int | None = None,
) -> Iterator[tuple[bytes, bytes | Corrupt]]:
    if isinstance(reader, SealedReader):
        return reader.each(table, prefix=prefix, after=after, limit=limit)
    return iter(reader.scan(table, prefix=prefix, after=after, limit=limit))
