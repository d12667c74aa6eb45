"""Everything that a store, a reader or another writer can do to a file: refused, by its type."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace

import pytest

from delegation_rig import (
    NOW,
    MemoryObjects,
    dek_of,
    label,
    parts,
    person,
    put,
    read,
    write,
)
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    Refused,
    Unavailable,
    UsageError,
)
from tigertally.base.randomness import SeededRandomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.files import atomic_output
from tigertally.crypto.stream import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SEALED_CHUNK_BYTES,
    StreamReader,
    decrypt_stream,
)
from tigertally.delegation.client import files
from tigertally.delegation.messages.cards import label_below, open_label_card, sign_label_card
from tigertally.delegation.messages.headers import Header
from tigertally.delegation.messages.slots import Keys
from tigertally.delegation.protocol import all_or_nothing, writing
from tigertally.delegation.protocol.slots import Target, make_slot
from tigertally.delegation.stores.open import open_store

CONTENT = SeededRandomness("content").bytes(3 * CHUNK_BYTES + 1000)
BROKEN = (InvalidSignature, MalformedMessage)
ANN, BOB = person("ann"), person("bob")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(files, "_PAUSE", 0)


@pytest.fixture(params=[False, True], ids=["plain", "all-or-nothing"])
def whole(request):
    return request.param


def written(path="folder/file", content=CONTENT, owner=ANN, **options):
    store = MemoryObjects()
    write(owner, store, path, content, **options)
    return store


def refused(store, path="folder/file", kind=BROKEN, owner=ANN, **options):
    before = dict(store.objects)
    with pytest.raises(kind):
        read(owner, store, path, **options)
    assert store.objects == before


@pytest.mark.requirement("D1")
@pytest.mark.requirement("D6")
@pytest.mark.parametrize("size", [0, 1, 96, CHUNK_BYTES - 96, CHUNK_BYTES, len(CONTENT)])
def test_what_was_written_comes_back_with_its_sender(size, whole):
    store = written(content=CONTENT[:size], all_or_nothing=whole)
    content, told = read(ANN, store, "folder/file")
    assert content == CONTENT[:size]
    assert (told.length, told.sender) == (size, ANN.signing_key.public)
    assert CONTENT[:64] not in b"".join(store.objects.values()) or size < 64


def cuts(raw: bytes, step: int) -> list[int]:
    """Lengths to cut to: every boundary and beside it, and each `step` bytes."""
    head = 4 + int.from_bytes(raw[:4], "big")
    chunks = range(head + HEADER_BYTES, len(raw), SEALED_CHUNK_BYTES)
    marks = {0, 4, head, head + HEADER_BYTES, len(raw) - 32, len(raw) - 96, *chunks}
    near = {at + d for at in marks for d in (-1, 0, 1)}
    return sorted(at for at in near | set(range(0, len(raw), step)) if 0 <= at < len(raw))


@pytest.mark.requirement("D13")
def test_cut_anywhere(whole):
    store = written(all_or_nothing=whole)
    path = label("folder/file")
    raw = store.objects[path]
    for at in cuts(raw, 20_011):
        store.objects[path] = raw[:at]
        refused(store)
    store.objects[path] = raw + b"\0"
    refused(store)


@pytest.mark.slow
@pytest.mark.requirement("D13")
def test_cut_and_flipped_at_every_place_of_a_small_file(whole):
    store = written("file", content=b"a small one", all_or_nothing=whole)  # a single slot
    for path in (label("file"), files.keys_path(label("file"))):
        raw = store.objects[path]
        for at in range(len(raw)):
            store.objects[path] = raw[:at]
            refused(store, "file")
        for at in range(8 * len(raw)):
            flipped = bytearray(raw)
            flipped[at // 8] ^= 1 << at % 8
            store.objects[path] = bytes(flipped)
            refused(store, "file", kind=(*BROKEN, Refused))
        store.objects[path] = raw
    assert read(ANN, store, "file")[0] == b"a small one"


def test_chunks_swapped_dropped_doubled_moved(whole):
    store = written(all_or_nothing=whole)
    other = written(content=CONTENT[::-1], all_or_nothing=whole)
    header, body, keys = parts(store, "folder/file")
    foreign = parts(other, "folder/file")[1]
    head, rest = body[:HEADER_BYTES], body[HEADER_BYTES:]
    chunk = [rest[i * SEALED_CHUNK_BYTES : (i + 1) * SEALED_CHUNK_BYTES] for i in range(4)]
    strange = foreign[HEADER_BYTES : HEADER_BYTES + SEALED_CHUNK_BYTES]
    bodies = {
        "swapped": (chunk[1], chunk[0], chunk[2], chunk[3]),
        "dropped": (chunk[0], chunk[2], chunk[3]),
        "first dropped": chunk[1:],
        "doubled": (chunk[0], chunk[0], chunk[1], chunk[2], chunk[3]),
        "from another file": (strange, chunk[1], chunk[2], chunk[3]),
    }
    for changed in bodies.values():
        put(store, "folder/file", header, head + b"".join(changed), keys)
        refused(store)
    for other_body in (foreign, foreign[:HEADER_BYTES] + rest, head + foreign[HEADER_BYTES:]):
        put(store, "folder/file", header, other_body, keys)
        refused(store)


def test_one_bit_anywhere(whole):
    store = written(content=CONTENT[:100], all_or_nothing=whole)
    path = label("folder/file")
    raw = store.objects[path]
    for at in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 8
        store.objects[path] = bytes(changed)
        refused(store)


def test_headers_and_slots_of_other_writes():
    store, other = written(), written(content=b"other")
    header, body, keys = parts(store, "folder/file")
    header2, body2, keys2 = parts(other, "folder/file")
    for mixed in ((header2, body, keys), (header, body2, keys), (header, body, keys2)):
        put(store, "folder/file", *mixed)
        refused(store)
    put(store, "folder/file", header2, body, keys2)
    refused(store)
    (slots,) = keys.sets
    renamed = replace(keys2.sets[0], file_id=slots.file_id)
    put(store, "folder/file", header, body, Keys(sets=(renamed,)))
    refused(store, kind=Refused)  # its hints fit no label: nothing for this reader
    foreign = tuple(
        replace(theirs, hint=mine.hint)
        for mine, theirs in zip(slots.slots, keys2.sets[0].slots, strict=True)
    )
    put(store, "folder/file", header, body, Keys(sets=(replace(slots, slots=foreign),)))
    refused(store)


def test_a_moved_file_is_not_that_of_its_new_place():
    store = written()
    for path in ("folder/other", "file", "folder/file/below"):
        put(store, path, *parts(store, "folder/file"))
        refused(store, path)
    refused(store, "folder/nothing", kind=Unavailable)


def test_another_owner_has_no_slot():
    refused(written(), owner=BOB, kind=Refused)


def forged(store, path, *, header=None, content=b"forged", signer):
    """What a reader can make who knows the DEK: any content under any header, signed by itself."""
    old, _, keys = parts(store, path)
    draft = writing.Draft(header=header or old, dek=dek_of(ANN, store, path), slots=keys.sets[0])
    sink = io.BytesIO()
    writing.write_object(
        draft, io.BytesIO(content), sink, sender=signer, randomness=SystemRandomness()
    )
    store.objects[label(path)] = sink.getvalue()


@pytest.mark.requirement("D6")
def test_a_reader_forges_nothing():
    store = written()
    forged(store, "folder/file", signer=BOB.signing_key)
    with pytest.raises(InvalidSignature, match="may not write there"):
        read(ANN, store, "folder/file")
    ANN_too = person("ann")  # noqa: N806 - the same person on another device
    assert ANN_too.signing_key.public == ANN.signing_key.public
    forged(store, "folder/file", signer=ANN_too.signing_key)
    assert read(ANN_too, store, "folder/file")[0] == b"forged", "the control: by the owner it reads"


@pytest.mark.requirement("D6")
def test_a_signed_file_cannot_be_addressed_anew():
    """Bob, who reads Ann's file, passes her signed plaintext on as if it were for others."""
    store, his = written(), MemoryObjects()
    header, body, _ = parts(store, "folder/file")
    with dek_of(ANN, store, "folder/file") as dek, writing.body_key(dek, header) as key:
        plain = io.BytesIO()
        decrypt_stream(key, io.BytesIO(body), plain, context=header.digest)
    BOB.remembered.add_writers(BOB.keys.root, [ANN.signing_key.public])
    path = label("from-ann/file")
    draft = writing.draft(
        BOB.levels(path[:-1]), path, written=NOW, flags=0, randomness=SystemRandomness()
    )
    unsigned_sink = io.BytesIO()
    writing.write_object(
        draft,
        io.BytesIO(plain.getvalue()),  # content ‖ key ‖ signature, as Ann made it
        unsigned_sink,
        sender=None,
        randomness=SystemRandomness(),
    )
    his.objects[path] = unsigned_sink.getvalue()
    his.objects[files.keys_path(path)] = Keys(sets=(draft.slots,)).to_bytes()
    with pytest.raises(InvalidSignature, match="did not sign"):
        read(BOB, his, "from-ann/file")


def test_mismatched_deks_in_two_slots():
    """A slot that opens to another DEK than the others is refused, whichever it is."""
    store = written()
    header, body, keys = parts(store, "folder/file")
    (slots,) = keys.sets
    levels = ANN.levels(label("folder"))
    other = Secret(bytes(range(32)))
    planted = make_slot(levels[0], other, Target.of(header.fixed), randomness=SystemRandomness())
    changed = replace(slots, slots=(planted, *slots.slots[1:]))
    put(store, "folder/file", header, body, Keys(sets=(changed,)))
    with pytest.raises(InvalidSignature, match="another key"):
        read(ANN, store, "folder/file")
    without_root = replace(slots, slots=slots.slots[1:])
    put(store, "folder/file", header, body, Keys(sets=(without_root,)))
    assert read(ANN, store, "folder/file")[0] == CONTENT, "the folder's own slot is as good"


def test_hints_that_are_not_those_of_the_path():
    """A writer who addresses a file to other labels than its path says."""
    path = label("folder/file")
    draft = writing.draft(
        ANN.levels(path[:-1]), path, written=NOW, flags=0, randomness=SystemRandomness()
    )
    hints = (*draft.header.fixed.hints[:-1], draft.header.fixed.hints[-1][::-1])
    fixed = replace(
        draft.header.fixed, hints=tuple(type(draft.header.fixed.hints[0])(h) for h in hints)
    )
    draft = replace(draft, header=Header.of(fixed))
    store, sink = MemoryObjects(), io.BytesIO()
    writing.write_object(
        draft, io.BytesIO(b""), sink, sender=ANN.signing_key, randomness=SystemRandomness()
    )
    store.objects[path] = sink.getvalue()
    store.objects[files.keys_path(path)] = Keys(sets=(draft.slots,)).to_bytes()
    with pytest.raises(InvalidSignature, match="addressed to other labels"):
        read(ANN, store, "folder/file")


@pytest.mark.requirement("D6")
def test_unsigned_files_are_refused_unless_asked_for():
    store = written(unsigned=True)
    refused(store, kind=Refused)
    content, told = read(ANN, store, "folder/file", allow_unsigned=True)
    assert (content, told.sender) == (CONTENT, None)


@pytest.mark.requirement("D13")
def test_all_or_nothing_with_the_stores_checksum_known():
    """The store's SHA-256 and the tail do not give the stream's key; the keyed MAC is why."""
    store = written(all_or_nothing=True)
    header, body, _ = parts(store, "folder/file")
    stream, tail = body[:-32], body[-32:]

    def opens(candidate: bytes) -> bool:
        try:
            StreamReader(Secret(candidate), io.BytesIO(stream), context=header.digest)
        except InvalidSignature:
            return False
        return True

    def xor(other: bytes) -> bytes:
        return bytes(a ^ b for a, b in zip(tail, other, strict=True))

    for known in (stream, body, store.objects[label("folder/file")], stream[HEADER_BYTES:]):
        assert not opens(xor(hashlib.sha256(known).digest()))
    assert not opens(dek_of(ANN, store, "folder/file").to_secret_bytes()), "nor the DEK alone"
    with dek_of(ANN, store, "folder/file") as dek, writing.body_key(dek, header) as key:
        assert not opens(key.to_secret_bytes()), "nor the key of files without the transform"
    with dek_of(ANN, store, "folder/file") as dek:
        mac = all_or_nothing._mac(dek, header)
        mac.update(stream)
        assert opens(xor(mac.digest())), "the control: all of it and the DEK do"


@pytest.mark.requirement("D13")
def test_all_or_nothing_is_read_twice():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    store = written(all_or_nothing=True)
    header, body, _ = parts(store, "folder/file")
    dek = dek_of(ANN, store, "folder/file")
    with pytest.raises(UsageError, match="pipe"):
        all_or_nothing.read(dek, header, Pipe(body), io.BytesIO())


@pytest.mark.requirement("D13")
def test_nothing_is_decrypted_before_everything_was_read():
    store = written(all_or_nothing=True)
    path = label("folder/file")
    raw = bytearray(store.objects[path])
    raw[-40] ^= 1  # in the last chunk
    store.objects[path] = bytes(raw)
    sink = io.BytesIO()
    with pytest.raises(InvalidSignature):
        files.read_file(store, ANN, path, sink)
    assert sink.getvalue() == b""


@pytest.mark.requirement("D12")
def test_a_writer_with_a_card_adds_files_the_owner_reads():
    now, path = NOW, label("inbox/letter")
    envelope = ANN.label_card(label("inbox"), writers=[BOB.signing_key.public], expires=now + 10)
    card = open_label_card(envelope, owner=ANN.signing_key.public, now=now)
    assert label_below(card, path) == ("letter",)
    store = MemoryObjects()
    files.write_file(
        store, card.levels, path, io.BytesIO(b"dear ann"), sender=BOB.signing_key, now=now
    )
    content, told = read(ANN, store, "inbox/letter")
    assert (content, told.sender) == (b"dear ann", BOB.signing_key.public)
    with pytest.raises(Refused):
        open_label_card(envelope, owner=ANN.signing_key.public, now=now + 10)
    with pytest.raises(InvalidSignature):
        open_label_card(envelope, owner=BOB.signing_key.public, now=now)
    with pytest.raises(MalformedMessage, match="another owner"):
        theirs = sign_label_card(BOB.signing_key, card)  # Ann's card, under Bob's name
        open_label_card(theirs, owner=BOB.signing_key.public, now=now)
    for elsewhere in ("other/letter", "inbox"):
        with pytest.raises(Refused):
            label_below(card, label(elsewhere))
    elsewhere = label("private/letter")
    levels = ANN.levels(elsewhere[:-1])
    files.write_file(store, levels, elsewhere, io.BytesIO(b""), sender=BOB.signing_key, now=now)
    refused(store, "private/letter")


@pytest.mark.requirement("D6")
def test_a_card_is_for_what_is_below_its_label():
    """Its levels are all that a file called like the label needs; but its writers may not sign."""
    ann, store = person("a careful owner"), MemoryObjects()
    ann.label_card(label("inbox"), writers=[BOB.signing_key.public], expires=NOW + 10)
    write(ann, store, "inbox", b"forged", sender=BOB.signing_key)
    with pytest.raises(InvalidSignature, match="may not write there"):
        read(ann, store, "inbox")
    write(ann, store, "inbox/x", b"fine", sender=BOB.signing_key)
    assert read(ann, store, "inbox/x")[0] == b"fine"


@pytest.mark.requirement("D6")
def test_a_card_that_cannot_be_made_lets_nobody_write():
    ann, store, eve = person("a hasty owner"), MemoryObjects(), BOB.signing_key
    with pytest.raises(MalformedMessage):
        ann.label_card(label("inbox"), writers=[eve.public, eve.public], expires=NOW + 10)
    write(ann, store, "inbox/x", b"", sender=eve)
    with pytest.raises(InvalidSignature, match="may not write there"):
        read(ann, store, "inbox/x")


class CrashError(Exception):
    pass


class CrashingObjects(MemoryObjects):
    """A store whose machine dies before its `fatal`-th object is there."""

    def __init__(self, objects, fatal):
        super().__init__()
        self.objects = dict(objects)
        self._left = fatal

    @contextmanager
    def put(self, path):
        with super().put(path) as sink:
            yield sink
            self._left -= 1
            if self._left < 0:
                raise CrashError


@pytest.mark.requirement("D1")
def test_a_crash_at_any_moment_loses_neither_write():
    before = written(content=b"old").objects
    for fatal in range(4):
        store = CrashingObjects(before, fatal)
        try:
            write(ANN, store, "folder/file", b"new")
            crashed = False
        except CrashError:
            crashed = True
        assert crashed == (fatal < 3)
        assert read(ANN, store, "folder/file")[0] == (b"old" if fatal < 2 else b"new")
        store._left = 99
        write(ANN, store, "folder/file", b"newest")
        assert read(ANN, store, "folder/file")[0] == b"newest"
        assert len(parts(store, "folder/file")[2].sets) == 1


class LockedObjects(MemoryObjects):
    """A store in which nothing appears unless the writer is alone."""

    held = False

    @contextmanager
    def exclusive(self):
        assert not self.held
        self.held = True
        yield
        self.held = False

    @contextmanager
    def put(self, path):
        with super().put(path) as sink:
            yield sink
            assert self.held


@pytest.mark.requirement("D1")
def test_whoever_finishes_a_write_is_alone():
    store = LockedObjects()
    for content in (b"old", b"new"):
        write(ANN, store, "folder/file", content)
        level = ANN.levels(label("folder/file"))[-1]
        assert files.add_own_slot(store, ANN, level, label("folder/file"))
    assert read(ANN, store, "folder/file")[0] == b"new"
    assert not store.held


def test_a_write_between_the_two_reads_is_waited_for():
    """The reader took the old data; before it asked for the slots, a whole new write went by."""
    store = written(content=b"old")
    path = label("folder/file")

    class Racing(MemoryObjects):
        raced = False

        def range(self, wanted, start, size):
            if not self.raced:
                self.raced = True
                write(ANN, self, "folder/file", b"new")
            return super().range(wanted, start, size)

    racing = Racing()
    racing.objects = dict(store.objects)
    assert read(ANN, racing, "folder/file")[0] == b"new"
    assert racing.puts.count(path) == 1


def test_a_range_is_read_without_the_rest():
    store = written()
    path = label("folder/file")
    for start, size in ((0, 10), (CHUNK_BYTES - 5, 10), (len(CONTENT) - 5, 99), (len(CONTENT), 1)):
        found = files.read_range(store, ANN, path, start, size)
        assert found == CONTENT[start : start + size], "and never the signature behind it"
    raw = bytearray(store.objects[path])
    raw[-3 * SEALED_CHUNK_BYTES] ^= 1
    store.objects[path] = bytes(raw)
    assert files.read_range(store, ANN, path, len(CONTENT) - 9, 9) == CONTENT[-9:]
    with pytest.raises(InvalidSignature):
        files.read_range(store, ANN, path, 0, len(CONTENT))
    with pytest.raises(UsageError):
        files.read_range(written(all_or_nothing=True), ANN, path, 0, 1)


def test_a_write_that_fails_leaves_everything_as_it_was():
    for store in (written(content=b"old"), MemoryObjects()):
        before = dict(store.objects)
        with pytest.raises(OSError, match="no such luck"):
            files.write_file(
                store,
                ANN.levels(label("folder")),
                label("folder/file"),
                Unreadable(),
                sender=ANN.signing_key,
                now=NOW,
            )
        assert store.objects == before


class Unreadable(io.BytesIO):
    def readinto(self, _):
        raise OSError("no such luck")


def test_a_slot_of_a_version_that_never_was():
    store = written("file")
    header, body, keys = parts(store, "file")
    (slots,) = keys.sets
    newer = replace(slots, slots=(replace(slots.slots[0], version=2),))
    put(store, "file", header, body, Keys(sets=(newer,)))
    with pytest.raises(InvalidSignature, match="never had"):
        read(ANN, store, "file")


@pytest.mark.requirement("D13")
def test_nothing_is_left_at_the_output_path(whole, tmp_path):
    store = written(all_or_nothing=whole)
    path = label("folder/file")
    raw = store.objects[path]
    out = tmp_path / "out"
    for at in range(0, len(raw), 30_011):
        store.objects[path] = raw[:at]
        with pytest.raises(BROKEN), atomic_output(out) as sink:
            files.read_file(store, ANN, path, sink)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("D12")
def test_a_file_gets_a_slot_of_its_own_when_it_is_shared_alone():
    store, path = written(), label("folder/file")
    level = ANN.levels(path)[-1]
    data = store.objects[path]
    assert files.add_own_slot(store, ANN, level, path)
    slots = parts(store, "folder/file")[2].sets[0].slots
    assert [slot.hint for slot in slots] == list(parts(store, "folder/file")[0].fixed.hints)
    assert store.objects[path] == data, "the data are not touched"
    keys = dict(store.objects)
    assert not files.add_own_slot(store, ANN, level, path)
    assert store.objects == keys
    (whole,) = parts(store, "folder/file")[2].sets
    put(store, "folder/file", *parts(store, "folder/file")[:2], Keys(sets=(own_only(whole),)))
    assert read(ANN, store, "folder/file")[0] == CONTENT, "it opens by its own slot, too"
    with pytest.raises(Refused):
        files.add_own_slot(written(), BOB, BOB.levels(path)[-1], path)


def own_only(slots):
    return replace(slots, slots=slots.slots[-1:])


@pytest.mark.requirement("D13")
def test_memory_does_not_grow_with_the_file(whole, tmp_path):
    store, path = open_store(str(tmp_path / "store")), label("big")
    plain, out = tmp_path / "plain", tmp_path / "out"
    with plain.open("wb") as file:
        file.truncate(24 * 1024 * 1024)
    tracemalloc.start()
    try:
        with plain.open("rb") as source:
            sender = ANN.signing_key
            files.write_file(
                store, ANN.levels(()), path, source, sender=sender, now=NOW, all_or_nothing=whole
            )
        with atomic_output(out) as sink:
            files.read_file(store, ANN, path, sink)
        assert tracemalloc.get_traced_memory()[1] < 3 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert out.stat().st_size == plain.stat().st_size
