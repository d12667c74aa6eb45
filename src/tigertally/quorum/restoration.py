"""A restored authority: what it signs, what holders accept, and which log follows which. No I/O.

A restored state is a past one. From the moment of the restore the authority's audit log has
another name (its *origin*), which follows from the signed restoration, so nothing that it signs
from then on can be taken for the log that was lost. A device follows to the new log only with
enough signed acceptances (`docs/protocols/lock-and-unlock.md`); two roots of one size under one
name stay proof of a fork, without exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import ClassVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.base.codec import encode
from tigertally.base.errors import MalformedMessage, Refused
from tigertally.base.ids import DomainId, Hash, HolderIndex, Nonce, RosterHash
from tigertally.base.limits import MAX_HOLDERS
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.quorum.roster import Roster, open_from_holder


def log_origin(domain: Hash | bytes) -> str:
    """The name of a domain's audit log in its checkpoints, until the first restore."""
    return f"tigertally/{bytes(domain).hex()[:32]}"


def is_log_of(origin: str, domain: Hash | bytes) -> bool:
    """Is this the name of a log of the domain, the first or one after a restore?"""
    first = log_origin(domain)
    return origin == first or origin.startswith(f"{first}/")


@dataclass(frozen=True, kw_only=True)  # no slots: the hash is kept once computed
class Restoration:
    """The authority's statement that it was restored from a back-up.

    Attributes:
        base: the signed checkpoint of the log as the back-up has it, under that log's name.
        number: how many restores this state has behind it, from 1.
        nonce: two restores of one back-up are two restorations.
        made: when the back-up was made, in Unix seconds.
        restored: when it was restored.
    """

    domain: DomainId
    base: str
    number: int
    nonce: Nonce
    made: int
    restored: int

    def __post_init__(self) -> None:
        _ = self.checkpoint
        if self.number < 1:
            raise MalformedMessage("restorations are numbered from 1")

    @cached_property
    def checkpoint(self) -> SignedCheckpoint:
        """The log as the back-up has it; its signature is checked by `open_restoration`."""
        return SignedCheckpoint.from_text(self.base)

    @cached_property
    def hash(self) -> Hash:
        """Names this restoration."""
        return tagged_hash(tags.RESTORATION_HASH, encode(self))

    @property
    def origin(self) -> str:
        """The name of the log from here on."""
        return f"{log_origin(self.domain)}/{self.hash.hex()[:32]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A holder accepts that the domain goes on from a restored state.

    Attributes:
        roster: the newest roster that this holder knows; the restored authority has it.
        seen: the newest checkpoint that this holder had verified before; empty if none.
    """

    domain: DomainId
    restoration: Hash
    holder: HolderIndex
    roster: RosterHash
    seen: str
    time: int

    def __post_init__(self) -> None:
        if self.seen:
            SignedCheckpoint.from_text(self.seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorationRecord:
    """A signed restoration with the signed acceptances, as it travels: not yet verified."""

    MOST_ITEMS: ClassVar[int] = 5 + 3 * MAX_HOLDERS

    restoration: Envelope
    acceptances: tuple[Envelope, ...]


def restored_needs(roster: Roster) -> int:
    """How many holders must accept: max(u, n - m + 1), so that every quorum has one of them."""
    holders = len(roster.holders)
    return max(min(roster.unlock, holders), holders - roster.threshold + 1)


def sign_restoration(key: SigningKey, restoration: Restoration) -> Envelope:
    """The authority's signature."""
    return sign_message(key, tags.RESTORATION, restoration)


def open_restoration(envelope: Envelope, authority: VerifyKey) -> Restoration:
    """Verify a restoration and the checkpoint in it.

    Raises:
        MalformedMessage, InvalidSignature
    """
    opened = open_message(
        Restoration, tags.RESTORATION, envelope, lambda _: (authority, "authority")
    )
    shown = opened.checkpoint.verify(authority)
    first = log_origin(opened.domain)
    if shown.origin != first and not shown.origin.startswith(f"{first}/"):
        raise MalformedMessage("a restoration begins with a log of its own domain")
    return opened


def sign_acceptance(key: SigningKey, acceptance: Acceptance) -> Envelope:
    """The holder's signature."""
    return sign_message(key, tags.ACCEPTANCE, acceptance)


def open_acceptance(envelope: Envelope, roster: Roster) -> Acceptance:
    """Verify an acceptance under its holder's key in this roster.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: the roster lists no such holder.
    """
    return open_from_holder(Acceptance, tags.ACCEPTANCE, envelope, roster, lambda said: said.holder)


def accepted_by(
    record: RestorationRecord, restoration: Restoration, roster: Roster
) -> tuple[Acceptance, ...]:
    """The acceptances by distinct holders of this roster; those of others do not count.

    Raises:
        MalformedMessage, InvalidSignature
    """
    found: dict[HolderIndex, Acceptance] = {}
    for envelope in record.acceptances:
        try:
            one = open_acceptance(envelope, roster)
        except Refused:
            continue  # a holder of another time
        if one.restoration == restoration.hash and one.domain == roster.domain:
            found[one.holder] = one
    return tuple(found.values())


def is_accepted(
    record: RestorationRecord, restoration: Restoration, rosters: Iterable[Roster]
) -> bool:
    """Have enough holders of one of these rosters accepted?

    Args:
        rosters: from the newest that the verifier knew by itself up to the present one.
    """
    return any(
        len(accepted_by(record, restoration, roster)) >= restored_needs(roster)
        for roster in rosters
    )


Lines = Mapping[str, Restoration]
"""Verified restorations by the name of the log that each began."""


class Place(Enum):
    """Where a checkpoint stands, seen from the present log."""

    INSIDE = "inside"  # a prefix of the present log: a consistency proof must join them
    ABANDONED = "abandoned"  # behind the point to which the log went back
    UNKNOWN = "unknown"  # of a log that this device has never heard of


def place_of(lines: Lines, domain: Hash | bytes, present: str, origin: str, size: int) -> Place:
    """Where the checkpoint (`origin`, `size`) stands, seen from the log `present`."""
    end, at = size, present
    while at != origin:
        line = lines.get(at)
        if line is None:
            known = origin in lines or origin == log_origin(domain)
            return Place.ABANDONED if known else Place.UNKNOWN
        base = line.checkpoint.checkpoint
        end, at = min(end, base.size), base.origin
    return Place.INSIDE if size <= end else Place.ABANDONED
