"""Key slots: a DEK for one label, and back. No I/O.

docs/protocols/delegation-files.md, "Key slots". Secret: DEK, capsule seed, KEK.
"""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed, tagged_mac
from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, Refused
from tigertally.base.ids import Hash
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead
from tigertally.crypto.kdf import derive
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.headers import FileId, Fixed
from tigertally.delegation.messages.labels import LabelId, LabelKey
from tigertally.delegation.messages.slots import ORIGINAL, Slot, Wrap
from tigertally.delegation.protocol.labels import hint_of
from tigertally.schemes.single_pre import RotatedCapsule
from tigertally.schemes.umbral import Capsule, encapsulate

DEK_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which write a DEK belongs to."""

    file_id: FileId
    seq: int
    commitment: Hash

    @classmethod
    def of(cls, fixed: Fixed) -> Target:
        """That of a header."""
        return cls(file_id=fixed.file_id, seq=fixed.seq, commitment=fixed.commitment)


def commitment_of(dek: Secret, file_id: FileId, seq: int) -> Hash:
    """What ties a write to one DEK, whichever slot it comes from."""
    with dek.exposed() as raw:
        return Hash(tagged_mac(bytes(raw), tags.DEK_COMMITMENT, file_id, seq.to_bytes(8, "big")))


def make_slot(level: Level, dek: Secret, target: Target, *, randomness: Randomness) -> Slot:
    """Wrap a DEK for whoever can open capsules of this label's key."""
    capsule, seed = encapsulate(level.key.parsed(), randomness=randomness)
    with seed, _kek(seed, level.id, level.key, capsule) as kek:
        wrap = Wrap(aead.seal_once(kek, dek, aad=_aad(target)))
    return Slot(
        hint=hint_of(level.id, target.file_id),
        version=level.version,
        form=ORIGINAL,
        capsule=capsule.to_bytes_simple(),
        wrap=wrap,
        proof=None,
    )


def capsule_of(slot: Slot) -> Capsule:
    """An original slot's capsule, checked.

    Raises:
        MalformedMessage: it fails its equation.
        Refused: the slot was rotated: only keys of that rotation open it.
    """
    if slot.form != ORIGINAL:
        raise Refused("the key slot was rotated: it needs a grant for the rotated key")
    return Capsule.from_bytes_simple(slot.capsule)


def open_slot(
    slot: Slot, capsule: Capsule | RotatedCapsule, seed: Secret, level: Level, target: Target
) -> Secret:
    """The DEK of a slot, original or rotated, once the capsule's seed is known.

    Args:
        slot: has the wrap.
        capsule: the slot's, checked.
        seed: of the capsule.
        level: with the key that the capsule was first made for: a rotation does not change it.
        target: the write.

    Raises:
        InvalidSignature: the slot is for another label or write, or opens to another DEK than the
            one that the header commits to.
    """
    with _kek(seed, level.id, level.key, capsule) as kek:
        try:
            dek = aead.open_once(kek, slot.wrap, aad=_aad(target))
        except InvalidSignature as error:
            raise InvalidSignature("a key slot is damaged, or belongs to another write") from error
    if commitment_of(dek, target.file_id, target.seq) != target.commitment:
        raise InvalidSignature("a key slot opens to another key than the header commits to")
    return dek


def _kek(
    seed: Secret, label: LabelId, origin: LabelKey, capsule: Capsule | RotatedCapsule
) -> Secret:
    """Bound to what a rotation leaves alone: the label, the first key, h and s."""
    return derive(seed, tags.KEK, label, origin, bytes(capsule.h), bytes(capsule.s))


def _aad(target: Target) -> bytes:
    return tags.DEK_WRAP + framed(encode(target))
