"""Files in a store: `PATH` and `PATH.keys`, written and read, crashes and races in between.

docs/protocols/delegation-files.md, "Writing" and "Reading".
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from tigertally.base.errors import InvalidSignature, MalformedMessage, Unavailable, UsageError
from tigertally.base.limits import MAX_SLOTS_BYTES
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.crypto.stream import Progress, StreamReader
from tigertally.delegation.client.naming import naming
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.headers import ALL_OR_NOTHING, FILE, RECORD, UNSIGNED, Header
from tigertally.delegation.messages.labels import KEYS_SUFFIX, Label, LabelId, label_text
from tigertally.delegation.messages.slots import Keys, SlotSet
from tigertally.delegation.protocol import reading, writing
from tigertally.delegation.protocol.labels import hint_of
from tigertally.delegation.protocol.reading import Content, Opened
from tigertally.delegation.protocol.signing import TRAILER_BYTES
from tigertally.delegation.protocol.slots import make_slot
from tigertally.delegation.stores.interface import ObjectStore

_TRIES = 5  # a write between the two reads is over by then
_PAUSE = 0.05  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """What opened a file: its DEK, and the label the reader knew, with its id."""

    dek: Secret
    label: Label
    id: LabelId


class Unlocker(Protocol):
    """Finds a slot that it can open: an owner by itself, a recipient with its proxies."""

    def unlock(self, header: Header, slots: SlotSet, asked: Label) -> Unlocked:
        """Steps (2) and (3).

        Raises:
            Refused: no slot is for this reader.
            InvalidSignature: the slot is not what it should be.
        """
        ...

    def writers(self, label: Label) -> Sequence[VerifyKey]:
        """Who may write below this label: for a file or field, the one above it."""
        ...


def keys_path(path: Sequence[str]) -> tuple[str, ...]:
    """The name of the object with the slots."""
    return (*path[:-1], path[-1] + KEYS_SUFFIX)


def is_object(store: ObjectStore, path: Sequence[str]) -> bool:
    """Whether what is there is an object that a write of the same label may replace."""
    with suppress(Unavailable, MalformedMessage), store.get(tuple(path)) as source:
        reading.read_header(source)
        return True
    return False


def is_keys(store: ObjectStore, path: Sequence[str]) -> bool:
    """The same of an object's slots."""
    with suppress(Unavailable, MalformedMessage), store.get(tuple(path)) as source:
        Keys.from_bytes(source.read(MAX_SLOTS_BYTES + 1))
        return True
    return False


def write_file(
    store: ObjectStore,
    levels: Sequence[Level],
    path: Label,
    content: BinaryIO,
    *,
    sender: SigningKey | None,
    now: int,
    all_or_nothing: bool = False,
    randomness: Randomness | None = None,
    progress: Progress | None = None,
) -> int:
    """Write content under a label; returns its bytes.

    At no moment is what was there lost: the new slots are stored beside the old ones, then the
    data, then the old slots go.

    Args:
        store: gets `PATH` and `PATH.keys`.
        levels: of the root, …, the folder: each gets a slot.
        path: the label.
        content: read to its end.
        sender: signs; None writes a file that is refused unless asked for.
        now: Unix seconds.
        all_or_nothing: under the transform.
        randomness: the system's, but for recorded vectors.
        progress: called with the plaintext bytes done so far.
    """
    source = randomness or SystemRandomness()
    flags = (0 if sender else UNSIGNED) | (ALL_OR_NOTHING if all_or_nothing else 0)
    draft = writing.draft(levels, path, written=now, flags=flags, randomness=source)
    with draft.dek, ExitStack() as finishing:
        with store.put(path) as sink:
            length = writing.write_object(
                draft, content, sink, sender=sender, randomness=source, progress=progress
            )
            finishing.enter_context(store.exclusive())  # before the data appear
            before = _slots_in_use(store, path)
            put_keys(store, path, (draft.slots, *before))
        if before:
            put_keys(store, path, (draft.slots,))
    return length


def read_file(
    store: ObjectStore,
    unlocker: Unlocker,
    path: Label,
    output: BinaryIO,
    *,
    allow_unsigned: bool = False,
    progress: Progress | None = None,
) -> Content:
    """Read the content at a label into `output`, which is worth nothing before this returns.

    Raises:
        Unavailable: there is no such file.
        MalformedMessage, InvalidSignature: it was damaged, moved, or made by somebody else.
        Refused: not for this reader, or unsigned.
    """
    with naming(label_text(tuple(path))):
        source, header, slots = found(store, path)
        with source:
            opened = opened_with(unlocker, header, slots, path)
            with opened.dek:
                content = reading.read_object(
                    opened, source, output, allow_unsigned=allow_unsigned, progress=progress
                )
        reading.check_sender(content, unlocker.writers(path[:-1]))  # (8)
    return content


def add_own_slot(
    store: ObjectStore,
    unlocker: Unlocker,
    level: Level,
    path: Label,
    *,
    randomness: Randomness | None = None,
) -> bool:
    """Add the file's own slot, which sharing this file alone needs; False if it has one.

    Args:
        store: where the file is; only `PATH.keys` is written.
        unlocker: opens another of its slots.
        level: the file's own label.
        path: that label.
        randomness: the system's, but for recorded vectors.

    Raises:
        Unavailable, MalformedMessage, InvalidSignature, Refused: as `read_file`.
    """
    with store.exclusive():
        source, header, slots = found(store, path)
        source.close()
        if slots.slot_for(hint_of(level.id, header.fixed.file_id)) is not None:
            return False
        opened = opened_with(unlocker, header, slots, path)
        with opened.dek:
            own = make_slot(
                level,
                opened.dek,
                reading.target_of(header),
                randomness=randomness or SystemRandomness(),
            )
        put_keys(store, path, (replace(slots, slots=(*slots.slots, own)),))
        return True


def read_range(store: ObjectStore, unlocker: Unlocker, path: Label, start: int, size: int) -> bytes:
    """Up to `size` bytes of a file's content from `start` on, without reading all of it.

    Raises:
        UsageError: the file is all-or-nothing; or a negative number.
        Unavailable, MalformedMessage, InvalidSignature, Refused: as `read_file`.

    **Security:** authentic under the file's key, which every reader has: a range has no sender.
    """
    source, header, slots = found(store, path)
    with source:
        opened = opened_with(unlocker, header, slots, path)
        if header.fixed.all_or_nothing:
            raise UsageError(f"{label_text(path)} is all or nothing: read the whole of it")
        with opened.dek, writing.body_key(opened.dek, header) as key:
            reader = StreamReader(key, source, context=header.digest, start=source.tell())
            length = reader.size - (TRAILER_BYTES if header.fixed.signed else 0)
            return reader.read_at(start, max(0, min(size, length - start)))


def opened_with(
    unlocker: Unlocker, header: Header, slots: SlotSet, asked: Label, kind: int = FILE
) -> Opened:
    """Steps (2) to (5): slot, DEK, and that the path inside is the one asked for.

    Raises:
        InvalidSignature: it is the file of another path.
    """
    found = unlocker.unlock(header, slots, asked)
    reading.check_kind(header, kind)
    opened = reading.open_header(header, found.dek, found.id, found.label)
    if opened.meta.path != asked:
        where = label_text(asked)
        moved = InvalidSignature(
            f"what is at {where} was written for {label_text(opened.meta.path)}"
        )
        moved.about = (where,)
        raise moved
    return opened


def found(store: ObjectStore, path: Sequence[str]) -> tuple[BinaryIO, Header, SlotSet]:
    """Step (1): data and slots of one write; read again if somebody writes in between.

    Raises:
        Unavailable: one of the two objects is not there.
        MalformedMessage, InvalidSignature: they are no such objects, or of different writes.
    """
    for turn in range(_TRIES):
        source = store.get(path)
        try:
            header = reading.read_header(source)
            slots = _keys_of(header, store, path).of(header.fixed.file_id)
        except BaseException:
            source.close()
            raise
        if slots is not None:
            return source, header, slots
        source.close()
        if turn < _TRIES - 1:
            time.sleep(_PAUSE)
    raise InvalidSignature(f"{'/'.join(path)} and its key slots belong to different writes")


def _keys_of(header: Header, store: ObjectStore, path: Sequence[str]) -> Keys:
    try:
        return read_keys(store, path)
    except Unavailable as error:
        if header.fixed.kind == RECORD:
            raise UsageError(
                f"{path[-1]} is a record of a stream", advice="`tally stream read` reads it"
            ) from error
        raise Unavailable(f"{error}: without these key slots nobody opens {path[-1]}") from error


def read_keys(store: ObjectStore, path: Sequence[str]) -> Keys:
    """The object beside a file; raises `Unavailable` or `MalformedMessage`."""
    return Keys.from_bytes(store.range(keys_path(path), 0, MAX_SLOTS_BYTES + 1))


def _slots_in_use(store: ObjectStore, path: Label) -> tuple[SlotSet, ...]:
    """The slots of the file that is there and will be replaced; of a damaged one, none."""
    with suppress(Unavailable, MalformedMessage), store.get(path) as source:
        slots = read_keys(store, path).of(reading.read_header(source).fixed.file_id)
        return (slots,) if slots is not None else ()
    return ()


def put_keys(store: ObjectStore, path: Sequence[str], sets: tuple[SlotSet, ...]) -> None:
    """Replace a file's slots."""
    with store.put(keys_path(path)) as sink:
        sink.write(Keys(sets=sets).to_bytes())
