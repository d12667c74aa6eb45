from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from tigertally.base.errors import Unavailable, UsageError
from tigertally.delegation.stores.open import folder_of, open_store

FDS = Path("/proc/self/fd")
pytestmark = pytest.mark.requirement("D8")


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


def put(store, path, content):
    with store.put(path) as sink:
        sink.write(content)


def test_an_object_appears_complete_or_not_at_all(store, tmp_path):
    put(store, ("a", "b"), b"0123456789")
    with pytest.raises(ZeroDivisionError), store.put(("a", "b")) as sink:
        sink.write(b"half")
        raise ZeroDivisionError
    with store.get(("a", "b")) as file:
        assert file.read() == b"0123456789"
    assert store.range(("a", "b"), 3, 4) == b"3456"
    assert store.range(("a", "b"), 8, 4) == b"89"
    assert [path.name for path in (tmp_path / "store" / "a").iterdir()] == ["b"]


def test_a_batch_appears_at_its_end_or_not_at_all(store, tmp_path):
    put(store, ("x",), b"old")
    with store.batch():
        for content in (b"1", b"2"):
            put(store, ("x",), content)
            put(store, ("y", "z"), content)
        assert store.range(("x",), 0, 9) == b"old"
        assert list(store.list(())) == [("x",)]
    assert store.range(("x",), 0, 9) == store.range(("y", "z"), 0, 9) == b"2"
    with pytest.raises(ZeroDivisionError), store.batch():
        put(store, ("x",), b"3")
        raise ZeroDivisionError
    assert store.range(("x",), 0, 9) == b"2"
    assert sorted(p.name for p in (tmp_path / "store").rglob("*")) == ["x", "y", "z"]


def test_a_long_batch_is_written_through(store, monkeypatch):
    monkeypatch.setattr("tigertally.delegation.stores.local._MOST", 3)
    with store.batch():
        for name in "abcd":
            put(store, (name,), b"")
        assert list(store.list(())) == [("a",), ("b",), ("c",)]
    assert len(list(store.list(()))) == 4


def test_what_is_not_there_and_what_cannot_be(store, tmp_path):
    with pytest.raises(Unavailable):
        store.get(("nothing",))
    assert list(store.list(("nothing",))) == []
    put(store, ("file",), b"")
    store.delete(("file",))
    store.delete(("file",))
    put(store, ("file",), b"")
    with pytest.raises(Unavailable):
        store.get(("file", "below"))
    with pytest.raises(UsageError):
        put(store, ("file", "below"), b"")
    with pytest.raises(UsageError), store.batch():
        put(store, ("file", "below"), b"")
    put(store, ("folder", "x"), b"")
    for bad in ((), ("..", "x"), ("a/b",), ("",), ("folder",)):
        with pytest.raises(UsageError):
            put(store, bad, b"")
    with pytest.raises(UsageError), store.batch():
        put(store, ("folder",), b"")


def test_a_link_leads_no_write_out_of_the_store(store, tmp_path):
    """Else whoever can write into the store lets its owner overwrite files of its own."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "report").write_bytes(b"mine")
    put(store, ("x",), b"")
    (tmp_path / "store" / "docs").symlink_to(mine)
    for path in (("docs", "report"), ("docs", "new", "report")):
        with pytest.raises(UsageError, match="link"):
            put(store, path, b"yours")
        with pytest.raises(UsageError, match="link"), store.batch():
            put(store, path, b"yours")
    with pytest.raises(UsageError, match="link"):
        store.delete(("docs", "report"))
    assert [(p.name, p.read_bytes()) for p in mine.iterdir()] == [("report", b"mine")]
    (tmp_path / "store" / "x").unlink()
    (tmp_path / "store" / "x").symlink_to(mine / "report")
    put(store, ("x",), b"yours")
    assert (mine / "report").read_bytes() == b"mine", "the link was replaced"
    assert store.range(("x",), 0, 9) == b"yours"


def test_what_is_no_file_is_not_read(store, tmp_path):
    put(store, ("folder", "x"), b"")
    os.mkfifo(tmp_path / "store" / "pipe")
    (tmp_path / "store" / "loop").symlink_to("loop")
    (tmp_path / "store" / "zero").symlink_to("/dev/zero")
    before = len(list(FDS.iterdir()))
    for name in ("pipe", "loop", "zero", "folder", "x" * 300):
        with pytest.raises(Unavailable):
            store.get((name,))
    assert len(list(FDS.iterdir())) == before
    with pytest.raises(UsageError, match="too long"):
        put(store, ("x" * 300, "y"), b"")


def test_one_at_a_time_finishes_a_write(store, monkeypatch):
    monkeypatch.setattr("tigertally.delegation.stores.local._LOCK_SECONDS", 0)
    other = open_store(store.url)
    with store.exclusive(), store.exclusive(), store.batch():
        put(store, ("a",), b"1")
        with pytest.raises(Unavailable), other.exclusive():
            pass
    with other.exclusive():
        put(other, ("a",), b"2")
        with pytest.raises(Unavailable), store.batch():
            put(store, ("a",), b"3")
    assert store.range(("a",), 0, 9) == b"2"


def test_urls(tmp_path):
    assert folder_of("file:///a%20b/c") == folder_of("/a b/c/")
    assert open_store("file:///a b/").url_of(("é", "f")) == "file:///a b/%C3%A9/f"
    assert open_store("/a b/").url_of(("é", "f")) == "/a b/é/f"
    for bad in ("s3://bucket", "", "file://host/x", "https://h/x", "file:x", "file:/x"):
        with pytest.raises(UsageError):
            folder_of(bad)


def test_what_a_killed_batch_left_goes_with_the_next(store, tmp_path):
    put(store, ("y", "kept"), b"")
    folder = tmp_path / "store" / "y"
    left, other = f".{'0a' * 12}.partial", f".x.{'0a' * 8}.partial"
    for name in (left, other):
        (folder / name).write_bytes(b"half")
    put(store, ("y", "z"), b"")
    assert (folder / left).exists(), "somebody's batch may be under way"
    with store.batch():
        put(store, ("y", "z"), b"")
    names = sorted(path.name for path in folder.iterdir())
    assert names == [other, "kept", "z"], "another writer's file is its own affair"


def test_a_name_that_is_too_long_is_refused(store, tmp_path):
    for name in ("a" * 256, "ü" * 128):
        with pytest.raises(UsageError, match="too long"):
            put(store, ("x", name), b"")
    put(store, ("x", "a" * 255), b"1")
    assert list(store.list(())) == [("x", "a" * 255)]


@pytest.mark.parametrize("batched", [False, True])
def test_a_last_look_is_taken_before_an_object_gets_its_name(tmp_path, batched):
    seen = []

    def look(path):
        seen.append((path, (tmp_path / "/".join(path)).exists()))
        if path[-1] == "no":
            raise UsageError("not over this")

    store = open_store(str(tmp_path), look)
    (tmp_path / "no").write_bytes(b"old")
    for name in ("a", "b", "no"):
        with (
            pytest.raises(UsageError, match="not over this") if name == "no" else nullcontext(),
            store.batch() if batched else nullcontext(),
            store.put((name,)) as sink,
        ):
            sink.write(b"new")
    assert seen == [(("a",), False), (("b",), False), (("no",), True)]
    assert (tmp_path / "no").read_bytes() == b"old"
    assert {one.name for one in tmp_path.iterdir()} == {"a", "b", "no"}
