"""What holders say of the fragments they have, so that everybody sees when an old one is dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import DomainId, Hash, HolderIndex
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.kinds import KeyRef
from tigertally.quorum.messages import Nothing
from tigertally.transport.door import Door, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldClaim:
    """A holder has fragments of this epoch, but for the keys in `gone`, which it has erased."""

    epoch: Hash
    gone: tuple[KeyRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReport:
    """Every epoch of which a holder has fragments; all others it has erased. Signed.

    `number` grows with every report, so that an old one cannot take the place of a newer.
    """

    MOST_ITEMS: ClassVar[int] = 128 * 1024  # six an erased key, of more than 20,000

    domain: DomainId
    holder: HolderIndex
    number: int
    claims: tuple[HeldClaim, ...]

    def __post_init__(self) -> None:
        epochs = [claim.epoch for claim in self.claims]
        if epochs != sorted(set(epochs)):
            raise MalformedMessage("a report names each epoch once, in order")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedFragment:
    """What is known of a removed holder's fragment of a key: can it still serve anybody?

    It is dead once fewer than the epoch's quorum of old fragments, its own included, remain.
    """

    holder: HolderIndex
    dead: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedHolder:
    """Of how many keys a removed holder's fragment is not dead yet."""

    index: HolderIndex
    alive: int


# 40 bytes per epoch and as many per erased key of one: of 10,000 keys hundreds of kilobytes.
HELD = Door(
    "/v1/custody/held", Envelope, Nothing, who=Standing.HOLDER, most_bytes=MAX_MESSAGE_BYTES
)
