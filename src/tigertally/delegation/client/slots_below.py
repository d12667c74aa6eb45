"""All key slots of one label in a store: found, none left out, and replaced.

docs/protocols/delegation-files.md, "Rotating a label". Slots of files lie beside them, those of a
stream's records inside.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, Unavailable
from tigertally.delegation.client import files
from tigertally.delegation.messages.headers import RECORD, FileId, Header
from tigertally.delegation.messages.labels import KEYS_SUFFIX, Label, LabelId
from tigertally.delegation.messages.slots import Keys, Slot
from tigertally.delegation.protocol import reading, records
from tigertally.delegation.protocol.labels import hint_of
from tigertally.delegation.protocol.writing import head_of
from tigertally.delegation.state.rotations import NewSlot
from tigertally.delegation.stores.interface import ObjectStore

OWN, FOLLOWING = 0, 1  # parts of a record; a file has the first only


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A slot and where it is."""

    path: tuple[str, ...]
    part: int
    file_id: FileId
    slot: Slot


def slots_below(store: ObjectStore, label: Label, label_id: LabelId) -> Iterator[Found]:
    """The slots of a label in everything below it, in the store's order.

    Raises:
        MalformedMessage: something there is damaged, or is not ours.
        InvalidSignature: a file for this label has no slot for it.
    """
    for path in _objects(store, label):  # (1)
        try:
            yield from _slots_in(store, path, label_id)
        except (MalformedMessage, InvalidSignature) as error:
            raise type(error)(f"{'/'.join(path)}: {error}") from error


def replace_slots(store: ObjectStore, path: Sequence[str], new: Sequence[NewSlot]) -> bool:
    """Put the new slots of one object in their places, at once; False: nothing to do.

    An object that is gone, was written anew, or has a slot of a newer version keeps what it has.

    Raises:
        MalformedMessage, InvalidSignature: the object is damaged.
    """
    try:
        header = _header(store, path)
    except Unavailable:
        return False
    if header.fixed.file_id != new[0].file_id:  # (8)
        return False
    if header.fixed.kind == RECORD:
        return _replace_in_record(store, path, new)
    source, _, slots = files.found(store, path)
    source.close()
    (one,) = new
    old = slots.slot_for(one.slot.hint)
    if old is not None and old.version > one.slot.version:
        return False
    after = (slots.with_slot(one.slot),)
    if files.read_keys(store, path) == Keys(sets=after):
        return False
    files.put_keys(store, path, after)
    return True


def _objects(store: ObjectStore, label: Label) -> list[tuple[str, ...]]:
    """Everything below a label, and what has exactly its name."""
    names = [name for name in store.list(label) if not name[-1].endswith(KEYS_SUFFIX)]
    with suppress(Unavailable):
        if label:
            store.get(label).close()
            names.insert(0, tuple(label))
    return list(dict.fromkeys(names))


def _slots_in(store: ObjectStore, path: tuple[str, ...], label_id: LabelId) -> Iterator[Found]:
    fixed = _header(store, path).fixed
    hint = hint_of(label_id, fixed.file_id)
    if hint not in fixed.hints:  # below in the store, but written for another label
        return
    if fixed.kind == RECORD:
        with store.get(path) as source:
            keys = records.read_head(source).keys
        for part, slot in ((OWN, keys.own), (FOLLOWING, keys.following)):
            if slot is not None and slot.hint == hint:
                yield Found(path=path, part=part, file_id=fixed.file_id, slot=slot)
        return
    source, _, slots = files.found(store, path)
    source.close()
    slot = slots.slot_for(hint)
    if slot is not None:
        yield Found(path=path, part=OWN, file_id=slots.file_id, slot=slot)
    elif hint != fixed.hints[-1]:  # a file's own slot is there only once it was shared by itself
        raise InvalidSignature("a key slot was taken away")


def _header(store: ObjectStore, path: Sequence[str]) -> Header:
    with store.get(path) as source:
        return reading.read_header(source)


def _replace_in_record(store: ObjectStore, path: Sequence[str], new: Sequence[NewSlot]) -> bool:
    with store.get(path) as source:
        record = records.read_head(source)
        keys = record.keys
        for one in new:
            name = "own" if one.part == OWN else "following"
            old: Slot | None = getattr(keys, name)
            if old is not None and old.version <= one.slot.version:
                keys = replace(keys, **{name: one.slot})
        if keys == record.keys:
            return False
        raw = encode(keys)
        with store.put(path) as sink:
            sink.write(head_of(record.header) + len(raw).to_bytes(4, "big") + raw)
            shutil.copyfileobj(source, sink)
    return True
