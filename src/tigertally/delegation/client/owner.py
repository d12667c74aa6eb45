"""An owner: opens what belongs to its labels, and says who may write there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from tigertally.algebra import tags
from tigertally.base.errors import InvalidSignature, Refused
from tigertally.base.ids import Name
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.hpke import PublicKey as WrappingKey
from tigertally.crypto.kdf import derive
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.delegation.client.files import Unlocked
from tigertally.delegation.messages.cards import (
    IdentityCard,
    LabelCard,
    Level,
    sign_label_card,
)
from tigertally.delegation.messages.headers import Header
from tigertally.delegation.messages.labels import Label, LabelKey, label_text, new_label
from tigertally.delegation.messages.slots import ORIGINAL, Slot, SlotSet
from tigertally.delegation.protocol.labels import LabelKeys, hint_of
from tigertally.delegation.protocol.reading import target_of
from tigertally.delegation.protocol.rotated import open_rotated
from tigertally.delegation.protocol.slots import Target, capsule_of, open_slot
from tigertally.delegation.state import Remembered
from tigertally.delegation.state.rotations import Rotations
from tigertally.schemes.umbral import SecretKey, SecretKeyFactory, open_seed
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedStore


class Owner:
    """One person's labels.

    Args:
        secret: 32 bytes, from which everything follows: the profile's device secret.
        signing_key: signs what is written; never encrypts (requirement D6).
        remembered: its rows.
    """

    def __init__(self, secret: Secret, signing_key: SigningKey, remembered: Remembered) -> None:
        self.keys = LabelKeys(derive(secret, tags.OWNER_SEED))
        self.signing_key = signing_key
        self.remembered = remembered
        self._secret = secret

    @classmethod
    def generate(cls, randomness: Randomness | None = None) -> Self:
        """A fresh owner that lives in this process alone, to try things out.

        **Security:** it is gone with the process, and so is what was written: to keep it, make a
        profile (`tally identity init`) and use `tigertally.node.owner.owner_of`.
        """
        source = randomness or SystemRandomness()
        rows = SealedStore(MemoryStore(), Secret.random(source, 32))
        secret, key = Secret.random(source, 32), SigningKey.generate(source)
        return cls(secret, key, Remembered(rows=rows))

    def receiving_key(self) -> SecretKey:
        """The key that grants to this person are made for."""
        return SecretKeyFactory(derive(self._secret, tags.RECEIVING_KEY)).make_key(b"1")

    def identity_card(self, name: Name, wrapping_key: WrappingKey) -> Envelope:
        """This person's card."""
        card = IdentityCard(
            name=name,
            signing_key=self.signing_key.public,
            wrapping_key=wrapping_key,
            receiving_key=LabelKey(self.receiving_key().public_key().to_bytes()),
        )
        return sign_message(self.signing_key, tags.IDENTITY_CARD, card)

    def label_card(self, label: Label, *, writers: Sequence[VerifyKey], expires: int) -> Envelope:
        """A card with which `writers` can write below a label until `expires`, in Unix seconds."""
        levels = self.levels(new_label(label))
        card = LabelCard(
            owner=self.signing_key.public,
            path=label,
            levels=levels,
            writers=tuple(writers),
            expires=expires,
        )
        self.remembered.add_writers(levels[-1].id, card.writers)
        return sign_label_card(self.signing_key, card)

    def levels(self, label: Label) -> tuple[Level, ...]:
        """The levels of the root, …, the label, in their newest versions."""
        return self.keys.levels(label, self.remembered.version)

    def writers(self, label: Label) -> Sequence[VerifyKey]:
        """The owner, and whoever has a card for this label or one above."""
        return (self.signing_key.public, *self.remembered.writers(self.keys.ids(label)))

    def unlock(self, header: Header, slots: SlotSet, asked: Label) -> Unlocked:
        """See `Unlocker.unlock`: the first slot on the way from the root to the label."""
        for depth, id_ in enumerate(self.keys.ids(asked)):
            slot = slots.slot_for(hint_of(id_, header.fixed.file_id))  # (2)
            if slot is None:
                continue
            if slot.version > self.remembered.version(id_):
                raise InvalidSignature("a key slot names a version that its label never had")
            label = asked[:depth]
            level = Level(
                id=id_, key=self.keys.public_key(label, slot.version), version=slot.version
            )
            dek = self._dek(slot, label, level, target_of(header))  # (3)
            return Unlocked(dek=dek, label=label, id=id_)
        raise Refused(
            f"{label_text(asked)} has no key slot for you: it was written by another owner"
        )

    def rotations(self, label: Label, version: int) -> Rotations:
        """What is known of the rotations of a label's key."""
        return Rotations(rows=self.remembered.rows, label=self.keys.ids(label)[-1], version=version)

    def raise_version(self, label: Label) -> int:
        """Give what is written from now on below a label a new key there; says its version.

        What is there already is read as before. Label cards name the old version until they expire.
        """
        return self.remembered.raise_version(self.keys.ids(label)[-1])

    def _dek(self, slot: Slot, label: Label, level: Level, target: Target) -> Secret:
        """The DEK of a slot, with the label's key or the one that it was rotated to."""
        if slot.form == ORIGINAL:
            capsule = capsule_of(slot)
            with open_seed(self.keys.secret_key(label, slot.version), capsule) as seed:
                return open_slot(slot, capsule, seed, level, target)
        known = self.rotations(label, slot.version).known(slot.place().batch)
        if known is None:
            raise InvalidSignature("a key slot names a rotation that its label never had")
        rotation = self.keys.rotation(label, slot.version, known.generation)
        return open_rotated(slot, known.rotated_set(), rotation, level, target)
