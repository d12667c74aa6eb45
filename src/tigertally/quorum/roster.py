"""The roster: who belongs to a domain and how many must agree. Versions form a hash chain.

Version 1 is signed by the authority and the first holder; version k + 1 carries a tally of
version k and the authority's signature (docs/protocols/quorum.md). No I/O. Nothing here is secret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.base.ids import DomainId, Hash, HolderIndex, Name, RosterHash, Signature
from tigertally.base.limits import MAX_HOLDERS, MAX_MESSAGE_BYTES, MIN_QUORUM
from tigertally.crypto.envelope import Envelope, open_message, parse_message
from tigertally.crypto.hpke import PublicKey
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum.card import Card, Role

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A holder as the roster lists it. Its index is never given to anybody else."""

    index: HolderIndex
    name: Name
    signing_key: VerifyKey
    wrapping_key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """A requester as the roster lists it."""

    name: Name
    signing_key: VerifyKey
    wrapping_key: PublicKey


Member = Card | Holder | Requester
"""Anybody a roster lists: each has a name, a signing key and a wrapping key."""


@dataclass(frozen=True, kw_only=True)  # no slots: hash and electorate are kept once computed
class Roster:
    """One version of a domain's configuration.

    `threshold` is the quorum m, `unlock` how many holders unlock; `next_index` is the lowest
    holder index never used.
    """

    # More requesters than have room in a message beside each other's wrapping keys are none.
    MOST_ITEMS: ClassVar[int] = 15 + 5 * MAX_HOLDERS + 4 * (MAX_MESSAGE_BYTES // PublicKey.SIZE)

    domain: DomainId
    version: int
    previous: RosterHash | None
    threshold: int
    unlock: int
    authority: Card
    holders: tuple[Holder, ...]
    requesters: tuple[Requester, ...]
    next_index: int
    created: int

    def __post_init__(self) -> None:
        if self.authority.role is not Role.AUTHORITY:
            raise MalformedMessage("a roster's authority has the role authority")
        if not MIN_QUORUM <= self.threshold <= MAX_HOLDERS:
            raise MalformedMessage(f"a quorum is {MIN_QUORUM} to {MAX_HOLDERS}")
        if not 1 <= self.unlock <= self.threshold:
            raise MalformedMessage("unlock is 1 to the quorum")
        if self.version < 1 or (self.version == 1) != (self.previous is None):
            raise MalformedMessage("exactly the first roster has no predecessor")
        self._check_members()

    def _check_members(self) -> None:
        indices = [holder.index for holder in self.holders]
        if not indices or indices != sorted(set(indices)) or indices[-1] >= self.next_index:
            raise MalformedMessage("holder indices are distinct, ascending and below next_index")
        if self.next_index > MAX_HOLDERS + 1:
            raise MalformedMessage("a domain never has more than 255 holders in its life")
        members = self.members
        keys = {member.signing_key for member in members}
        wraps = {member.wrapping_key for member in members}
        if len(keys) != len(members) or len(wraps) != len(members):
            raise MalformedMessage("two members of a roster have the same key")
        if len({member.name for member in members}) != len(members):
            raise MalformedMessage("two members of a roster have the same name")

    @property
    def members(self) -> tuple[Member, ...]:
        """The authority, all holders, all requesters."""
        return (self.authority, *self.holders, *self.requesters)

    @cached_property
    def hash(self) -> RosterHash:
        """Names this version."""
        return RosterHash(tagged_hash(tags.ROSTER_HASH, encode(self)))

    @cached_property
    def electorate(self) -> Hash:
        """Hash of (domain, m, holders): only its change voids a pending proposal."""
        parts = [self.domain, bytes([self.threshold]), *(encode(h) for h in self.holders)]
        return tagged_hash(tags.ELECTORATE, *parts)

    @property
    def forming(self) -> bool:
        """Fewer holders than the quorum: joining needs all of them, no key can be made."""
        return len(self.holders) < self.threshold

    def holder(self, index: int) -> Holder:
        """The holder with this index; `Refused` if the roster lists none."""
        for holder in self.holders:
            if holder.index == index:
                return holder
        raise Refused(f"holder {index} is not in roster version {self.version}")

    def signer(self, index: HolderIndex) -> tuple[VerifyKey, str]:
        """The key and name that a holder's messages must have; `Refused` as `holder`."""
        holder = self.holder(index)
        return holder.signing_key, str(holder.name)

    def holder_of(self, key: VerifyKey) -> Holder | None:
        """The holder with this signing key, if any."""
        return next((h for h in self.holders if h.signing_key == key), None)

    def requester_of(self, key: VerifyKey) -> Requester | None:
        """The requester with this signing key, if any."""
        return next((r for r in self.requesters if r.signing_key == key), None)

    def name_of(self, key: VerifyKey) -> str:
        """The member's name, or the start of a stranger's fingerprint."""
        for member in self.members:
            if member.signing_key == key:
                return str(member.name)
        return f"stranger {str(key.fingerprint)[:9]}"


def open_from_holder(
    kind: type[T],
    tag: bytes,
    envelope: Envelope,
    roster: Roster,
    index: Callable[[T], HolderIndex],
) -> T:
    """Parse a message and verify it under the key this roster lists for the holder it names.

    Args:
        index: from the parsed, not yet trusted message to the index of who must have signed it.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: the roster lists no such holder.
    """
    return open_message(kind, tag, envelope, lambda message: roster.signer(index(message)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRoster:
    """A roster's bytes with what proves it: see the head of this module.

    `tally` is the encoded tally of the previous version's holders, empty for version 1;
    `founder_signature` is the first holder's, for version 1 only.
    """

    body: bytes
    authority_signature: Signature
    founder_signature: Signature | None
    tally: bytes

    def parse(self) -> Roster:
        """The roster inside, unverified."""
        return parse_message(Roster, self.body)

    def envelope(self) -> Envelope:
        """The authority's signature over the body."""
        return Envelope(body=self.body, signature=self.authority_signature)


def verify_founding(signed: SignedRoster, authority: VerifyKey) -> Roster:
    """Check version 1: the authority that was pinned, and its founder, signed it.

    Raises:
        MalformedMessage, InvalidSignature, PeerFault
    """
    roster = signed.parse()
    if roster.authority.signing_key != authority:
        raise PeerFault("the roster names another authority", culprits=("authority",))
    if roster.version != 1 or len(roster.holders) != 1 or signed.founder_signature is None:
        raise MalformedMessage("the first roster lists exactly its founder, who signs it")
    if signed.tally or roster.requesters:
        raise MalformedMessage("the first roster carries no tally and no requester")
    if roster.domain != DomainId(tagged_hash(tags.DOMAIN, encode(roster.authority))):
        raise MalformedMessage("a domain is named by the hash of its authority's card")
    authority.verify(tags.ROSTER, signed.body, signed.authority_signature, signer="authority")
    founder = roster.holders[0]
    founder.signing_key.verify(
        tags.ROSTER, signed.body, signed.founder_signature, signer=founder.name
    )
    return roster
