"""Cards: a person's keys; and a label's keys, for those who may write below it. No I/O.

docs/protocols/delegation-files.md, "Cards".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tigertally.algebra import tags
from tigertally.base.errors import MalformedMessage, Refused
from tigertally.base.ids import Fingerprint, Name
from tigertally.base.limits import MAX_LABEL_DEPTH, MAX_WRITERS
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.hpke import PublicKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.delegation.messages.labels import Component, Label, LabelId, LabelKey, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCard:
    """A person's public side: to verify what it wrote, to send to it, to delegate to it."""

    name: Name
    signing_key: VerifyKey
    wrapping_key: PublicKey
    receiving_key: LabelKey

    def __post_init__(self) -> None:
        self.receiving_key.parsed()

    @property
    def fingerprint(self) -> Fingerprint:
        """What people compare out of band."""
        return self.signing_key.fingerprint


def open_identity_card(envelope: Envelope) -> IdentityCard:
    """Verify a card under the key it names; raises `MalformedMessage` or `InvalidSignature`."""
    return open_message(
        IdentityCard, tags.IDENTITY_CARD, envelope, lambda card: (card.signing_key, str(card.name))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One label on the way from the root down: its id, its key, and the key's version."""

    id: LabelId
    key: LabelKey
    version: int

    def __post_init__(self) -> None:
        if self.version < 1:
            raise MalformedMessage("versions of a label's key begin with 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCard:
    """What is needed to write below a label: signed by its owner.

    `levels` are those of the root, …, the label itself; `writers` may write; `expires` is in Unix
    seconds.
    """

    MOST_ITEMS: ClassVar[int] = 6 + MAX_LABEL_DEPTH + 4 * (MAX_LABEL_DEPTH + 1) + MAX_WRITERS

    owner: VerifyKey
    path: tuple[Component, ...]
    levels: tuple[Level, ...]
    writers: tuple[VerifyKey, ...]
    expires: int

    def __post_init__(self) -> None:
        checked(self.path)
        if len(self.levels) != len(self.path) + 1:
            raise MalformedMessage("a card has one level for the root and one for each name")
        if len(self.writers) > MAX_WRITERS or len(set(self.writers)) != len(self.writers):
            raise MalformedMessage(f"a card has at most {MAX_WRITERS} different writers")
        for level in self.levels:
            level.key.parsed()


def sign_label_card(key: SigningKey, card: LabelCard) -> Envelope:
    """Sign as the owner."""
    return sign_message(key, tags.LABEL_CARD, card)


def open_label_card(envelope: Envelope, *, owner: VerifyKey, now: int) -> LabelCard:
    """Verify an owner's card.

    Raises:
        MalformedMessage, InvalidSignature: not a card, or not of this owner.
        Refused: it has expired at `now`.
    """
    card = open_message(LabelCard, tags.LABEL_CARD, envelope, lambda _: (owner, "owner"))
    if card.owner != owner:
        raise MalformedMessage("the card names another owner than who signed it")
    if now >= card.expires:
        raise Refused("the label's card has expired; ask its owner for a new one")
    return card


def label_below(card: LabelCard, label: Label) -> Label:
    """The names below the card's label; raises `Refused` where the label is not below it."""
    depth = len(card.path)
    if label[:depth] != card.path or len(label) == depth:
        raise Refused("the card is not for a label above this one")
    return label[depth:]
