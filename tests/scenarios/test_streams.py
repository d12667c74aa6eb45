"""Streams, in the hands of the store and of their readers."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import pytest

from delegation_rig import NOW, MemoryObjects, label, person
from tigertally.base.codec import encode
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    Refused,
    Unavailable,
    UsageError,
)
from tigertally.base.limits import MAX_RECORD_BYTES
from tigertally.base.randomness import SystemRandomness
from tigertally.delegation.client.channels import (
    locate_channel,
    read_stream,
    record_path,
    write_stream,
)
from tigertally.delegation.client.files import read_file, write_file
from tigertally.delegation.messages.headers import Hint
from tigertally.delegation.protocol import records
from tigertally.delegation.stores.open import open_store

ANN, BOB = person("ann"), person("bob")
PATH = label("camera/may")
PIECES = [b"first", b"", b"x" * 100_000, b"last"]
BROKEN = (InvalidSignature, MalformedMessage)


@pytest.fixture(params=[False, True], ids=["plain", "all-or-nothing"])
def store(request):
    made = MemoryObjects()
    sent = write_stream(ANN, made, PATH, PIECES, clock=lambda: NOW, all_or_nothing=request.param)
    assert (sent.records, sent.bytes) == (5, sum(map(len, PIECES)))
    return made


def received(store, owner=ANN, path=PATH, **options):
    sink = io.BytesIO()
    told = read_stream(store, owner, path, sink, **options)
    assert told.bytes == len(sink.getvalue())
    return sink.getvalue(), told


def refused(store, kind=BROKEN, **options):
    sink = io.BytesIO()
    with pytest.raises(kind):
        read_stream(store, ANN, PATH, sink, **options)
    return sink.getvalue()


def head(store, number):
    return records.read_head(io.BytesIO(store.objects[record_path(PATH, number)]))


@pytest.mark.requirement("D14")
def test_a_stream_comes_back_from_anywhere(store):
    content, told = received(store)
    assert content == b"".join(PIECES)
    assert (told.records, told.gaps) == (5, ())
    for start in range(5):
        assert received(store, start=start)[0] == b"".join(PIECES[start:])
    assert b"first" not in b"".join(store.objects.values())
    with pytest.raises(UsageError, match="ended at record 4: there is no record 5"):
        received(store, start=5)
    del store.objects[record_path(PATH, 4)]  # not ended yet
    refused(store, start=5, kind=Unavailable)


@pytest.mark.requirement("D14")
def test_each_record_announces_the_next(store):
    heads = [head(store, number) for number in range(5)]
    for one, following in pairwise(heads):
        assert one.keys.following == following.keys.own, "the same capsule: charged once"
    assert heads[-1].keys.following is None
    assert [one.final for one in heads] == [False] * 4 + [True]
    assert len({one.keys.own.capsule for one in heads}) == 5
    assert len({one.header.fixed.commitment for one in heads}) == 5, "a DEK each"


@pytest.mark.requirement("D14")
def test_gaps_are_reported_and_an_end_without_a_last_record_is_an_error(store):
    whole = dict(store.objects)
    missing: list[int] = []
    del store.objects[record_path(PATH, 2)]
    content, told = received(store, missing=missing.append)
    assert (content, told.gaps, missing) == (b"firstlast", (2,), [2])
    store.objects = dict(whole)
    del store.objects[record_path(PATH, 4)]
    assert refused(store, kind=InvalidSignature) == b"".join(PIECES)
    store.objects.clear()
    refused(store, kind=Unavailable)


@pytest.mark.requirement("D14")
def test_a_name_in_the_store_is_no_later_record(store, monkeypatch):
    """What a store lists costs it nothing: a reader neither counts to 10^16 nor waits for it."""
    del store.objects[record_path(PATH, 4)]
    for name in ("README", "99999999999999999", "000000000000000٥", "0000000000000009.keys"):
        store.objects[*PATH, name] = b""
    store.objects[*PATH, "below", "0000000000000009"] = b""
    missing: list[int] = []
    refused(store, kind=InvalidSignature, missing=missing.append)
    store.objects[record_path(PATH, 10**16 - 1)] = b""
    refused(store, kind=InvalidSignature, missing=missing.append)
    assert missing == []
    monkeypatch.setattr("tigertally.delegation.client.channels._MOST_MISSING", 3)
    store.objects[record_path(PATH, 8)] = b""
    refused(store, kind=InvalidSignature, missing=missing.append)
    assert missing == []
    store.objects[record_path(PATH, 7)] = b""
    refused(store, missing=missing.append)
    assert missing == [4, 5, 6]


def test_records_swapped_repeated_or_of_another_stream(store):
    whole = dict(store.objects)
    other = MemoryObjects()
    write_stream(ANN, other, PATH, PIECES, clock=lambda: NOW)
    for place, raw in (
        (1, whole[record_path(PATH, 2)]),
        (2, whole[record_path(PATH, 1)]),
        (3, whole[record_path(PATH, 4)]),
        (1, other.objects[record_path(PATH, 1)]),
    ):
        store.objects = {**whole, record_path(PATH, place): raw}
        assert refused(store) == b"".join(PIECES[:place]), "what was given out before was authentic"


def test_a_damaged_record_gives_nothing_out(store):
    path = record_path(PATH, 0)
    raw = store.objects[path]
    following = raw.index(head(store, 0).keys.following.wrap)  # the next slot is not looked at
    for at in range(0, len(raw), 11):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 8
        store.objects[path] = bytes(changed)
        if not following - 150 <= at < following + 48:
            assert refused(store, kind=(*BROKEN, Refused)) == b""
        store.objects[path] = raw[:at]
        assert refused(store) == b""
    store.objects[path] = raw + b"\0"
    assert refused(store) == b""


@pytest.mark.requirement("D14")
def test_slots_that_do_not_fit_their_record(store, monkeypatch):
    """Nobody signs them: what a store can do to them is refused before it is used."""
    path = record_path(PATH, 1)
    raw, keys = store.objects[path], head(store, 1).keys
    assert keys.following is not None
    with pytest.raises(MalformedMessage, match="one channel"):
        replace(keys, following=replace(keys.following, hint=Hint(bytes(16))))
    at = 4 + int.from_bytes(raw[:4], "big")
    size = int.from_bytes(raw[at : at + 4], "big")
    alone = encode(replace(keys, following=None))
    store.objects[path] = (
        raw[:at] + len(alone).to_bytes(4, "big") + alone + raw[at + 4 + size :]
    )  # the rest is as its writer signed it
    assert refused(store, kind=MalformedMessage) == b"first"

    class Careful(io.BytesIO):
        def read(self, wanted=-1):
            assert 0 <= wanted <= 64 * 1024
            return super().read(wanted)

    with pytest.raises(MalformedMessage, match="too long"):
        records.read_head(Careful(raw[:at] + b"\xff" * 4))
    store.objects[path] = raw
    monkeypatch.setattr("tigertally.delegation.client.channels._LARGEST", len(raw) - 1)
    assert refused(store, kind=MalformedMessage) in (b"", b"first")


def test_two_streams_that_begin_at_once_are_not_mixed():
    store = MemoryObjects()

    def pieces():
        write_stream(ANN, store, PATH, [b"quicker"], clock=lambda: NOW)
        yield b"slower"

    with pytest.raises(UsageError, match="already"):
        write_stream(ANN, store, PATH, pieces(), clock=lambda: NOW)
    assert received(store)[0] == b"quicker"


@pytest.mark.requirement("D6")
def test_a_card_for_a_channel_is_one_for_its_records():
    ann, store = person("an owner of a channel"), MemoryObjects()
    ann.label_card(PATH, writers=[BOB.signing_key.public], expires=NOW + 10)
    channel = records.begin(ann.levels(PATH)[-1], PATH, SystemRandomness())
    _, raw = records.write_record(
        channel,
        b"by bob",
        final=True,
        sender=BOB.signing_key,
        written=NOW,
        randomness=SystemRandomness(),
    )
    store.objects[record_path(PATH, 0)] = raw
    assert received(store, owner=ann)[0] == b"by bob"


def test_who_may_not_write_there_and_who_may_not_read():
    store = MemoryObjects()
    theirs = records.begin(ANN.levels(PATH)[-1], PATH, SystemRandomness())
    _, raw = records.write_record(
        theirs,
        b"forged",
        final=True,
        sender=BOB.signing_key,
        written=NOW,
        randomness=SystemRandomness(),
    )
    store.objects[record_path(PATH, 0)] = raw
    assert refused(store, kind=InvalidSignature) == b""
    ANN_too = person("ann")  # noqa: N806 - her state where Bob has a card
    ANN_too.remembered.add_writers(ANN_too.keys.ids(PATH)[1], [BOB.signing_key.public])
    assert received(store, owner=ANN_too)[0] == b"forged", "the control"
    with pytest.raises(Refused):
        received(store, owner=BOB)
    with pytest.raises(UsageError):
        write_stream(ANN, store, PATH, [], clock=lambda: NOW)
    with pytest.raises(UsageError):
        write_stream(ANN, MemoryObjects(), PATH, [bytes(MAX_RECORD_BYTES + 1)], clock=lambda: NOW)


def test_a_stream_that_changes_its_sender(store):
    """Two who may write there cannot finish each other's stream."""
    ANN_too = person("ann")  # noqa: N806
    ANN_too.remembered.add_writers(ANN_too.keys.ids(PATH)[1], [BOB.signing_key.public])
    stream = head(store, 0).header.fixed.file_id
    level = ANN.levels(PATH)[-1]
    theirs = replace(records._prepared(level, PATH, stream, 3, SystemRandomness()), path=PATH)
    _, raw = records.write_record(
        theirs,
        b"other end",
        final=True,
        sender=BOB.signing_key,
        written=NOW,
        randomness=SystemRandomness(),
    )
    store.objects[record_path(PATH, 3)] = raw
    with pytest.raises(InvalidSignature, match="changes its sender"):
        received(store, owner=ANN_too)


def test_a_record_is_no_file_and_a_file_no_record():
    store = MemoryObjects()
    write_file(
        store,
        ANN.levels(PATH),
        label("camera/may/" + "0" * 16),
        io.BytesIO(b"x"),
        sender=ANN.signing_key,
        now=0,
    )
    refused(store)
    with pytest.raises((*BROKEN, Unavailable)):
        read_file(store, ANN, PATH, io.BytesIO())


@pytest.mark.requirement("D14")
def test_where_a_stream_is_found(tmp_path):
    folder = tmp_path / "store"
    write_stream(ANN, open_store(str(folder)), PATH, [b"x"], clock=lambda: NOW)
    for known in ([], [str(folder)], [str(tmp_path), str(folder)]):
        found, path = locate_channel(str(folder / "camera/may"), ANN, known)
        assert (found.url, path) == (str(folder), PATH)
    (folder / "camera").rename(folder / "photos")
    for known in ([], [str(folder)]):
        with pytest.raises(Refused):
            locate_channel(str(folder / "photos/may"), ANN, known)
    with pytest.raises(Unavailable):
        locate_channel(str(folder / "camera/may"), ANN, [])
