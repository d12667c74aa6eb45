"""Rotated key slots: made from a checked batch, and opened, by owner and recipient. No I/O.

docs/protocols/delegation-files.md, "Rotated slots". Secret: DEK, capsule seed, receiving key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tigertally.base.errors import InvalidSignature, PeerFault, Refused
from tigertally.base.ids import Hash
from tigertally.base.secret import Secret
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.labels import LabelKey
from tigertally.delegation.messages.slots import ROTATED, Slot
from tigertally.delegation.protocol.slots import Target, open_slot
from tigertally.schemes.single_pre import (
    Place,
    RotatedCapsule,
    RotatedSet,
    Rotation,
    open_member,
    open_reencrypted_member,
    rotation_id,
    verify_member_fragment,
)
from tigertally.schemes.umbral import CapsuleFragment, PublicKey, SecretKey


def rotated_slot(slot: Slot, row: bytes, place: Place) -> Slot:
    """Step (1): the slot that takes the place of one whose capsule was rotated."""
    return replace(slot, form=ROTATED, capsule=row, proof=place.to_bytes())


def member_of(slot: Slot, found: RotatedSet) -> RotatedCapsule:
    """Steps (3) and (4): a rotated slot's capsule, as a member of the set that its place names.

    Raises:
        MalformedMessage: the capsule is no member of anything; the slot may be an original.
        InvalidSignature: it is not in this set.
    """
    try:
        return RotatedCapsule.from_bytes(slot.capsule, slot.place(), found)
    except PeerFault as error:
        raise InvalidSignature(
            "a rotated key slot is not in the set of its rotation: it was changed or moved"
        ) from error


def open_rotated(
    slot: Slot, found: RotatedSet, rotation: Rotation, level: Level, target: Target
) -> Secret:
    """The DEK of a rotated slot, for the owner: step (6).

    Args:
        slot: of the file.
        found: the set that its place names.
        rotation: the one that the set belongs to.
        level: with the key that the first capsule was made for.
        target: the write.

    Raises:
        MalformedMessage, InvalidSignature: the slot is not what its owner made of it.
    """
    member = member_of(slot, found)
    with open_member(rotation, member) as seed:
        return open_slot(slot, member, seed, level, target)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedGrant:
    """What a recipient was told of one rotation of a label; nothing of it secret.

    Args:
        level: the label's id, the key that its capsules were first made for, and its version.
        target: εG, the key of the rotation.
        verifying: the key of the signer of this grant's kfrags.
        sets: the sets of the rotation by their numbers, their signatures verified.

    Raises:
        InvalidSignature: a set under another number, or of another rotation.
    """

    level: Level
    target: LabelKey
    verifying: PublicKey
    sets: Mapping[int, RotatedSet]

    def __post_init__(self) -> None:
        keys = self.level.key.parsed(), self.target.parsed()
        expected = rotation_id(Hash(self.level.id), *keys)
        for batch, one in self.sets.items():
            if (one.batch, one.rotation) != (batch, expected):
                raise InvalidSignature("a grant names a set of another rotation")

    def member(self, slot: Slot) -> RotatedCapsule:
        """Steps (2) to (4): the capsule to send to the proxies.

        Raises:
            Refused: the slot is not of this rotation.
            MalformedMessage, InvalidSignature: it was changed or moved.
        """
        if slot.form != ROTATED or slot.version != self.level.version:  # (2)
            raise Refused("the key slot is not of the rotation that was granted")
        found = self.sets.get(slot.place().batch)  # (3)
        if found is None:
            raise Refused("the key slot is of a rotation or batch that was not granted")
        return member_of(slot, found)

    def open(
        self,
        slot: Slot,
        answers: Sequence[tuple[str, CapsuleFragment]],
        receiving_sk: SecretKey,
        target: Target,
    ) -> Secret:
        """The DEK of a slot that m proxies re-encrypted: steps (2) to (6).

        Args:
            slot: of the file.
            answers: names of proxies, to blame them, and what they sent for `member(slot)`.
            receiving_sk: the recipient's.
            target: the write.

        Raises:
            Refused, MalformedMessage, InvalidSignature: as `member`; or the DEK is another.
            PeerFault: a proxy's proof does not hold, or there are too few answers.
        """
        member = self.member(slot)
        keys = self.verifying, self.target.parsed(), receiving_sk.public_key()
        verified = [  # (5)
            verify_member_fragment(one, member, *keys, proxy=name) for name, one in answers
        ]
        origin = self.level.key.parsed()
        with open_reencrypted_member(receiving_sk, origin, member, verified) as seed:  # (6)
            return open_slot(slot, member, seed, self.level, target)
