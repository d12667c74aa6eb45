"""Rotated capsules: members of a set that the owner signed.

docs/protocols/rotation.md, "Being a member". No I/O. Nothing here is secret.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import ClassVar

from tigertally.algebra import tags
from tigertally.algebra.secp256k1 import Point, PublicScalar
from tigertally.base import codec
from tigertally.base.errors import MalformedMessage, PeerFault, UsageError
from tigertally.base.ids import FixedBytes, Hash, Signature
from tigertally.base.limits import MAX_ROTATION_BATCH
from tigertally.crypto import merkle
from tigertally.crypto.signatures import SigningKey, VerifyKey

MEMBER_BYTES = 130
_VERIFIED = object()  # what only this module shows to RotatedSet and RotatedCapsule


class RotationId(FixedBytes):
    """Names one rotation: the hash of label id, first key and target key; opaque to proxies."""

    SIZE: ClassVar[int] = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _SetBody:
    rotation: RotationId
    batch: int
    count: int
    root: Hash

    def __post_init__(self) -> None:
        if not self.batch or not 1 <= self.count <= MAX_ROTATION_BATCH:
            raise MalformedMessage(
                f"a set of rotated capsules has a number and 1 to {MAX_ROTATION_BATCH} members"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedSet:
    """One batch of a rotation, as its owner found it good: how many members, under which root.

    Only `open`, `from_verified_bytes` and `VerifiedBatch.rotated_set` make one.
    """

    body: _SetBody
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _VERIFIED:
            raise UsageError("only a verified signature makes a set of rotated capsules")

    @property
    def rotation(self) -> RotationId:
        """Which rotation it belongs to."""
        return self.body.rotation

    @property
    def batch(self) -> int:
        """Its number in that rotation, from 1."""
        return self.body.batch

    def to_bytes(self) -> bytes:
        """D[id, batch, count, root]: what is signed."""
        return codec.encode(self.body)

    def sign(self, key: SigningKey) -> Signature:
        """Sign it for one proxy or recipient, with the owner's key for that grant and proxy."""
        return key.sign(tags.ROTATED_SET, self.to_bytes())

    @classmethod
    def open(
        cls,
        raw: bytes,
        signature: Signature,
        owner: VerifyKey,
        rotation: RotationId,
        *,
        name: str = "",
    ) -> RotatedSet:
        """Parse a set and check who signed it and what it is for: step (2).

        Args:
            owner: the owner's key for this grant.
            rotation: what the grant, or these kfrags, are for.
            name: the name to blame, where the caller knows one.

        Raises:
            InvalidSignature: another key signed, or other bytes.
            MalformedMessage: the bytes are no set.
            PeerFault: it is a set of another rotation.
        """
        owner.verify(tags.ROTATED_SET, raw, signature, signer=name)
        found = cls.from_verified_bytes(raw)
        if found.rotation != rotation:
            culprits = (name,) if name else ()
            raise PeerFault("the set belongs to another rotation", culprits=culprits)
        return found

    @classmethod
    def from_verified_bytes(cls, raw: bytes) -> RotatedSet:
        """Parse a set whose signature was verified before it was stored; raises `MalformedMessage`.

        **Security:** for bytes out of one's own sealed store, never for what somebody sent.
        """
        return cls(body=codec.decode(_SetBody, raw), proof=_VERIFIED)


def found_good(rotation: RotationId, batch: int, leaves: merkle.Tree) -> RotatedSet:
    """The set of a batch whose proof holds. **Security:** for `VerifiedBatch` alone."""
    if batch < 1:
        raise UsageError("the batches of a rotation are numbered from 1")
    body = _SetBody(rotation=rotation, batch=batch, count=leaves.size, root=leaves.root())
    return RotatedSet(body=body, proof=_VERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in which set a member stands, and the hashes that lead from it to the root."""

    MOST_ITEMS: ClassVar[int] = 4 + MAX_ROTATION_BATCH.bit_length()

    batch: int
    index: int
    path: tuple[Hash, ...]

    def to_bytes(self) -> bytes:
        """D[batch, index, path]."""
        return codec.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Place:
        """Parse what `to_bytes` wrote; `MalformedMessage` for anything else."""
        return codec.decode(cls, raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedCapsule:
    """E′, V′ under a rotation's target, with h and s of the capsule that it was.

    Only `from_bytes` makes one, so it is always a member of a set that its owner signed.
    """

    e: Point
    v: Point
    h: PublicScalar
    s: PublicScalar
    rotated_set: RotatedSet
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _VERIFIED:
            raise UsageError("only from_bytes makes a rotated capsule")

    @property
    def rotation(self) -> RotationId:
        """The rotation it comes from; kfrags of another one do not serve it."""
        return self.rotated_set.rotation

    def to_bytes(self) -> bytes:
        """E′ ‖ V′ ‖ h ‖ s, 130 bytes; its place is another message."""
        return member_bytes(self.e, self.v, self.h, self.s)

    @classmethod
    def from_bytes(cls, raw: bytes, place: Place, rotated_set: RotatedSet) -> RotatedCapsule:
        """Parse a rotated capsule and check that it is a member of a set.

        Raises:
            MalformedMessage: the bytes are no rotated capsule.
            PeerFault: it is not at this place of this set.
        """
        e, v, h, s = _parsed(raw)  # (1)
        if place.batch != rotated_set.batch:  # (3)
            raise PeerFault("the rotated capsule's place is in another batch")
        merkle.verify_inclusion(
            leaf=leaf_of(raw),
            index=place.index,
            size=rotated_set.body.count,
            proof=place.path,
            root=rotated_set.body.root,
        )
        return cls(e=e, v=v, h=h, s=s, rotated_set=rotated_set, proof=_VERIFIED)


def member_bytes(e: Point, v: Point, h: PublicScalar, s: PublicScalar) -> bytes:
    """E′ ‖ V′ ‖ h ‖ s."""
    return e.to_bytes() + v.to_bytes() + h + s


def leaf_of(raw: bytes) -> Hash:
    """The leaf hash of a member's 130 bytes: of T ‖ D[E′, V′, h, s]."""
    parts = [raw[:33], raw[33:66], raw[66:98], raw[98:]]
    return merkle.leaf_hash(tags.ROTATED_CAPSULE + codec.dumps(parts))


def _parsed(raw: bytes) -> tuple[Point, Point, PublicScalar, PublicScalar]:
    if len(raw) != MEMBER_BYTES:
        raise MalformedMessage(f"a rotated capsule is {MEMBER_BYTES} bytes")
    if raw[1:33] == raw[34:66] and raw[0] != raw[33]:
        raise MalformedMessage("not a rotated capsule: E + V is infinity")
    e, v = Point.from_bytes(raw[:33]), Point.from_bytes(raw[33:66])
    return e, v, PublicScalar(raw[66:98]), PublicScalar(raw[98:])
