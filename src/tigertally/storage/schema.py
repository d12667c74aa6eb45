"""The tables on SQL, and the few statements over them, as SQLAlchemy Core builds them.

One table of rows serves every part of the program: what a row means is the business of whoever
wrote it, and sealed values could not be queried anyway. Statements are compiled once a store for
its dialect; running the text on the driver's cursor costs a fifth of running the construct.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    Dialect,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    bindparam,
    delete,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.expression import ClauseElement

HEAD = "0002"  # the newest revision in migrations/versions; a test keeps them together

metadata = MetaData()

rows = Table(
    "rows",
    metadata,
    Column("table_name", String(64), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    PrimaryKeyConstraint("table_name", "key", name="rows_pk"),
)

# Alembic's own table; declared here so that a fresh store needs no Alembic to be made.
versions = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL text for one driver, and the order of its parameters."""

    text: str
    order: tuple[str, ...]
    defaults: Mapping[str, object]

    def parameters(self, **values: object) -> tuple[object, ...]:
        """The values in the order the text wants them."""
        return tuple(values[n] if n in values else self.defaults[n] for n in self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """Everything a store says to its database, apart from beginning and ending transactions."""

    get: str  # parameters: table, key
    put: str  # parameters: table, key, value
    delete: str  # parameters: table, key
    scan: Statement
    scan_to_end: Statement


def statements(dialect: Dialect) -> Statements:
    """The statements for this dialect."""
    table: BindParameter[str] = bindparam("t")
    key: BindParameter[bytes] = bindparam("k")
    insert = _inserting(dialect)(rows)
    upsert = insert.values(table_name=table, key=key, value=bindparam("v")).on_conflict_do_update(
        index_elements=[rows.c.table_name, rows.c.key], set_={"value": insert.excluded.value}
    )
    here = (rows.c.table_name == table, rows.c.key == key)
    page = (
        select(rows.c.key, rows.c.value)
        .where(rows.c.table_name == table, rows.c.key >= bindparam("first"))
        .order_by(rows.c.key)
        .limit(bindparam("count"))
    )
    return Statements(
        get=_positional(select(rows.c.value).where(*here), dialect, "t", "k"),
        put=_positional(upsert, dialect, "t", "k", "v"),
        delete=_positional(delete(rows).where(*here), dialect, "t", "k"),
        scan=_compiled(page.where(rows.c.key < bindparam("end")), dialect),
        scan_to_end=_compiled(page, dialect),
    )


def _inserting(dialect: Dialect) -> Callable[[Table], Any]:
    """The dialect's own INSERT, which can say what happens where a row is there already."""
    if dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # takes a tenth of a command's start

        return postgresql.insert
    return sqlite.insert


def _compiled(clause: ClauseElement, dialect: Dialect) -> Statement:
    compiled = clause.compile(dialect=dialect)
    order = tuple(getattr(compiled, "positiontup", None) or ())
    return Statement(text=str(compiled), order=order, defaults=dict(compiled.params))


def _positional(clause: ClauseElement, dialect: Dialect, *order: str) -> str:
    statement = _compiled(clause, dialect)
    if statement.order != order:
        raise TypeError(f"{dialect.name} wants its parameters as {statement.order}, not {order}")
    return statement.text
