from __future__ import annotations

import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tigertally.base.errors import Corrupt, TigertallyError, Unavailable, UsageError
from tigertally.storage import sqlite
from tigertally.storage.sql import SqlStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def fill(path, rows=300):
    store = SqlStore(path)
    with store.transaction() as tx:
        for i in range(rows):
            tx.put("t", b"key %d" % i, b"value %d " % i * 50)
    store.close()


def read_all(path):
    store = SqlStore(path)
    try:
        with store.reading() as reader:
            return len(list(reader.scan("t")))
    finally:
        store.close()


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_for_their_owner_only(path):
    before = os.umask(0)
    try:
        store = SqlStore(path)
        with store.transaction() as tx:
            tx.put("t", b"k", b"v")
        found = {p.name: mode_of(p) for p in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert found == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    store.close()
    assert [p.name for p in path.parent.iterdir()] == ["store.db"]


def test_a_file_that_others_may_read_is_closed_to_them(path):
    fill(path)
    path.chmod(0o644)
    SqlStore(path).close()
    assert mode_of(path) == 0o600


def test_names_with_signs_that_mean_something_in_an_address(tmp_path):
    path = tmp_path / "a b?mode=ro&x=%20#1.db"
    fill(path, rows=1)
    assert path.exists()
    assert read_all(path) == 1


@pytest.mark.parametrize("create", [True, False])
def test_no_folder_no_store(tmp_path, create):
    with pytest.raises(UsageError):
        SqlStore(tmp_path / "nowhere" / "store.db", create=create)


def test_a_store_that_must_be_there_is_not_made(path):
    with pytest.raises(UsageError):
        SqlStore(path, create=False)
    assert not path.exists()


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(UsageError):
        SqlStore(tmp_path)


def test_an_emptied_file_is_not_mistaken_for_a_fresh_one(path):
    fill(path)
    path.write_bytes(b"")
    with pytest.raises(Corrupt):
        SqlStore(path, create=False)


def test_commits_are_synced_and_deleted_bytes_overwritten(path):
    store = SqlStore(path)
    with store.transaction() as tx:
        asked = ("journal_mode", "synchronous", "secure_delete", "trusted_schema")
        found = {p: tx._cursor.execute(f"PRAGMA {p}").fetchone()[0] for p in asked}
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "trusted_schema": 0,
    }
    store.close()


def test_erased_bytes_are_in_no_file_after_scrubbing(path):
    secret = os.urandom(64)
    store = SqlStore(path)

    def found():
        return any(secret in p.read_bytes() for p in path.parent.iterdir())

    with store.transaction() as tx:
        tx.put("keys", b"receive", secret)
        tx.put("keys", b"other", os.urandom(5000))
    assert found()
    with store.transaction() as tx:
        tx.delete("keys", b"receive")
    assert found()  # the write-ahead log still has the page as it was
    assert store.scrub()
    assert not found()
    with store.transaction() as tx:
        tx.put("keys", b"other", secret * 100)
        tx.put("keys", b"other", bytes(64))
    assert store.scrub()
    assert not found()
    store.close()


def test_scrubbing_says_when_a_reader_was_in_the_way(path):
    store = SqlStore(path)
    with store.transaction() as tx:
        tx.put("t", b"k", b"v")
    with store.reading():
        with store.transaction() as tx:
            tx.put("t", b"k", b"w")
        assert not store.scrub()
    assert store.scrub()
    store.close()


def test_scrubbing_waits_for_no_writer_of_this_process_or_another(path):
    """It would wait for 30 seconds; the two that it finds at work never end by themselves."""
    store, other = SqlStore(path), SqlStore(path)
    with ThreadPoolExecutor(1) as elsewhere:
        for writing in (store, other):
            with writing.transaction() as tx:
                tx.put("t", b"k", b"v")
                assert elsewhere.submit(store.scrub).result(20) is False
        assert elsewhere.submit(store.scrub).result() is True
    with store.transaction(), pytest.raises(UsageError):
        store.scrub()
    store.close()
    other.close()
    with pytest.raises(UsageError):
        store.scrub()


def test_a_copy_has_no_deleted_bytes_though_the_files_still_do(path):
    store, secret = SqlStore(path), os.urandom(64)

    def in_copy(name):
        store.copy_to(path.parent / name)
        return secret in (path.parent / name).read_bytes()

    with store.transaction() as tx:
        for number in range(200):
            tx.put("keys", number.to_bytes(2, "big"), secret * 30)
        tx.put("keys", b"other", bytes(5000))
    assert in_copy("before"), "the control"
    with store.transaction() as tx:
        for number in range(200):
            tx.delete("keys", number.to_bytes(2, "big"))
    files = (path, path.with_name(path.name + "-wal"))
    assert any(secret in one.read_bytes() for one in files)
    assert not in_copy("after"), "free pages are copied, and overwritten"
    with SqlStore(path.parent / "after").reading() as reader:
        assert [key for key, _ in reader.scan("keys")] == [b"other"]
    assert (path.parent / "after").stat().st_mode & 0o777 == 0o600
    store.close()


@pytest.mark.parametrize("busy", [False, True], ids=["one writer now and then", "one at each step"])
def test_a_copy_in_steps_lets_the_log_be_emptied_and_comes_to_an_end(path, monkeypatch, busy):
    store, other = SqlStore(path), SqlStore(path)
    with store.transaction() as tx:
        for number in range(2000):
            tx.put("t", number.to_bytes(2, "big"), os.urandom(1000))
    steps, emptied = 0, 0

    def pause(_):
        nonlocal steps, emptied
        steps += 1
        if busy or steps == 2:
            with other.transaction() as tx:
                tx.put("t", b"number", b"%d" % steps)
        emptied += other.scrub()

    monkeypatch.setattr(sqlite.time, "sleep", pause)
    store.copy_to(path.parent / "copy")
    assert emptied == steps > 2, "no step holds a reader open into its pause"
    if busy:
        assert steps <= sqlite._COPY_RESTARTS + 2, "then in one step"
    with SqlStore(path.parent / "copy").reading() as reader, store.reading() as now:
        assert list(reader.scan("t")) == list(now.scan("t"))
    store.close()
    other.close()


def test_a_copy_that_fails_leaves_no_file(path, monkeypatch):
    store = SqlStore(path)
    fill(path)

    def fails(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite, "copy", fails)
    with pytest.raises(TigertallyError):
        store.copy_to(path.parent / "copy")
    assert not (path.parent / "copy").exists()
    (path.parent / "taken").write_bytes(b"mine")
    with pytest.raises(UsageError):
        store.copy_to(path.parent / "taken")
    assert (path.parent / "taken").read_bytes() == b"mine"
    store.close()


@pytest.mark.parametrize(
    "content", [b"x", b"not a database at all, but long enough to look like one" * 100]
)
def test_something_else_is_corrupt(path, content):
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        SqlStore(path)
    assert path.read_bytes() == content


def test_another_program_s_database_is_corrupt_and_left_alone(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(Corrupt):
        SqlStore(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]


def test_a_cut_file_is_corrupt(path):
    fill(path)
    assert read_all(path) == 300
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(Corrupt):
        read_all(path)


def test_overwritten_pages_are_corrupt(path):
    fill(path)
    raw = path.read_bytes()
    path.write_bytes(raw[:8192] + b"\xa5" * (len(raw) - 8192))
    with pytest.raises(Corrupt):
        read_all(path)


def test_a_lost_table_is_corrupt(path):
    fill(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE rows")
    store = SqlStore(path)
    with pytest.raises(Corrupt), store.reading() as reader:
        reader.get("t", b"k")
    with pytest.raises(Corrupt), store.transaction() as tx:
        tx.put("t", b"k", b"v")
    with pytest.raises(Corrupt), store.transaction() as tx:
        tx.delete("t", b"k")
    store.close()


@pytest.mark.parametrize("kind", ["text", 7])
def test_a_row_of_another_type_is_corrupt(path, kind):
    fill(path, rows=1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE rows SET value = ?", (kind,))
    store = SqlStore(path)
    with store.reading() as reader:
        with pytest.raises(Corrupt):
            reader.get("t", b"key 0")
        with pytest.raises(Corrupt):
            list(reader.scan("t"))
    store.close()


def test_another_process_s_long_transaction_makes_it_unavailable(path):
    fill(path, rows=1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = SqlStore(path, wait=0.01)
    with pytest.raises(Unavailable), store.transaction():
        pass
    other.execute("ROLLBACK")
    with store.transaction() as tx:
        assert tx.get("t", b"key 0")
    store.close()
    other.close()


def test_a_value_that_is_no_bytes_is_the_caller_s_mistake(path):
    store = SqlStore(path)
    with pytest.raises(UsageError), store.transaction() as tx:
        tx.put("t", b"k", object())
    store.close()


def test_a_reader_open_while_the_store_closes_ends_well(path):
    fill(path, rows=3)
    store = SqlStore(path)
    with store.reading() as reader:
        store.close()
        assert len(list(reader.scan("t"))) == 3
