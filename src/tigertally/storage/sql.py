"""A store on SQL: rows in one table of a SQLite file.

The statements are portable (`storage/schema.py`). What is SQLite's own, from opening the file to
what its errors mean, is called from here by name (`storage/sqlite.py`). Durable when the block of a
transaction ends. Threads of a process take turns at a lock, processes at the database's own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tigertally.base.errors import Corrupt, TigertallyError, Unavailable, UsageError
from tigertally.storage import sqlite
from tigertally.storage.migrations import prepare
from tigertally.storage.schema import Statements, statements
from tigertally.storage.store import check_limit, key_range
from tigertally.storage.writer import WriterLock

_WAIT_SECONDS = 30.0
_ALL_ROWS = 2**62  # a limit that no table reaches; every database takes it


class SqlStore:
    """Rows in a SQLite file of mode 0600, made where it is missing.

    Args:
        path: the file; beside it SQLite keeps two more, with `-wal` and `-shm` behind the name.
        create: False where a store must be there already; then a missing or empty file is an
            error, not a fresh start.
        wait: seconds to wait for another writer.

    Raises:
        UsageError: no such file or folder, or a newer Tigertally wrote it.
        Corrupt: the file is damaged or something else.
        Unavailable: busy, or the disk does not do it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, create: bool = True, wait: float = _WAIT_SECONDS
    ) -> None:
        self._closed = False
        self._writer = WriterLock(wait)
        self._idle: deque[Any] = deque()
        self._engine = sqlite.open_engine(Path(path), create=create, wait=wait)
        self._driver_error = self._engine.dialect.loaded_dbapi.Error
        try:
            prepare(self._engine, create=create)
        except (SQLAlchemyError, self._driver_error) as error:
            self._engine.dispose()
            raise sqlite.fault(error) from error
        except BaseException:
            self._engine.dispose()
            raise
        self._statements = statements(self._engine.dialect)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """See `Store.transaction`."""
        with self._writer.held(), self._cursor() as cursor:
            self._run(cursor, sqlite.BEGIN_WRITING)
            transaction = SqlTransaction(cursor, self._statements, self._driver_error)
            try:
                yield transaction
                transaction.check()
                transaction.end()
                self._run(cursor, "COMMIT")
            except BaseException:
                transaction.end()
                with suppress(self._driver_error):
                    cursor.execute("ROLLBACK")
                raise
            # After the COMMIT nothing may raise: a change that is on the disk would look undone.

    @contextmanager
    def reading(self) -> Iterator[SqlReader]:
        """See `Store.reading`."""
        with self._cursor() as cursor:
            self._run(cursor, sqlite.BEGIN_READING)
            self._run(cursor, sqlite.PIN_SNAPSHOT)
            reader = SqlReader(cursor, self._statements, self._driver_error)
            try:
                yield reader
            finally:
                reader.end()
                with suppress(self._driver_error):
                    cursor.execute("ROLLBACK")

    def scrub(self) -> bool:
        """See `Store.scrub`: empties the write-ahead log, which holds older pages."""
        self._check_open()
        connection = None
        try:
            # Of its own, since it must not wait: neither for other processes nor for our writer.
            connection = self._engine.raw_connection()
            connection.detach()
            cursor = connection.cursor()
            for pragma in (sqlite.DO_NOT_WAIT, sqlite.CHECKPOINT_BESIDE):
                cursor.execute(pragma)
            with self._writer.tried() as held:
                return held and cursor.execute(sqlite.CHECKPOINT).fetchone()[0] == 0
        except (SQLAlchemyError, self._driver_error) as error:
            fault = sqlite.fault(error)
            if sqlite.is_busy(error):
                return False
            raise fault from error
        finally:
            if connection is not None:
                with suppress(Exception):
                    connection.close()

    def copy_to(self, path: Path) -> None:
        """Write the store as it is at this moment into a new file of mode 0600; work goes on.

        Raises:
            UsageError: the file exists, or cannot be made.
            Unavailable, Corrupt: as for a transaction. Then there is no file.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        try:
            with self._cursor() as cursor:
                sqlite.copy(cursor.connection, path)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, self._driver_error):
                raise sqlite.fault(error) from error
            raise

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        self._engine.dispose()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor on a connection of our own until the block ends; nothing is left open on it."""
        self._check_open()
        try:
            connection = self._connection()
            cursor = connection.cursor()
        except (SQLAlchemyError, self._driver_error) as error:
            raise sqlite.fault(error) from error
        try:
            yield cursor
        except BaseException:
            with suppress(Exception):
                connection.close()  # back to the engine, which rolls back whatever is still open
            raise
        # A connection that cannot be tidied up is given away; it must not make what was done fail.
        with suppress(Exception):
            cursor.close()
            if not self._closed and len(self._idle) < sqlite.POOL_SIZE:
                self._idle.append(connection)
                return
        with suppress(Exception):
            connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the store is closed")

    def _connection(self) -> Any:
        """One that was used before: the engine's own pool takes longer than a query."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.raw_connection()

    def _run(self, cursor: Any, text: str) -> None:
        try:
            cursor.execute(text)
        except self._driver_error as error:
            raise sqlite.fault(error) from error


class SqlReader:
    """Looks at rows over one driver cursor."""

    def __init__(self, cursor: Any, says: Statements, driver_error: type[Exception]) -> None:
        self._cursor = cursor
        self._says = says
        self._driver_error = driver_error
        self._open = True
        self._given_up: TigertallyError | None = None

    def get(self, table: str, key: bytes) -> bytes | None:
        """See `Reader.get`."""
        self._check_open()
        try:
            row = self._cursor.execute(self._says.get, (table, key)).fetchone()
        except self._driver_error as error:
            raise self._fault(error) from error
        return None if row is None else _blob(row[0], table, key)

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
        says = self._says.scan_to_end if end is None else self._says.scan
        count = _ALL_ROWS if limit is None else limit
        parameters = says.parameters(t=table, first=first, end=end, count=count)
        try:
            found = self._cursor.execute(says.text, parameters).fetchall()
        except self._driver_error as error:
            raise self._fault(error) from error
        return ((_blob(key, table), _blob(value, table, key)) for key, value in found)

    def end(self) -> None:
        """Refuse any further use."""
        self._open = False

    def _check_open(self) -> None:
        if self._given_up is not None:
            raise Unavailable(f"the store has given a transaction up: {self._given_up}")
        if not self._open:
            raise UsageError("the transaction has ended")

    def _fault(self, error: Exception) -> TigertallyError:
        """What an error means; with it the whole transaction may be gone."""
        fault = sqlite.fault(error)
        if not sqlite.is_open(self._cursor):
            self._given_up = fault
        return fault


class SqlTransaction(SqlReader):
    """Looks at and changes rows over one driver cursor."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """See `Transaction.put`."""
        self._check_open()
        try:
            self._cursor.execute(self._says.put, (table, key, value))
        except self._driver_error as error:
            raise self._fault(error) from error

    def delete(self, table: str, key: bytes) -> None:
        """See `Transaction.delete`."""
        self._check_open()
        try:
            self._cursor.execute(self._says.delete, (table, key))
        except self._driver_error as error:
            raise self._fault(error) from error

    @contextmanager
    def nested(self) -> Iterator[None]:
        """See `Transaction.nested`."""
        self._execute(sqlite.BEGIN_PART)
        try:
            yield
        except BaseException:
            self._execute(sqlite.UNDO_PART)
            self._execute(sqlite.END_PART)
            raise
        self._execute(sqlite.END_PART)

    def check(self) -> None:
        """Is everything since the beginning still there? Raises `Unavailable` if not."""
        self._check_open()

    def _execute(self, text: str) -> None:
        """Begin or end a part. Where that fails the whole transaction is lost: it ends."""
        self._check_open()
        try:
            self._cursor.execute(text)
        except self._driver_error as error:
            self._given_up = sqlite.fault(error)
            raise Unavailable(f"the store has given a transaction up: {self._given_up}") from error


def _blob(value: object, table: str, key: object = b"") -> bytes:
    if type(value) is bytes:
        return value
    if type(key) is not bytes or not key:
        raise Corrupt(f"a row of table {table!r} does not hold bytes")
    why = f"row {key.hex()} of table {table!r} does not hold bytes"
    raise Corrupt(why, table=table, key=key)
