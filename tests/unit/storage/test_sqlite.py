from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DatabaseError

from tigertally.base.errors import Corrupt, Unavailable, UsageError
from tigertally.storage.sqlite import fault


def error(kind, code):
    made = kind("as SQLite says it")
    made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(
    ("raised", "meant"),
    [
        (error(sqlite3.OperationalError, sqlite3.SQLITE_BUSY), Unavailable),
        (error(sqlite3.OperationalError, sqlite3.SQLITE_BUSY_SNAPSHOT), Unavailable),
        (error(sqlite3.OperationalError, sqlite3.SQLITE_FULL), Unavailable),
        (error(sqlite3.OperationalError, sqlite3.SQLITE_IOERR_FSYNC), Unavailable),
        (error(sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT), Corrupt),
        (error(sqlite3.DatabaseError, sqlite3.SQLITE_NOTADB), Corrupt),
        (error(sqlite3.OperationalError, sqlite3.SQLITE_ERROR), Corrupt),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), UsageError),
    ],
)
def test_what_an_error_means(raised, meant):
    assert type(fault(raised)) is meant
    assert type(fault(DatabaseError("SELECT 1", (), raised))) is meant
    assert "as SQLite says it" not in str(fault(raised))
