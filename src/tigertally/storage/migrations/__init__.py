"""Bring a database to the newest schema. Costs one query when there is nothing to do.

Alembic is imported only when an older store must be changed. A fresh one is made from
`schema.metadata`; a test shows that the migrations lead to exactly the same tables.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from tigertally.base.errors import Corrupt, UsageError
from tigertally.storage.schema import HEAD, metadata, versions
from tigertally.storage.sqlite import BEGIN_WRITING


def prepare(engine: Engine, *, create: bool) -> None:
    """Make or upgrade the tables; nothing happens if they are of the newest version.

    Two processes may do this at once: one of them does the work inside a write transaction.

    Raises:
        Corrupt: there are tables of something else, or none where `create` is False.
        UsageError: a newer version of the program wrote them.
    """
    with engine.connect() as connection:
        if _version(connection) == HEAD:
            return
    with engine.connect() as connection:
        connection.exec_driver_sql(BEGIN_WRITING)
        if _version(connection) != HEAD:  # nobody was faster
            _bring_up_to_date(connection, create=create)
        connection.commit()


def _version(connection: Connection) -> str | None:
    try:
        found = connection.execute(select(versions.c.version_num)).scalar_one_or_none()
    except DBAPIError:
        return None  # no such table, or worse: looked at again by whoever acts on it
    return None if found is None else str(found)


def _bring_up_to_date(connection: Connection, *, create: bool) -> None:
    tables = inspect(connection).get_table_names()
    if not tables and create:
        metadata.create_all(connection)
        connection.execute(insert(versions).values(version_num=HEAD))
    elif versions.name in tables:
        upgrade(connection)
    else:
        raise Corrupt("the file is not a Tigertally store, or lost its tables")


def upgrade(connection: Connection) -> None:
    """Run the migrations that this database has not seen, inside the caller's transaction.

    Raises:
        UsageError: it was written by a newer version.
    """
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import RevisionStep
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)

    def steps(revision: str, _: object) -> list[RevisionStep]:
        return scripts._upgrade_revs("head", revision)  # as Alembic's own commands do

    with EnvironmentContext(config, scripts, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        try:
            environment.run_migrations()
        except CommandError as error:
            raise UsageError("a newer version of Tigertally wrote this store") from error
