"""SQLite as the embedded database: how its file is opened, begun, and what its errors mean.

Write-ahead log with `synchronous=FULL`: a commit has reached the disk when it returns, and readers
do not stop the writer. Several processes may open the same file. Deleted bytes are overwritten
(`secure_delete`). Sources: SQLite's pages wal.html, pragma.html and howtocorrupt.html.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from tigertally.base.errors import Corrupt, TigertallyError, Unavailable, UsageError

BEGIN_WRITING = "BEGIN IMMEDIATE"  # takes the write lock now, so that a later write cannot fail
BEGIN_READING = "BEGIN"
BEGIN_PART = "SAVEPOINT part"  # of one name also inside each other: the innermost is meant
UNDO_PART = "ROLLBACK TO part"
END_PART = "RELEASE part"
PIN_SNAPSHOT = "SELECT version_num FROM alembic_version"  # the snapshot is that of the first read
DO_NOT_WAIT = "PRAGMA busy_timeout=0"
# Both answer (busy, frames, moved). The first moves what it can beside a writer, so that the
# second, which keeps writers out and empties the log, is short.
CHECKPOINT_BESIDE = "PRAGMA wal_checkpoint(PASSIVE)"
CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)"

_FILE_MODE = 0o600
_SMALLEST_PAGE = 512
POOL_SIZE = 8  # connections kept; more are opened when more threads read at once
_COPY_PAGES = 256  # in one step: a MiB, for which the log cannot be emptied
_COPY_PAUSE = 0.002  # seconds between two steps, in which it can
_COPY_RESTARTS = 8  # because others wrote meanwhile; then the rest is copied in one step
_RETRY_SECONDS = 0.01  # between attempts to switch a fresh file to its write-ahead log

_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
    "PRAGMA trusted_schema=OFF",  # the file is not trusted, nor are functions in its schema
    "PRAGMA cell_size_check=ON",  # notice damaged pages when they are read
)

# Not now, and not the fault of what is in the file.
_PASSING = {
    sqlite3.SQLITE_BUSY: "another process has been writing to the store for too long",
    sqlite3.SQLITE_LOCKED: "the store is locked by another connection",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not read or write: is it full?",
    sqlite3.SQLITE_CANTOPEN: "the store cannot be opened",
    sqlite3.SQLITE_READONLY: "the store cannot be written",
    sqlite3.SQLITE_PERM: "the store may not be opened",
    sqlite3.SQLITE_NOMEM: "memory is short",
    sqlite3.SQLITE_INTERRUPT: "the operation was interrupted",
    sqlite3.SQLITE_PROTOCOL: "too many processes open the store at this moment",
}


def fault(error: BaseException) -> TigertallyError:
    """What a database error means to the caller."""
    original = getattr(error, "orig", None) or error
    primary = getattr(original, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    passing = _PASSING.get(primary)
    if passing is not None:
        return Unavailable(passing)
    if isinstance(original, sqlite3.DatabaseError) and not isinstance(
        original, sqlite3.ProgrammingError
    ):
        return Corrupt("the store is damaged or is not a store; restore it from a backup")
    return UsageError("the store is closed or was given something it cannot keep")


def is_busy(error: BaseException) -> bool:
    """Is somebody else in the way?"""
    original = getattr(error, "orig", None) or error
    primary = getattr(original, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_open(cursor: Any) -> bool:
    """Is the transaction of this cursor still there?

    Where the disk is full or fails, SQLite may roll a whole transaction back by itself; statements
    after that would each be a transaction of their own.
    """
    try:
        return bool(cursor.connection.in_transaction)
    except sqlite3.ProgrammingError:
        return False  # the connection was closed meanwhile


def open_engine(path: Path, *, create: bool, wait: float) -> Engine:
    """An engine on the file, which is made (mode 0600) where `create` allows it.

    Args:
        path: where the file is; its folder must exist.
        create: make the file if it is missing.
        wait: seconds to wait for another process that is writing.

    Raises:
        UsageError: there is no such file or folder, or it is not a file.
        Corrupt: the file is too short to be a store.
    """
    _make_file(path, create=create)
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=os.fspath(path)),
        connect_args={"timeout": wait, "check_same_thread": False},
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=-1,
        pool_use_lifo=True,
    )

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions begin and end where we say so
        _use_write_ahead_log(connection, wait)
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    event.listen(engine, "connect", prepare)
    return engine


class _TooManyRestarts(Exception):
    """A copy in steps does not come to its end."""


def copy(source: sqlite3.Connection, path: Path) -> None:
    """Copy a whole database, as it is at one moment, into an empty file; work goes on.

    In steps, so that no step keeps old pages in the log for long; each writer in between makes the
    copy begin again, so after some of these it is done in one. No deleted bytes are copied:
    `secure_delete` overwrites them, in pages that are free as well.
    """
    last, restarts = 0, 0

    def after_step(_: int, left: int, total: int) -> None:
        nonlocal last, restarts
        if last and left >= last:
            restarts += 1
            if restarts > _COPY_RESTARTS:
                raise _TooManyRestarts
        last = left
        if left:
            time.sleep(_COPY_PAUSE)

    target = sqlite3.connect(path, isolation_level=None)
    try:
        target.execute("PRAGMA synchronous=OFF")  # whoever wants it on the disk flushes the file
        try:
            source.backup(target, pages=_COPY_PAGES, progress=after_step)
        except _TooManyRestarts:
            source.backup(target)
    finally:
        target.close()


def _make_file(path: Path, *, create: bool) -> None:
    # A file that exists is never opened here: closing it would drop the locks that SQLite holds
    # on it elsewhere in this process (howtocorrupt.html, section 2.2).
    try:
        if create and not path.exists():
            _create(path)
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path} is not a file")
        if 0 < found.st_size < _SMALLEST_PAGE:  # SQLite would take it for empty and overwrite it
            raise Corrupt("the store was cut, or the file is something else")
        if found.st_mode & 0o077:
            path.chmod(_FILE_MODE)
    except OSError as error:
        raise UsageError(f"no store at {path}: {error.strerror}") from error


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE))
    except FileExistsError:
        return  # another process was faster
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _use_write_ahead_log(connection: sqlite3.Connection, wait: float) -> None:
    """Switch a fresh file over; SQLite does not wait by itself for others who do the same."""
    give_up = time.monotonic() + wait
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= give_up:
                raise
            time.sleep(_RETRY_SECONDS)
            continue
        if mode != "wal":
            raise UsageError("the store's file system does not support a write-ahead log")
        return
