"""A label's newest key for what is there already: slots are made anew by the owner, data stay.

docs/protocols/delegation-files.md, "Re-keying". The remedy where a key was stolen.
"""

from __future__ import annotations

from tigertally.base.errors import InvalidSignature, Unavailable
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.delegation.client import files
from tigertally.delegation.client.channels import record_path
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.client.slots_below import OWN, Found, replace_slots, slots_below
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.headers import FILE, RECORD
from tigertally.delegation.messages.labels import Component, Label
from tigertally.delegation.messages.slots import Slot
from tigertally.delegation.protocol import reading, records
from tigertally.delegation.protocol.slots import make_slot
from tigertally.delegation.state.rotations import NewSlot
from tigertally.delegation.stores.interface import ObjectStore


def rekey(
    owner: Owner, store: ObjectStore, label: Label, *, randomness: Randomness | None = None
) -> int:
    """Replace every older slot of a label by one for its newest key; says how many objects changed.

    Only this label's slots; those of the labels above and below stay. Again after a crash.

    Args:
        owner: of the label, whose version was raised.
        store: where the files are.
        label: a folder, file or channel.
        randomness: the system's, but for recorded vectors.

    Raises:
        MalformedMessage, InvalidSignature, Refused: a file is damaged, or not where it belongs.

    **Security:** who has opened a file keeps its DEK; who has the old key and a copy of an old slot
    opens it. Where that counts, write the file anew.
    """
    source = randomness or SystemRandomness()
    level = owner.levels(label)[-1]
    with store.batch():
        found = list(slots_below(store, label, level.id))
        if any(one.slot.version > level.version for one in found):
            raise InvalidSignature("a key slot names a version that its label never had")
        old = [one for one in found if one.slot.version < level.version]  # (1)
        own = {one.path: one.slot for one in found if one.part == OWN}
        for one in old:
            if one.part == OWN:
                own[one.path] = _anew(owner, store, one, level, source)
        new: dict[tuple[str, ...], list[NewSlot]] = {}
        for one in old:
            slot = own[one.path] if one.part == OWN else own.get(_next(one.path))  # (3)
            if slot is not None:
                put = NewSlot(path=one.path, part=one.part, file_id=one.file_id, slot=slot)
                new.setdefault(one.path, []).append(put)
        return sum(replace_slots(store, path, slots) for path, slots in new.items())  # (4)


def _anew(
    owner: Owner, store: ObjectStore, found: Found, level: Level, randomness: Randomness
) -> Slot:
    """Step (2): open the object by any slot, and wrap its DEK for the newest key."""
    with store.get(found.path) as source:
        header = reading.read_header(source)
        asked = tuple(Component(name) for name in found.path)
        if header.fixed.kind == RECORD:
            source.seek(0)
            slots, asked, kind = records.read_head(source).slots, asked[:-1], RECORD
        else:
            kept = files.read_keys(store, found.path).of(header.fixed.file_id)
            if kept is None:
                raise Unavailable("the file was written anew meanwhile")
            slots, kind = kept, FILE
    opened = files.opened_with(owner, header, slots, asked, kind)
    with opened.dek:
        return make_slot(level, opened.dek, reading.target_of(header), randomness=randomness)


def _next(path: tuple[str, ...]) -> tuple[str, ...]:
    """The name of the record behind this one."""
    *above, number = path
    if not (number.isascii() and number.isdigit()):
        raise InvalidSignature(f"{'/'.join(path)} is not the name of a record")
    return record_path(tuple(Component(name) for name in above), int(number) + 1)
