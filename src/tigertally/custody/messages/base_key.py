"""What a key is when it is shared anew; in the form of today, and in that of version 1.

Donors sign the hash of it. As long as version 1 can say all that is in it, it is hashed as version
1 wrote it: so devices of both versions certify one epoch together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import encode
from tigertally.base.errors import NewerVersion
from tigertally.base.ids import Hash, Name
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.options import V1_OPTIONS, KeyOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseKey:
    """What a key is when it is shared anew: its live epoch, its commitments, its options."""

    ref: KeyRef
    epoch: Hash
    commitments: bytes
    options: KeyOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseKeyV1:
    """The same of a key that has no other options than those of version 1."""

    ref: KeyRef
    epoch: Hash
    commitments: bytes
    requesters: tuple[Name, ...]
    unattended: bool

    @classmethod
    def of(cls, base: BaseKey) -> Self:
        """Today's in the form of version 1; raises `NewerVersion` if that cannot say it."""
        if base.options.names != V1_OPTIONS:
            raise NewerVersion(f"{base.ref} has options that version 1 has no fields for")
        return cls(
            ref=base.ref,
            epoch=base.epoch,
            commitments=base.commitments,
            requesters=base.options.requesters,
            unattended=base.options.unattended,
        )

    def today(self) -> BaseKey:
        """In the form of today."""
        options = KeyOptions.of(self.requesters, unattended=self.unattended)
        return BaseKey(
            ref=self.ref, epoch=self.epoch, commitments=self.commitments, options=options
        )


def base_hash(base: tuple[BaseKey, ...]) -> Hash | None:
    """Names what a reshare starts from; None for keys that are made."""
    return tagged_hash(tags.EPOCH_BASE, *map(_hashed, base)) if base else None


def _hashed(one: BaseKey) -> bytes:
    """What is signed stays as it was: the two forms have another number of fields."""
    return encode(BaseKeyV1.of(one) if one.options.names == V1_OPTIONS else one)
