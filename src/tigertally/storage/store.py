"""The one interface of storage: rows under (table, key), changed in transactions.

Tables are short fixed names of the program, keys and values are bytes, keys are ordered as byte
strings. Every store, in memory or on disk, sealed or not, passes the same conformance test.

**Security:** a store is not trusted. Whoever holds its file may change or roll back what it
says; services use the sealed view (`storage/sealed.py`) and compare checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from tigertally.base.errors import UsageError


class Reader(Protocol):
    """Looks at rows. Valid inside the `with` block that made it, in one thread."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value under this key, or None.

        Raises:
            Corrupt: the store is damaged.
            Unavailable: the store cannot be read now.
        """
        ...

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """The (key, value) pairs of a table in key order, as they are at the moment of the call.

        Args:
            table: its name.
            prefix: only keys that begin so.
            after: only keys behind this one; the last key of a page asks for the next page.
            limit: at most so many rows. All of them are held in memory: page through large tables.

        Raises:
            UsageError: a negative limit.
            Corrupt, Unavailable: as for `get`.
        """
        ...


class Transaction(Reader, Protocol):
    """Looks at and changes rows; sees its own changes at once, others see them after the end."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Write a row, over the one that was there."""
        ...

    def delete(self, table: str, key: bytes) -> None:
        """Remove a row; nothing happens where there is none."""
        ...

    def nested(self) -> AbstractContextManager[None]:
        """A part that is taken back alone: an exception undoes the block's changes and travels on.

        The transaction stays open for others. Nothing is durable before its own end.
        """
        ...


class Store(Protocol):
    """A place for rows, safe to share among threads."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """The one writer: all of its changes, durable at a clean end of the block, or none.

        An exception inside the block rolls everything back and travels on.

        Raises:
            Unavailable: another writer holds the store for too long, or the disk is full or fails.
            UsageError: this thread has a transaction open already.
        """
        ...

    def reading(self) -> AbstractContextManager[Reader]:
        """A look at one moment's state, which later transactions do not change."""
        ...

    def scrub(self) -> bool:
        """Remove what deleted rows left behind; False if others were reading or writing meanwhile.

        It waits for nobody: what it could not do is owed (`storage/erasure.py`) and tried again.

        Raises:
            Unavailable, Corrupt: the disk does not do it.

        **Security:** if True, the files no longer hold the bytes; a disk, its snapshots and copies
        of the files still may.
        """
        ...

    def close(self) -> None:
        """Give everything back. The store cannot be used after it."""
        ...


def key_range(prefix: bytes, after: bytes | None) -> tuple[bytes, bytes | None]:
    """First key allowed, and the first one no longer allowed (None: no end)."""
    first = prefix if after is None else max(prefix, after + b"\x00")
    stem = prefix.rstrip(b"\xff")
    end = stem[:-1] + bytes([stem[-1] + 1]) if stem else None
    return first, end


def check_limit(limit: int | None) -> None:
    """Refuse a negative number of rows."""
    if limit is not None and limit < 0:
        raise UsageError("a limit is zero or more rows")
