"""An imported secret: sealed under its key by the requester that brings it."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import DomainId, ProposalId
from tigertally.base.limits import MAX_IMPORT_BYTES, MAX_REQUESTER_BYTES
from tigertally.crypto.aead import OVERHEAD
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.kinds import KeyRef
from tigertally.quorum.messages import Nothing
from tigertally.quorum.tally import Tally
from tigertally.transport.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A sealed secret, signed by the requester that proposed the key (`proposal`)."""

    domain: DomainId
    proposal: ProposalId
    key: KeyRef
    sealed: bytes

    def __post_init__(self) -> None:
        if not OVERHEAD < len(self.sealed) <= MAX_IMPORT_BYTES + OVERHEAD:
            raise MalformedMessage(f"an imported secret has 1 to {MAX_IMPORT_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRequest:
    """What was this key made for, and what was stored under it?"""

    key: KeyRef


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentReply:
    """The tally that made the key, and the signed `Imported` if there is one."""

    tally: Tally
    content: Envelope | None


IMPORT = Door("/v1/custody/import", Envelope, Nothing, most_bytes=MAX_REQUESTER_BYTES)
CONTENT = Door("/v1/custody/content", ContentRequest, ContentReply, reads=True)
