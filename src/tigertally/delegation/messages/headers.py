"""The fixed header of everything that is written: never changed afterwards, signed by the sender.

docs/protocols/delegation-files.md, "The object PATH". No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import FixedBytes, Hash
from tigertally.base.limits import MAX_HEADER_BYTES, MAX_LABEL_DEPTH
from tigertally.crypto.aead import MARK_BYTES
from tigertally.delegation.messages.labels import Component, checked

FORMAT = 1
FILE, FIELD, RECORD = 1, 2, 3  # kinds

UNSIGNED = 1  # flags: no sender inside the plaintext
ALL_OR_NOTHING = 2  # the body is under the all-or-nothing transform
FINAL = 4  # of a stream: no record follows
_FLAGS = {FILE: UNSIGNED | ALL_OR_NOTHING, FIELD: 0, RECORD: ALL_OR_NOTHING | FINAL}


class FileId(FixedBytes):
    """16 random bytes for each write; of a stream, all of its records have the same."""

    SIZE: ClassVar[int] = 16


class Hint(FixedBytes):
    """Tells those who know a label that something is for it, and others nothing."""

    SIZE: ClassVar[int] = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What only readers see: the label, and when it was written, in Unix seconds."""

    MOST_ITEMS: ClassVar[int] = 3 + MAX_LABEL_DEPTH

    path: tuple[Component, ...]
    written: int

    def __post_init__(self) -> None:
        checked(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The header. `seq` numbers a stream's records; `hints` are the addressees, root first."""

    MOST_ITEMS: ClassVar[int] = 10 + MAX_LABEL_DEPTH

    format: int
    kind: int
    file_id: FileId
    seq: int
    flags: int
    commitment: Hash
    hints: tuple[Hint, ...]
    meta: bytes

    def __post_init__(self) -> None:
        if self.format != FORMAT or self.kind not in _FLAGS or self.flags & ~_FLAGS[self.kind]:
            raise MalformedMessage("a header of a version, kind or flag that is not known here")
        if self.seq and self.kind != RECORD:
            raise MalformedMessage("only records of a stream are numbered")
        if not 1 <= len(self.hints) <= MAX_LABEL_DEPTH + 1:
            raise MalformedMessage("a header has a hint for each label on the way, and no more")
        if len(set(self.hints)) != len(self.hints) or len(self.meta) < MARK_BYTES:
            raise MalformedMessage("a header has different hints and a sealed path")

    @property
    def signed(self) -> bool:
        """Whether a sender's signature is inside."""
        return not self.flags & UNSIGNED

    @property
    def all_or_nothing(self) -> bool:
        """Whether the body is under the transform."""
        return bool(self.flags & ALL_OR_NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A fixed header and its exact bytes, which everything else is bound to."""

    fixed: Fixed
    raw: bytes

    @classmethod
    def of(cls, fixed: Fixed) -> Header:
        """The bytes of a new header."""
        return cls(fixed=fixed, raw=encode(fixed))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Header:
        """Parse; raises `MalformedMessage` for anything but such bytes."""
        return cls(fixed=decode(Fixed, raw, max_bytes=MAX_HEADER_BYTES), raw=raw)

    @property
    def digest(self) -> Hash:
        """Names the header."""
        return tagged_hash(tags.FIXED_HASH, self.raw)
