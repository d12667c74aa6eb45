from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tigertally.base.errors import UsageError
from tigertally.storage import migrations
from tigertally.storage.schema import HEAD
from tigertally.storage.sql import SqlStore


def tables(path):
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    return {name: sql and "".join(sql.split()) for name, sql in found}


def version(path):
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def test_migrating_from_nothing_leads_to_the_tables_of_a_fresh_store(tmp_path):
    SqlStore(tmp_path / "fresh.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.begin() as connection:
        migrations.upgrade(connection)
    engine.dispose()
    assert tables(tmp_path / "migrated.db") == tables(tmp_path / "fresh.db")
    assert version(tmp_path / "migrated.db") == version(tmp_path / "fresh.db") == [(HEAD,)]
    assert "rows" in tables(tmp_path / "fresh.db")


def test_head_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_an_older_store_is_upgraded_when_opened(tmp_path):
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as connection:  # as it was before the first migration
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    store = SqlStore(path, create=False)
    with store.transaction() as tx:
        tx.put("t", b"k", b"v")
    store.close()
    assert version(path) == [(HEAD,)]


def test_a_newer_store_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "new.db"
    SqlStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UsageError, match="newer"):
        SqlStore(path)
    assert version(path) == [("9999",)]


def test_neither_making_nor_opening_a_store_imports_alembic(tmp_path):
    program = (
        "import sys; from tigertally.storage.sql import SqlStore\n"
        "for _ in range(2): SqlStore(sys.argv[1]).close()\n"
        "assert 'sqlalchemy' in sys.modules\n"
        "assert not any(name.startswith('alembic') for name in sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "store.db"],
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        check=True,
    )
