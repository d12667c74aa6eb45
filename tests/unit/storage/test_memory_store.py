from __future__ import annotations

from tigertally.storage.memory import MemoryStore


def test_what_is_given_may_be_changed_afterwards():
    store = MemoryStore()
    key, value = bytearray(b"k"), bytearray(b"v")
    with store.transaction() as tx:
        tx.put("t", key, value)
        value[:] = b"w"
        key[:] = b"l"
        assert tx.get("t", b"k") == b"v"
    with store.reading() as reader:
        assert list(reader.scan("t")) == [(b"k", b"v")]


def test_changes_made_while_reading_are_dropped():
    store = MemoryStore()
    with store.reading() as reader:
        reader.put("t", b"k", b"v")
    with store.reading() as reader:
        assert reader.get("t", b"k") is None
