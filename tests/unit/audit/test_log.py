from __future__ import annotations

import pytest

from store_kinds import KINDS, open_store
from tigertally.audit import log as log_module
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.log import ENTRIES, HEAD, NODES, AuditLog
from tigertally.base.errors import Corrupt, MalformedMessage, UsageError
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.merkle import EMPTY_ROOT, Tree, verify_consistency, verify_inclusion
from tigertally.crypto.signatures import SigningKey
from tigertally.storage.memory import MemoryStore

KEY = SigningKey.generate(SeededRandomness("authority"))
LOG = AuditLog("tally.example/hq", KEY)
TIME = 1_800_000_000


def append(tx, number, log=LOG):
    return log.append(
        tx,
        time=TIME + number,
        kind="custody.release",
        actor="app",
        summary=f"release {number}",
        detail=b"%d" % number,
    )


def grow(store, count):
    with store.transaction() as tx:
        start = LOG.size(tx)
        for number in range(start, start + count):
            append(tx, number)


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    opened = open_store(request.param, tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def ten():
    made = MemoryStore()
    grow(made, 10)
    return made


@pytest.mark.requirement("X5")
def test_entries_come_back_in_order(store):
    grow(store, 5)
    with store.reading() as reader:
        found = list(LOG.entries(reader))
        assert [e.index for e in found] == [0, 1, 2, 3, 4]
        assert [e.summary for e in found] == [f"release {i}" for i in range(5)]
        assert [e.detail for e in LOG.entries(reader, 2, 2)] == [b"2", b"3"]
        assert list(LOG.entries(reader, 5)) == list(LOG.entries(reader, 0, 0)) == []
        assert len(list(LOG.entries(reader, 3, 100))) == 2


@pytest.mark.requirement("X5")
def test_root_and_proofs_are_those_of_the_tree_of_its_entries(store):
    tree = Tree()
    with store.reading() as reader:
        assert LOG.root(reader) == EMPTY_ROOT
    for number in range(19):
        with store.transaction() as tx:
            tree.append(append(tx, number).leaf)
    with store.reading() as reader:
        for size in range(20):
            assert LOG.root(reader, size) == tree.root(size)
            for smaller in range(size + 1):
                found = LOG.consistency_proof(reader, smaller, size)
                assert found == tree.consistency_proof(smaller, size)
            for index in range(size):
                found = LOG.inclusion_proof(reader, index, size)
                assert found == tree.inclusion_proof(index, size)
        assert LOG.check(reader) == LOG.root(reader)


@pytest.mark.requirement("X5")
def test_a_rolled_back_entry_was_never_there(store):
    grow(store, 3)
    with store.reading() as reader:
        before = LOG.checkpoint(reader)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        append(tx, 3)
        tx.put("keys", b"payroll", b"changed")
        raise ZeroDivisionError
    with store.reading() as reader:
        assert LOG.checkpoint(reader) == before
        assert reader.get("keys", b"payroll") is None
    with store.transaction() as tx:
        tx.put("keys", b"payroll", b"changed")
        assert append(tx, 3).index == 3
    with store.reading() as reader:
        after = LOG.checkpoint(reader)
        verify_consistency(
            old_size=3,
            old_root=before.checkpoint.root,
            new_size=4,
            new_root=after.checkpoint.root,
            proof=LOG.consistency_proof(reader, 3),
        )
        assert LOG.check(reader) == after.checkpoint.root


@pytest.mark.requirement("X5")
def test_an_entry_that_cannot_be_written_fails_the_operation(store):
    with pytest.raises(MalformedMessage), store.transaction() as tx:
        tx.put("keys", b"payroll", b"changed")
        LOG.append(tx, time=TIME, kind="custody.release", actor="app", summary="two\nlines")
    with store.reading() as reader:
        assert reader.get("keys", b"payroll") is None
        assert LOG.size(reader) == 0


def test_checkpoints_are_signed_by_the_log(ten):
    with ten.reading() as reader:
        signed = LOG.checkpoint(reader)
        shown = SignedCheckpoint.from_bytes(signed.to_bytes()).verify(KEY.public)
        assert (shown.origin, shown.size, shown.root) == (LOG.origin, 10, LOG.root(reader))
        entry = list(LOG.entries(reader))[4]
        proof = LOG.inclusion_proof(reader, 4)
    verify_inclusion(leaf=entry.leaf, index=4, size=10, proof=proof, root=shown.root)


def test_several_entries_in_one_transaction_and_in_many_are_the_same_log(ten):
    one_by_one = MemoryStore()
    for _ in range(10):
        grow(one_by_one, 1)
    with ten.reading() as a, one_by_one.reading() as b:
        assert LOG.checkpoint(a) == LOG.checkpoint(b)


def test_entries_are_paged(ten, monkeypatch):
    monkeypatch.setattr(log_module, "_PAGE", 3)
    with ten.reading() as reader:
        assert [e.index for e in LOG.entries(reader)] == list(range(10))
        assert [e.index for e in LOG.entries(reader, 4, 5)] == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(("since", "limit"), [(-1, None), (0, -1)])
def test_negative_numbers(ten, since, limit):
    with ten.reading() as reader, pytest.raises(UsageError):
        list(LOG.entries(reader, since, limit))


@pytest.mark.parametrize("size", [-1, 11])
def test_sizes_the_log_never_had(ten, size):
    with ten.reading() as reader:
        for ask in (LOG.root, lambda r, s: LOG.consistency_proof(r, 1, s)):
            with pytest.raises(UsageError):
                ask(reader, size)
        with pytest.raises(UsageError):
            LOG.inclusion_proof(reader, 0, size)


@pytest.mark.parametrize("origin", ["", "two words", "a+b"])
def test_an_origin_is_a_key_name(origin):
    with pytest.raises(MalformedMessage):
        AuditLog(origin, KEY)


def number(value):
    return value.to_bytes(8, "big")


def damage(store, table, key, value):
    with store.transaction() as tx:
        if value is None:
            tx.delete(table, key)
        else:
            tx.put(table, key, value)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        (ENTRIES, number(3), None),
        (ENTRIES, number(3), b"not an entry"),
        (ENTRIES, number(9), None),
        (HEAD, b"size", number(11)),
        (HEAD, b"size", b"ten"),
        (HEAD, b"size", b"\xff" * 8),
        (NODES, b"\x01" + number(2), None),
        (NODES, b"\x01" + number(2), bytes(32)),
        (NODES, b"\x03" + number(0), bytes(31)),
    ],
)
def test_damage_is_found(ten, table, key, value):
    with ten.reading() as reader:
        LOG.check(reader)
    damage(ten, table, key, value)
    with ten.reading() as reader, pytest.raises(Corrupt):
        LOG.check(reader)


def test_a_moved_entry_is_found(ten):
    with ten.reading() as reader:
        third = reader.get(ENTRIES, number(3))
    damage(ten, ENTRIES, number(4), third)
    with ten.reading() as reader, pytest.raises(Corrupt):
        list(LOG.entries(reader))


@pytest.mark.parametrize("size", [None, number(4)])
def test_a_log_whose_end_was_forgotten_does_not_overwrite(ten, size):
    damage(ten, HEAD, b"size", size)
    with pytest.raises(Corrupt), ten.transaction() as tx:
        append(tx, 4)
    with ten.reading() as reader:
        assert reader.get(ENTRIES, number(9)) is not None


@pytest.mark.parametrize(
    ("table", "key"),
    [(ENTRIES, number(10)), (NODES, b"\x01" + number(4)), (NODES, b"\x03" + number(0))],
)
def test_appending_to_a_damaged_log_is_refused(ten, table, key):
    grow(ten, 1)
    damage(ten, table, key, None)
    with pytest.raises(Corrupt):
        grow(ten, 5)
    with ten.reading() as reader:
        assert LOG.size(reader) == 11
