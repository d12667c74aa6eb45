"""One entry of an audit log: what happened, when, and who did it."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base import codec
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Hash, Name, Text
from tigertally.base.limits import MAX_AUDIT_DETAIL_BYTES
from tigertally.crypto.merkle import leaf_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry. Its place in the log is part of it, so that it cannot be shown elsewhere.

    Attributes:
        index: its number in the log, from 0.
        time: Unix seconds, by the clock of the log's owner.
        kind: what happened, in dotted words: `custody.release`, `unlock.failed`.
        actor: who did it, as a person may read it.
        summary: one line for people.
        detail: bytes for programs, for example the tally; at most `MAX_AUDIT_DETAIL_BYTES`.

    Raises:
        MalformedMessage: a field is not of its kind.

    **Security:** entries are public to every member and never erased. Nothing secret in them.
    """

    index: int
    time: int
    kind: Name
    actor: Text
    summary: Text
    detail: bytes = b""

    def __post_init__(self) -> None:
        if not (0 <= self.index < 2**64 and 0 <= self.time < 2**64):
            raise MalformedMessage("index and time of an audit entry are unsigned 64-bit numbers")
        if len(self.detail) > MAX_AUDIT_DETAIL_BYTES:
            raise MalformedMessage(f"detail is at most {MAX_AUDIT_DETAIL_BYTES} bytes")

    def to_bytes(self) -> bytes:
        """The bytes that are hashed into the tree."""
        return codec.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> AuditEntry:
        """Parse what `to_bytes` writes; anything else is `MalformedMessage`."""
        return codec.decode(cls, raw)

    @property
    def leaf(self) -> Hash:
        """Its leaf hash in the tree."""
        return leaf_hash(self.to_bytes())
