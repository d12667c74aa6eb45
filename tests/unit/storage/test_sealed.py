from __future__ import annotations

import pytest

from tigertally.base.errors import Corrupt, UsageError
from tigertally.base.secret import Secret
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import RowSealer, SealedStore, SealedTransaction
from tigertally.storage.sql import SqlStore

KEY = bytes(range(32))
WORDS = b"the fragment of holder seven"


@pytest.fixture
def plain():
    return MemoryStore()


@pytest.fixture
def sealed(plain):
    return SealedStore(plain, Secret(KEY))


@pytest.fixture
def filled(sealed):
    with sealed.transaction() as tx:
        tx.put("t", b"a", WORDS)
        tx.put("t", b"b", b"another")
        tx.put("u", b"a", b"a third")
    return sealed


def raw(plain, table, key):
    with plain.reading() as reader:
        return reader.get(table, key)


def overwrite(plain, table, key, value):
    with plain.transaction() as tx:
        tx.put(table, key, value)


def assert_does_not_open(sealed, table, key):
    with sealed.reading() as reader:
        with pytest.raises(Corrupt):
            reader.get(table, key)
        with pytest.raises(Corrupt):
            reader.get_secret(table, key)
        with pytest.raises(Corrupt):
            list(reader.scan(table))


def test_the_file_does_not_show_what_is_sealed(tmp_path):
    path = tmp_path / "store.db"
    below = SqlStore(path)
    store = SealedStore(below, Secret(KEY))

    def shown():
        return any(WORDS in p.read_bytes() for p in tmp_path.iterdir())

    with store.transaction() as tx:
        tx.put("t", b"k", WORDS)
        tx.put("t", b"l", Secret(WORDS))
    assert not shown()
    overwrite(below, "t", b"plain", WORDS)
    assert shown()
    store.close()


def test_every_changed_bit_is_noticed(plain, filled):
    good = raw(plain, "t", b"a")
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        overwrite(plain, "t", b"a", bytes(bad))
        with filled.reading() as reader, pytest.raises(Corrupt):
            reader.get("t", b"a")
    overwrite(plain, "t", b"a", good)
    with filled.reading() as reader:
        assert reader.get("t", b"a") == WORDS


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27, 28, 29, 55, 57])
def test_every_other_length_is_noticed(plain, filled, length):
    good = raw(plain, "t", b"a")
    assert len(good) == len(WORDS) + 28
    overwrite(plain, "t", b"a", (good + bytes(10))[:length])
    assert_does_not_open(filled, "t", b"a")


def test_swapped_rows_are_noticed(plain, filled):
    one, two = raw(plain, "t", b"a"), raw(plain, "t", b"b")
    overwrite(plain, "t", b"a", two)
    overwrite(plain, "t", b"b", one)
    assert_does_not_open(filled, "t", b"a")
    assert_does_not_open(filled, "t", b"b")


@pytest.mark.parametrize(("table", "key"), [("u", b"a"), ("t", b"c"), ("ta", b""), ("", b"ta")])
def test_moved_rows_are_noticed(plain, filled, table, key):
    overwrite(plain, table, key, raw(plain, "t", b"a"))
    assert_does_not_open(filled, table, key)


def test_another_key_opens_nothing(plain, filled):
    assert_does_not_open(SealedStore(plain, Secret(bytes(32))), "t", b"a")


def test_the_key_has_one_length(plain):
    with pytest.raises(UsageError):
        SealedStore(plain, Secret(bytes(16)))


def test_the_same_value_is_sealed_differently_each_time(plain, sealed):
    found = set()
    for _ in range(20):
        with sealed.transaction() as tx:
            tx.put("t", b"k", WORDS)
        found.add(raw(plain, "t", b"k"))
    assert len(found) == 20


def test_secrets_go_in_and_out_without_bytes(sealed):
    with sealed.transaction() as tx:
        tx.put("t", b"k", Secret(WORDS))
        assert tx.get_secret("t", b"none") is None
    with sealed.reading() as reader:
        found = reader.get_secret("t", b"k")
        assert found.matches(WORDS)
        assert reader.get("t", b"k") == WORDS


def test_sealed_and_plain_rows_commit_together_or_not_at_all(plain):
    sealer = RowSealer(Secret(KEY))
    with pytest.raises(ZeroDivisionError), plain.transaction() as tx:
        SealedTransaction(tx, sealer).put("secrets", b"k", WORDS)
        tx.put("audit", b"0", b"made a secret")
        raise ZeroDivisionError
    assert raw(plain, "audit", b"0") is raw(plain, "secrets", b"k") is None
    with plain.transaction() as tx:
        view = SealedTransaction(tx, sealer)
        view.put("secrets", b"k", WORDS)
        tx.put("audit", b"0", b"made a secret")
        assert view.get("secrets", b"k") == WORDS
        assert dict(view.scan("secrets")) == {b"k": WORDS}
    assert raw(plain, "audit", b"0") == b"made a secret"
    assert sealer.open("secrets", b"k", raw(plain, "secrets", b"k")) == WORDS


def test_a_view_over_a_reader_only_reads(tmp_path):
    store = SqlStore(tmp_path / "store.db")
    sealer = RowSealer(Secret(KEY))
    with store.reading() as reader:
        view = SealedTransaction(reader, sealer)
        assert view.get("t", b"k") is None
        with pytest.raises(UsageError):
            view.put("t", b"k", b"v")
        with pytest.raises(UsageError):
            view.delete("t", b"k")
    store.close()


def test_the_sealer_does_not_show_its_key():
    assert KEY.hex() not in repr(RowSealer(Secret(KEY)))
    assert not hasattr(RowSealer(Secret(KEY)), "__dict__")
