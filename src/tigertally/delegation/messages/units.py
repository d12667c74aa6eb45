"""One encrypted field of a document: the same two objects as of a file, in one. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.delegation.messages.slots import SlotSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """`data` is what `PATH` would be, `slots` what `PATH.keys` would hold."""

    data: bytes
    slots: SlotSet
