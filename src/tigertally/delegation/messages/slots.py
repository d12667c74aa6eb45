"""Key slots: the DEK, wrapped for one label. They lie beside the data, in the object PATH.keys.

docs/protocols/delegation-files.md, "The object PATH.keys". No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import FixedBytes
from tigertally.base.limits import MAX_LABEL_DEPTH, MAX_ROTATION_BATCH, MAX_SLOTS_BYTES
from tigertally.delegation.messages.headers import FileId, Hint
from tigertally.schemes.single_pre import Place

ORIGINAL = 0  # form: E ‖ V ‖ s, made for the label's key
ROTATED = 1  # form: E′ ‖ V′ ‖ h ‖ s, a member of a set that the owner signed

CAPSULE_BYTES = {ORIGINAL: 98, ROTATED: 130}
_LONGEST_PATH = (MAX_ROTATION_BATCH - 1).bit_length()
_SETS = 2  # of the write that is there, and of the one that replaces it


class Wrap(FixedBytes):
    """A DEK under AES-256-GCM, with its mark."""

    SIZE: ClassVar[int] = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The DEK for one label; `version` is that of the label's key. The capsule is not yet checked.

    `proof` is the place of a rotated capsule; originals have none.
    """

    hint: Hint
    version: int
    form: int
    capsule: bytes
    wrap: Wrap
    proof: bytes | None

    def __post_init__(self) -> None:
        if self.version < 1 or len(self.capsule) != CAPSULE_BYTES.get(self.form):
            raise MalformedMessage("a key slot of a form or length that is not known here")
        if self.form == ORIGINAL and self.proof is not None:
            raise MalformedMessage("a key slot of form 0 has no proof")
        if self.form == ROTATED and len(self.place().path) > _LONGEST_PATH:
            raise MalformedMessage("a rotated key slot's place is deeper than any set")

    def place(self) -> Place:
        """Where a rotated capsule stands; raises `MalformedMessage` where there is no place."""
        if self.proof is None:
            raise MalformedMessage("a rotated key slot has a place in a set")
        return Place.from_bytes(self.proof)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSet:
    """All slots of one write."""

    MOST_ITEMS: ClassVar[int] = 3 + 7 * (MAX_LABEL_DEPTH + 1)

    file_id: FileId
    slots: tuple[Slot, ...]

    def __post_init__(self) -> None:
        if len(self.slots) > MAX_LABEL_DEPTH + 1:
            raise MalformedMessage("more key slots than a label has levels")
        if len({slot.hint for slot in self.slots}) != len(self.slots):
            raise MalformedMessage("two key slots for one label")

    def with_slot(self, slot: Slot) -> SlotSet:
        """The set with this slot in the place of the one with its hint, or behind the others."""
        if self.slot_for(slot.hint) is None:
            return replace(self, slots=(*self.slots, slot))
        slots = (slot if one.hint == slot.hint else one for one in self.slots)
        return replace(self, slots=tuple(slots))

    def slot_for(self, hint: Hint) -> Slot | None:
        """The slot with this hint."""
        return next((slot for slot in self.slots if slot.hint == hint), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The object `PATH.keys`: the slots of a write; while it is replaced, also of the next one."""

    MOST_ITEMS: ClassVar[int] = 2 + _SETS * SlotSet.MOST_ITEMS

    sets: tuple[SlotSet, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.sets) <= _SETS:
            raise MalformedMessage(f"slots of 1 to {_SETS} writes")
        if len({one.file_id for one in self.sets}) != len(self.sets):
            raise MalformedMessage("one write has two sets of slots")

    def of(self, file_id: FileId) -> SlotSet | None:
        """The slots of this write."""
        return next((one for one in self.sets if one.file_id == file_id), None)

    def to_bytes(self) -> bytes:
        """The object."""
        return encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Keys:
        """Parse; raises `MalformedMessage` for anything but such an object."""
        return decode(cls, raw, max_bytes=MAX_SLOTS_BYTES)
