"""Fragments on their way to a requester, and what the requester collects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tigertally.base.ids import DomainId, Hash, HolderIndex, ProposalId
from tigertally.base.limits import MAX_KEYS_TOGETHER
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PublicKey
from tigertally.custody.messages.dealing import Certificate
from tigertally.custody.messages.kinds import KeyRef
from tigertally.quorum.messages import ProposalState


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentDelivery:
    """What a holder signs when its fragment leaves: for which proposal, of which epoch."""

    domain: DomainId
    proposal: ProposalId
    key: KeyRef
    epoch: Hash
    commitments: Hash
    holder: HolderIndex
    wrapped: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedFragment:
    """A signed delivery and the fragment itself, encrypted to whoever rebuilds the key."""

    delivery: Envelope
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A donor's fragments for the authority's child (`shamir-gf256`), in the order of the keys."""

    MOST_ITEMS: ClassVar[int] = 4 + 5 * MAX_KEYS_TOGETHER

    proposal: ProposalId
    attempt: int
    fragments: tuple[WrappedFragment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityKey:
    """The authority's fresh key for one proposal, signed (suite `shamir-gf256` only)."""

    domain: DomainId
    proposal: ProposalId
    wrapping_key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A key that the authority rebuilt and wrapped to the requester (`shamir-gf256`), signed."""

    domain: DomainId
    proposal: ProposalId
    key: KeyRef
    epoch: Hash
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectRequest:
    """What is there for my proposal?"""

    proposal: ProposalId


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectReply:
    """A release as it stands: the tally, the live epoch and the fragments that have arrived."""

    state: ProposalState
    certificate: Certificate | None
    fragments: tuple[WrappedFragment, ...]
    rebuilt: Envelope | None
    faults: tuple[HolderIndex, ...]
