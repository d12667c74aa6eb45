"""What stands between the header and the body of a stream's record: its key slots. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.messages.slots import Slot

MAX_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordKeys:
    """This record's slot, so that a reader can begin with it; and the next one's, to fetch ahead.

    The last record has no next one.
    """

    own: Slot
    following: Slot | None

    def __post_init__(self) -> None:
        if self.following is not None and self.following.hint != self.own.hint:
            raise MalformedMessage("the slots of a stream's record are for one channel")
