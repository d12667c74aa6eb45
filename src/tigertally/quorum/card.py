"""Cards: a party's name, role and public keys, signed by itself (proof that it has the key)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.ids import DomainId, Fingerprint, Name
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.hpke import PublicKey
from tigertally.crypto.signatures import SigningKey, VerifyKey


class Role(Enum):
    """What a party is, by its name on the wire: three in a custody domain, and who owns data."""

    _value_: str
    article: str
    person: bool  # somebody types its passphrase; a daemon's profile may be opened without one

    AUTHORITY = "authority", "an", False
    HOLDER = "holder", "a", True
    REQUESTER = "requester", "a", True
    IDENTITY = "identity", "an", True

    def __new__(cls, value: str, article: str, person: bool) -> Self:
        role = object.__new__(cls)
        role._value_ = value
        role.article, role.person = article, person
        return role

    @property
    def words(self) -> str:
        """With its article: "an authority", "a holder"."""
        return f"{self.article} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A party's public side."""

    name: Name
    role: Role
    signing_key: VerifyKey
    wrapping_key: PublicKey

    @property
    def fingerprint(self) -> Fingerprint:
        """What a person compares out of band."""
        return self.signing_key.fingerprint


def sign_card(key: SigningKey, wrapping_key: PublicKey, *, name: Name, role: Role) -> Envelope:
    """Make the card of the party that has `key`."""
    card = Card(name=name, role=role, signing_key=key.public, wrapping_key=wrapping_key)
    return sign_message(key, tags.CARD, card)


def open_card(envelope: Envelope) -> Card:
    """Verify a card under the key it names.

    Raises:
        MalformedMessage, InvalidSignature
    """
    return open_message(Card, tags.CARD, envelope, lambda card: (card.signing_key, card.name))


def domain_of(authority_card: Envelope) -> DomainId:
    """The domain's name: a hash of its authority's first card."""
    return DomainId(tagged_hash(tags.DOMAIN, authority_card.body))
