"""Tables of values over every store: forms of keys, damage, time indexes, what is read once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_kinds import KEY, KINDS, open_store
from tigertally.base.codec import encode
from tigertally.base.errors import Corrupt, MalformedMessage, UsageError
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId
from tigertally.base.recent import Recent
from tigertally.base.secret import Secret
from tigertally.custody.messages.kinds import KeyRef
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import RowSealer, SealedTransaction
from tigertally.storage.table import (
    HOLDER,
    RAW,
    TIME,
    Marks,
    Table,
    Times,
    fixed,
    from_time,
    joined,
    message,
    number,
    packed,
    sealed_in,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    text: str
    count: int


def hash_of(n: int) -> Hash:
    return Hash(n.to_bytes(32, "big"))


NOTES = Table("note", joined(fixed(Hash), HOLDER), message(Note), sealed=True)
WRAPS = Table("wrap", fixed(Hash), RAW, sealed=True, ends="wrap-ends")
SEEN = Marks("seen", joined(HOLDER, fixed(Hash)))
A, B = (hash_of(1), HolderIndex(1)), (hash_of(2), HolderIndex(9))
ONE, TWO = Note(text="one", count=1), Note(text="two", count=2)


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    opened = open_store(request.param, tmp_path / "store.db")
    yield opened
    opened.close()


def test_what_was_put_is_got_and_dropped_is_gone(store):
    with store.transaction() as tx:
        assert NOTES.get(tx, A) is None
        assert not NOTES.has(tx, A)
        NOTES.put(tx, B, TWO)
        NOTES.put(tx, A, ONE)
    with store.reading() as reader:
        assert NOTES.get(reader, A) == ONE == NOTES.need(reader, A, KeyError())
        assert NOTES.has(reader, B)
        assert list(NOTES.keys(reader)) == [A, B], "in the order of their bytes"
        assert list(NOTES.rows(reader, prefix=B[0])) == [(B, TWO)]
        assert list(NOTES.values(reader, after=NOTES.place(A))) == [TWO]
    with store.transaction() as tx:
        NOTES.drop(tx, A)
        assert list(NOTES.keys(tx)) == [B]
        with pytest.raises(UsageError, match="nothing of it"):
            NOTES.need(tx, A, UsageError("nothing of it"))


def test_a_table_is_its_name_and_its_rows_are_those_of_the_store(store):
    with store.transaction() as tx:
        NOTES.put(tx, A, ONE)
        assert dict(tx.scan("note")) == {A[0] + b"\x01": encode(ONE)}
        tx.put(NOTES, B[0] + b"\x09", encode(TWO))
        assert NOTES.get(tx, B) == TWO


def test_marks_are_set_once_and_found_in_order(store):
    one, two = (HolderIndex(2), hash_of(1)), (HolderIndex(1), hash_of(5))
    with store.transaction() as tx:
        SEEN.put(tx, one)
        SEEN.put(tx, one)
        SEEN.put(tx, two)
        assert SEEN.has(tx, one)
        assert not SEEN.has(tx, (HolderIndex(3), hash_of(1)))
        assert list(SEEN.keys(tx)) == [two, one]
        assert list(SEEN.keys(tx, limit=1)) == [two]
        SEEN.drop(tx, two)
        assert list(SEEN.keys(tx)) == [one]


def test_what_has_ended_is_dropped_the_oldest_first(store):
    with store.transaction() as tx:
        for end in (30, 10, 20):
            WRAPS.put(tx, hash_of(end), b"%d" % end, end=end)
        assert WRAPS.drop_ended(tx, 9, most=10) == 0
        assert WRAPS.drop_ended(tx, 25, most=1) == 1
        assert list(WRAPS.values(tx)) == [b"20", b"30"]
        WRAPS.drop_end(tx, hash_of(30), 30)
        assert WRAPS.drop_ended(tx, 99, most=10) == 1
        assert list(tx.scan("wrap")) == list(tx.scan("wrap-ends")) == []


def test_a_table_without_time_index_takes_no_end(store):
    with store.transaction() as tx, pytest.raises(UsageError):
        NOTES.drop_ended(tx, 1, most=1)


# --- damage -----------------------------------------------------------------------------------


@pytest.fixture
def damaged():
    """Two notes and two marks, of which the second of each was changed by somebody else."""
    noted: list[Corrupt] = []
    with MemoryStore().transaction() as plain:
        tx = SealedTransaction(plain, RowSealer(Secret(KEY)), noted.append)
        NOTES.put(tx, A, ONE)
        NOTES.put(tx, B, TWO)
        SEEN.put(tx, (HolderIndex(1), hash_of(1)))
        SEEN.put(tx, (HolderIndex(2), hash_of(1)))
        plain.put(NOTES, NOTES.place(B), b"x" * 40)
        plain.put(SEEN, SEEN.place((HolderIndex(2), hash_of(1))), b"x" * 40)
        yield tx, noted


def places(noted):
    return [(damage.table, damage.key) for damage in noted]


def test_who_asks_for_a_damaged_row_hears_which(damaged):
    tx, noted = damaged
    for ask in (NOTES.get, NOTES.has, lambda tx, key: NOTES.need(tx, key, KeyError())):
        with pytest.raises(Corrupt) as caught:
            ask(tx, B)
        assert places([caught.value]) == [("note", NOTES.place(B))]
    assert not noted


def test_who_reads_many_gets_the_others_and_the_damage_is_named(damaged):
    tx, noted = damaged
    assert list(NOTES.rows(tx)) == [(A, ONE)]
    assert list(NOTES.values(tx)) == [ONE]
    assert places(noted) == [("note", NOTES.place(B))] * 2


def test_a_damaged_mark_and_the_key_of_a_damaged_row_count(damaged):
    tx, noted = damaged
    assert SEEN.has(tx, (HolderIndex(2), hash_of(1)))
    assert len(list(SEEN.keys(tx))) == 2
    assert list(NOTES.keys(tx)) == [A, B]
    assert places(noted) == [("seen", b"\x02" + hash_of(1))] * 2 + [("note", NOTES.place(B))]


def test_a_row_that_opens_but_is_no_note_is_damaged_too(damaged):
    tx, noted = damaged
    tx.put(NOTES, NOTES.place(B), b"no note")
    with pytest.raises(Corrupt, match="a stored Note cannot be read") as caught:
        NOTES.get(tx, B)
    assert places([caught.value]) == [("note", NOTES.place(B))]
    assert list(NOTES.values(tx)) == [ONE]
    assert places(noted) == [("note", NOTES.place(B))]


def test_a_key_of_another_form_is_named_and_left_out(damaged):
    tx, noted = damaged
    tx.put(SEEN, b"\x01short", b"")
    tx.put(SEEN, b"\x00" + hash_of(1), b"")
    assert list(SEEN.keys(tx, limit=3)) == [(HolderIndex(1), hash_of(1))]
    assert places(noted) == [("seen", b"\x00" + hash_of(1)), ("seen", b"\x01short")]


def test_where_nobody_takes_notes_a_damaged_row_stops_who_reads(store):
    with store.transaction() as tx:
        tx.put(NOTES, NOTES.place(A), b"no note")
        with pytest.raises(Corrupt):
            list(NOTES.values(tx))


# --- forms --------------------------------------------------------------------------------------


@given(st.binary(max_size=8), st.integers(0, 255), st.integers(0, 2**64 - 1))
def test_joined_keys_come_back(text, small, large):
    for form, key in (
        (joined(RAW, number(1)), (text, small)),
        (joined(TIME, RAW), (large, text)),
        (joined(joined(number(1), RAW), TIME), ((small, text), large)),
    ):
        assert form.read(form.write(key)) == key
        assert not form.size


@pytest.mark.parametrize("raw", [b"", bytes(33), bytes(35)])
def test_a_joined_key_of_another_length_is_refused(raw):
    form = joined(fixed(ProposalId), number(2))
    assert form.size == 34
    assert form.read(bytes(34)) == (ProposalId(bytes(32)), 0)
    with pytest.raises(MalformedMessage):
        form.read(raw)


@given(st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True), st.integers(1, 9))
def test_a_key_reference_comes_back_and_stands_in_order(name, version):
    form, ref = packed(KeyRef), KeyRef(name=Name(name), version=version)
    later = KeyRef(name=Name(name), version=version + 256)
    assert form.read(form.write(ref)) == ref
    assert form.write(ref) < form.write(later)
    with pytest.raises(MalformedMessage):
        form.read(form.write(ref)[:-4])


def test_sealed_tables_are_found_with_their_time_indexes():
    assert sealed_in(globals()) == ("note", "wrap", "wrap-ends")


# --- what is read once ---------------------------------------------------------------------------


def test_a_value_is_read_once_until_its_row_changes():
    reads: list[bytes] = []
    form = message(Note)
    counted = type(form)(
        write=form.write, read=lambda raw: reads.append(raw) or form.read(raw), name="Note"
    )
    table = Table("cached", fixed(Hash), counted, cached=Recent(entries=2, size=1000))
    with MemoryStore().transaction() as tx:
        table.put(tx, hash_of(1), ONE)
        assert table.get(tx, hash_of(1)) is table.get(tx, hash_of(1))
        assert len(reads) == 1
        table.put(tx, hash_of(1), TWO)
        assert table.get(tx, hash_of(1)) == TWO
        assert len(reads) == 2
        for count in range(3):  # more than it keeps
            table.put(tx, hash_of(2), Note(text="more", count=count))
            table.get(tx, hash_of(2))
        assert table.get(tx, hash_of(1)) == TWO
        assert len(reads) == 6


# --- a time index tells the truth ----------------------------------------------------------------


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 60)), max_size=30),
    st.integers(0, 60),
    st.integers(0, 5),
)
def test_a_time_index_says_what_a_list_says(steps, now, most):
    known: dict[Hash, int] = {}
    with MemoryStore().transaction() as tx:
        for put, which, end in steps:
            key = hash_of(which)
            if key in known:
                WRAPS.drop_end(tx, key, known.pop(key))
            if put:
                WRAPS.put(tx, key, b"", end=end)
                known[key] = end
        index = Times("wrap-ends", fixed(Hash))
        in_order = sorted((end, key) for key, end in known.items())
        assert list(index.keys(tx)) == in_order
        assert list(index.keys(tx, after=from_time(now))) == [m for m in in_order if m[0] >= now]
        dead = [mark for mark in in_order if mark[0] <= now][:most]
        assert index.until(tx, now, limit=most) == dead
        assert WRAPS.drop_ended(tx, now, most=most) == len(dead)
        assert set(WRAPS.keys(tx)) == set(known) - {key for _, key in dead}


def test_a_time_index_is_read_only_as_far_as_its_time():
    """Every sync of a device asks: what it keeps for later must cost nothing."""
    read: list[bytes] = []
    form = fixed(Hash)
    counted = type(form)(
        write=form.write, read=lambda raw: read.append(raw) or form.read(raw), name="Hash", size=32
    )
    with MemoryStore().transaction() as tx:
        for which in range(50):
            WRAPS.put(tx, hash_of(which), b"", end=10 + which)
        assert len(Times("wrap-ends", counted).until(tx, 11, limit=40)) == 2
        assert len(read) == 3
