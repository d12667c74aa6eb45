"""One law, every store: the conformance test of the storage interface."""

from __future__ import annotations

import threading
from itertools import product

import pytest

from store_kinds import KINDS, open_store
from tigertally.base.errors import Unavailable, UsageError
from tigertally.base.ids import Hash
from tigertally.storage.store import key_range


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def store(kind, tmp_path):
    opened = open_store(kind, tmp_path / "store.db")
    yield opened
    opened.close()


def put(store, table, **rows):
    with store.transaction() as tx:
        for key, value in rows.items():
            tx.put(table, key.encode(), value)


def content(store, table="t"):
    with store.reading() as reader:
        return dict(reader.scan(table))


def test_what_was_put_is_there(store):
    with store.transaction() as tx:
        assert tx.get("t", b"k") is None
        tx.put("t", b"k", b"v")
        assert tx.get("t", b"k") == b"v"
    with store.reading() as reader:
        assert reader.get("t", b"k") == b"v"
        assert reader.get("t", b"K") is None


def test_put_overwrites_and_delete_removes(store):
    put(store, "t", a=b"1", b=b"2")
    with store.transaction() as tx:
        tx.put("t", b"a", b"3")
        tx.delete("t", b"b")
        tx.delete("t", b"never there")
        assert (tx.get("t", b"a"), tx.get("t", b"b")) == (b"3", None)
    assert content(store) == {b"a": b"3"}


def test_tables_do_not_mix(store):
    put(store, "t", k=b"of t")
    put(store, "u", k=b"of u")
    with store.transaction() as tx:
        tx.delete("t", b"k")
    assert content(store, "t") == {}
    assert content(store, "u") == {b"k": b"of u"}


@pytest.mark.parametrize("key", [b"", b"\x00", b"\xff" * 200, "ключ".encode(), b"' OR 1=1 --"])
@pytest.mark.parametrize("value", [b"", b"\x00", b"\xff\x00" * 500_000])
def test_any_bytes_come_back(store, key, value):
    with store.transaction() as tx:
        tx.put("t", key, value)
    with store.reading() as reader:
        assert reader.get("t", key) == value
        assert list(reader.scan("t")) == [(key, value)]


def test_identifiers_are_bytes_too_and_come_back_plain(store):
    name = Hash(bytes(32))
    with store.transaction() as tx:
        tx.put("t", name, name)
        assert type(tx.get("t", name)) is bytes
    with store.reading() as reader:
        assert [(type(k), type(v)) for k, v in reader.scan("t")] == [(bytes, bytes)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_rolls_everything_back_and_travels_on(store, error):
    put(store, "t", kept=b"old", gone=b"old")
    with pytest.raises(error), store.transaction() as tx:
        tx.put("t", b"kept", b"new")
        tx.put("t", b"added", b"new")
        tx.put("u", b"added", b"new")
        tx.delete("t", b"gone")
        raise error
    assert content(store, "t") == {b"kept": b"old", b"gone": b"old"}
    assert content(store, "u") == {}
    put(store, "t", kept=b"newer")
    assert content(store)[b"kept"] == b"newer"


def test_a_reader_sees_one_moment(store):
    put(store, "t", a=b"1", b=b"1")
    with store.reading() as before:
        with store.transaction() as tx:
            tx.put("t", b"a", b"2")
            tx.delete("t", b"b")
            with store.reading() as meanwhile:
                assert meanwhile.get("t", b"a") == b"1"
        assert before.get("t", b"a") == b"1"
        assert dict(before.scan("t")) == {b"a": b"1", b"b": b"1"}
    assert content(store) == {b"a": b"2"}


KEYS = [
    b"",
    b"\x00",
    b"a",
    b"a\x00",
    b"a\xff",
    b"a\xff\xff",
    b"aa",
    b"b",
    b"\xff",
    b"\xff\xff",
    b"\xff\xffa",
]


@pytest.fixture
def filled(store):
    with store.transaction() as tx:
        for key in reversed(KEYS):
            tx.put("t", key, b"value of " + key)
        tx.put("s", b"a", b"another table")
    return store


PREFIXES = [b"", b"a", b"a\xff", b"\xff", b"\xff\xff", b"c", b"\x00"]
AFTER = [None, b"", b"a", b"a\xff", b"ab", b"\xff\xff", b"\xff\xff\xff"]
LIMITS = [None, 0, 1, 3, 100]


def test_scan_is_ordered_and_bounded(filled):
    with filled.reading() as reader:
        for prefix, after, limit in product(PREFIXES, AFTER, LIMITS):
            expected = [
                (k, b"value of " + k)
                for k in sorted(KEYS)
                if k.startswith(prefix) and (after is None or k > after)
            ]
            found = list(reader.scan("t", prefix=prefix, after=after, limit=limit))
            assert found == expected[:limit], (prefix, after, limit)


def test_pages_are_the_whole(filled):
    found, after = [], None
    with filled.reading() as reader:
        while page := list(reader.scan("t", after=after, limit=3)):
            found += page
            after = page[-1][0]
    assert [key for key, _ in found] == sorted(KEYS)


def test_scan_sees_changes_of_its_transaction_made_before_the_call_only(filled):
    with filled.transaction() as tx:
        tx.delete("t", b"a")
        tx.put("t", b"aaa", b"new")
        rows = tx.scan("t", prefix=b"a")
        tx.put("t", b"az", b"too late")
        tx.delete("t", b"aa")
        assert [key for key, _ in rows] == [b"a\x00", b"aa", b"aaa", b"a\xff", b"a\xff\xff"]


def test_a_negative_limit_is_refused(store):
    with store.reading() as reader, pytest.raises(UsageError):
        reader.scan("t", limit=-1)


def test_nothing_works_after_the_end(store):
    with store.transaction() as tx:
        tx.put("t", b"k", b"v")
    with store.reading() as reader:
        pass
    for use in (
        lambda: tx.get("t", b"k"),
        lambda: tx.scan("t"),
        lambda: tx.put("t", b"k", b"w"),
        lambda: tx.delete("t", b"k"),
        lambda: reader.get("t", b"k"),
        lambda: reader.scan("t"),
    ):
        with pytest.raises(UsageError):
            use()
    assert content(store) == {b"k": b"v"}


def test_a_second_transaction_in_one_thread_is_refused_and_the_first_goes_on(store):
    with store.transaction() as tx:
        tx.put("t", b"k", b"v")
        with pytest.raises(UsageError), store.transaction():
            pass
        tx.put("t", b"l", b"w")
    assert content(store) == {b"k": b"v", b"l": b"w"}


def test_a_closed_store_is_refused(store):
    store.close()
    with pytest.raises(UsageError), store.transaction():
        pass
    with pytest.raises(UsageError), store.reading():
        pass


def test_scrubbing_changes_nothing_that_is_there(store):
    put(store, "t", a=b"1", b=b"2")
    with store.transaction() as tx:
        tx.delete("t", b"b")
    assert store.scrub()
    assert content(store) == {b"a": b"1"}


def test_threads_take_turns(store):
    def add():
        for _ in range(25):
            with store.transaction() as tx:
                tx.put("t", b"sum", b"%d" % (int(tx.get("t", b"sum") or b"0") + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(store) == {b"sum": b"100"}


def test_a_writer_that_waits_too_long_gives_up(kind, tmp_path):
    store = open_store(kind, tmp_path / "store.db", wait=0.01)
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with store.transaction() as tx:
            tx.put("t", b"k", b"v")
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    with pytest.raises(Unavailable), store.transaction():
        pass
    with store.reading() as reader:  # readers do not wait
        assert reader.get("t", b"k") is None
    leave.set()
    thread.join()
    assert content(store) == {b"k": b"v"}
    store.close()


def test_two_stores_do_not_share(kind, tmp_path):
    one, two = (open_store(kind, tmp_path / name) for name in ("one.db", "two.db"))
    put(one, "t", k=b"v")
    assert content(two) == {}
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("prefix", "after", "first", "end"),
    [
        (b"", None, b"", None),
        (b"a", None, b"a", b"b"),
        (b"a\xff", None, b"a\xff", b"b"),
        (b"\xff", None, b"\xff", None),
        (b"a", b"", b"a", b"b"),
        (b"a", b"ab", b"ab\x00", b"b"),
        (b"", b"z", b"z\x00", None),
    ],
)
def test_key_range(prefix, after, first, end):
    assert key_range(prefix, after) == (first, end)


def test_a_part_is_taken_back_alone(store):
    with store.transaction() as tx:
        tx.put("t", b"before", b"1")
        with pytest.raises(ZeroDivisionError), tx.nested():
            tx.put("t", b"before", b"2")
            tx.put("t", b"inside", b"3")
            raise ZeroDivisionError
        assert (tx.get("t", b"before"), tx.get("t", b"inside")) == (b"1", None)
        with tx.nested():
            tx.put("t", b"after", b"4")
    assert content(store) == {b"before": b"1", b"after": b"4"}


def test_a_part_of_a_part(store):
    with store.transaction() as tx, tx.nested():
        tx.put("t", b"outer", b"1")
        with pytest.raises(ZeroDivisionError), tx.nested():
            tx.delete("t", b"outer")
            raise ZeroDivisionError
    assert content(store) == {b"outer": b"1"}


def test_a_part_is_not_durable_before_the_whole(store):
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        with tx.nested():
            tx.put("t", b"k", b"v")
        raise ZeroDivisionError
    assert content(store) == {}
