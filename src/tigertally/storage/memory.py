"""A store in memory: for tests and for the in-memory network. Lost when the process ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tigertally.base.errors import UsageError
from tigertally.storage.store import check_limit, key_range
from tigertally.storage.writer import WriterLock

_Tables = Mapping[str, Mapping[bytes, bytes]]
_WAIT_SECONDS = 30.0


class MemoryStore:
    """Rows in dictionaries.

    Committed tables are never changed, only replaced: a reader that holds on to them keeps one
    moment's state.
    """

    def __init__(self, *, wait: float = _WAIT_SECONDS) -> None:
        self._tables: _Tables = {}
        self._writer = WriterLock(wait)
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        """See `Store.transaction`."""
        self._check_open()
        with self._writer.held():
            transaction = MemoryTransaction(self._tables)
            try:
                yield transaction
            finally:
                transaction.end()
            self._tables = transaction.merged()

    @contextmanager
    def reading(self) -> Iterator[MemoryTransaction]:
        """See `Store.reading`. Changes made to what this gives are dropped."""
        self._check_open()
        view = MemoryTransaction(self._tables)
        try:
            yield view
        finally:
            view.end()

    def scrub(self) -> bool:
        """See `Store.scrub`: nothing is left behind that could be removed."""
        return True

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        self._tables = {}

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the store is closed")


class MemoryTransaction:
    """Committed tables with this transaction's changes on top (None: deleted)."""

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables
        self._changes: dict[str, dict[bytes, bytes | None]] = {}
        self._open = True

    def get(self, table: str, key: bytes) -> bytes | None:
        """See `Reader.get`."""
        self._check_open()
        changes = self._changes.get(table)
        if changes is not None and key in changes:
            return changes[key]
        return self._tables.get(table, {}).get(key)

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader.scan`."""
        self._check_open()
        check_limit(limit)
        first, end = key_range(prefix, after)
        merged = self._merged_table(table)
        keys = sorted(key for key in merged if key >= first and (end is None or key < end))
        return iter([(key, merged[key]) for key in keys[:limit]])

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """See `Transaction.put`."""
        self._check_open()
        self._changes.setdefault(table, {})[bytes(key)] = bytes(value)

    def delete(self, table: str, key: bytes) -> None:
        """See `Transaction.delete`."""
        self._check_open()
        self._changes.setdefault(table, {})[bytes(key)] = None

    @contextmanager
    def nested(self) -> Iterator[None]:
        """See `Transaction.nested`."""
        self._check_open()
        before = {table: dict(changes) for table, changes in self._changes.items()}
        try:
            yield
        except BaseException:
            self._changes = before
            raise

    def end(self) -> None:
        """Refuse any further use."""
        self._open = False

    def merged(self) -> _Tables:
        """All tables with the changes made; the very same if there are none."""
        if not self._changes:
            return self._tables
        return {**self._tables, **{table: self._merged_table(table) for table in self._changes}}

    def _merged_table(self, table: str) -> Mapping[bytes, bytes]:
        changes = self._changes.get(table)
        if changes is None:
            return self._tables.get(table, {})
        result = dict(self._tables.get(table, {}))
        for key, value in changes.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = value
        return result

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError("the transaction has ended")
