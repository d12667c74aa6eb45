from __future__ import annotations

import copy

import pytest

from store_kinds import KINDS, open_store
from tigertally.audit import log as log_module
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.log import AuditLog
from tigertally.audit.nodes import ENTRIES, HEAD, NODES, PEAKS_KEY, SIZE_KEY
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


def everything(reader, tree):
    """Root, proofs and checkpoint, for all sizes, are those of the tree."""
    assert LOG.size(reader) == tree.size
    assert LOG.checkpoint(reader).checkpoint.root == tree.root()
    for size in range(tree.size + 1):
        assert LOG.root(reader, size) == tree.root(size)
        for smaller in range(size + 1):
            assert LOG.consistency_proof(reader, smaller, size) == tree.consistency_proof(
                smaller, size
            )


def all_rows(store):
    return [(t, k, v) for t in (ENTRIES, NODES, HEAD) for k, v in store._tables[t].items()]


def flipped(value, place):
    return value[:place] + bytes([value[place] ^ 1 << place % 8]) + value[place + 1 :]


@pytest.mark.requirement("X5")
@pytest.mark.parametrize("size", [1, 2, 7, 8, 11])
@pytest.mark.parametrize("harm", ["flip", "lose"])
def test_any_damaged_row_leaves_every_root_and_proof_right_and_is_mended(size, harm):
    """A wrong root under a signature would convict an honest authority for good."""
    whole, tree = MemoryStore(), Tree()
    with whole.transaction() as tx:
        for place in range(size):
            tree.append(append(tx, place).leaf)
    found = 0
    for table, key, value in all_rows(whole):
        store, grown = MemoryStore(), copy.deepcopy(tree)
        store._tables = whole._tables
        damage(store, table, key, flipped(value, len(value) // 2) if harm == "flip" else None)
        log = AuditLog("tally.example/hq", KEY)
        with store.reading() as reader:
            everything(reader, tree)
            as_of_before = harm == "lose" and table == NODES and not key[0]  # leaves had no rows
            if as_of_before:
                assert log.check(reader) == tree.root()
            else:
                with pytest.raises(Corrupt):
                    log.check(reader)
        found += 1
        with store.transaction() as tx:
            grown.append(append(tx, size, log).leaf)
            mended = log.mend(tx, 0, size + 5)
        with store.reading() as reader:
            everything(reader, grown)
            if table == ENTRIES:
                assert [(one.table, one.key) for one in mended.lost] == [(table, key)]
                with pytest.raises(Corrupt) as caught:
                    list(log.entries(reader))
                assert (caught.value.table, caught.value.key) == (table, key)
                others = [i for i in range(size + 1) if number(i) != key]
                assert [next(log.entries(reader, i, 1)).index for i in others] == others
            else:
                assert mended.lost == ()
                assert log.check(reader) == grown.root()
                if table == NODES and not as_of_before:
                    assert mended.rows == ((table, key),), "appending mends what is in HEAD"
    assert found == len(all_rows(whole)) > 2 * size


def test_a_log_from_before_leaves_and_peaks_had_rows_goes_on(ten):
    tree = Tree()
    with ten.transaction() as tx:
        for entry in LOG.entries(tx):
            tree.append(entry.leaf)
        tx.delete(HEAD, PEAKS_KEY)
        for index in range(10):
            tx.delete(NODES, b"\x00" + number(index))
    log = AuditLog("tally.example/hq", KEY)
    with ten.reading() as reader:
        everything(reader, tree)
    with ten.transaction() as tx:
        tree.append(append(tx, 10, log).leaf)
    with ten.reading() as reader:
        everything(reader, tree)
        assert log.check(reader) == tree.root()
    entry = ten._tables[ENTRIES][number(3)]
    damage(ten, ENTRIES, number(3), flipped(entry, len(entry) // 2))
    with ten.transaction() as tx:
        mended = log.mend(tx, 0, 11)
        lost = [one.key for one in mended.lost]
        assert lost == [number(2), number(3)], "without rows of leaves a pair is not told apart"
        assert mended.rows == (), "the others are filled in, that is all"
        assert log.consistency_proof(tx, 5) == tree.consistency_proof(5)
        with pytest.raises(Corrupt):  # it would be a wrong proof
            log.consistency_proof(tx, 3)


def test_a_version_of_before_has_appended_meanwhile(ten):
    """It knows neither leaves nor peaks: its rows are believed, ours are behind."""
    behind = ten._tables[HEAD][PEAKS_KEY]
    grow(ten, 3)
    damage(ten, HEAD, PEAKS_KEY, behind)
    for index in range(10, 13):
        damage(ten, NODES, b"\x00" + number(index), None)
    with ten.transaction() as tx:
        assert LOG.size(tx) == 13
        assert append(tx, 13).index == 13
    with ten.reading() as reader:
        assert LOG.check(reader) == LOG.root(reader)


@pytest.mark.parametrize("size", [None, number(4), number(2**40), b"ten"])
@pytest.mark.parametrize("peaks", [None, b"damaged"])
def test_a_log_that_has_forgotten_its_end_finds_it_and_overwrites_nothing(ten, size, peaks):
    before = dict(ten._tables[ENTRIES])
    damage(ten, HEAD, SIZE_KEY, size)
    damage(ten, HEAD, PEAKS_KEY, peaks)
    grow(ten, 1)
    assert {k: v for k, v in ten._tables[ENTRIES].items() if k in before} == before
    with ten.reading() as reader:
        assert LOG.size(reader) == 11
        assert LOG.check(reader) == LOG.root(reader)


def test_an_entry_behind_the_end_is_not_written_over(ten):
    with ten.transaction() as tx:
        tx.put(ENTRIES, number(10), b"whose is it?")
    with pytest.raises(Corrupt), ten.transaction() as tx:
        append(tx, 10)


def test_a_rolled_back_hash_is_not_believed_later(ten):
    """What was checked is remembered by its value: another entry may come to the same place."""
    with pytest.raises(ZeroDivisionError), ten.transaction() as tx:
        for number_ in (10, 11):
            append(tx, number_ + 100)
        LOG.consistency_proof(tx, 11)
        raise ZeroDivisionError
    grow(ten, 2)
    with ten.reading() as reader:
        tree = Tree()
        for entry in LOG.entries(reader):
            tree.append(entry.leaf)
        everything(reader, tree)
