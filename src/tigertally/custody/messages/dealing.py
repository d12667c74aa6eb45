"""Dealings, epochs and acknowledgements: how fragments come into being.

A *dealing* is one dealer's sharing for all holders: commitments, and one encrypted piece a
holder, named by its hash, so that one signature covers all pieces although each holder gets only
its own. An *epoch* is what the dealings of one attempt add up to; its *statement* follows from
the tally and the dealings alone, so honest holders acknowledge the very same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import encode
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import DomainId, Hash, HolderIndex, ProposalId, RosterHash
from tigertally.base.limits import MAX_HOLDERS, MAX_KEYS_TOGETHER
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.quorum.tally import Tally

AUTHORITY = 0  # the authority's number as a dealer (suite shamir-gf256)
MAX_ATTEMPT = 2**16 - 1


def check_attempt(attempt: int) -> None:
    """Attempts are counted from 1; raises `MalformedMessage`."""
    if not 1 <= attempt <= MAX_ATTEMPT:
        raise MalformedMessage(f"an attempt is 1 to {MAX_ATTEMPT}")


def check_pieces(pieces: Sequence[bytes], dealings: Sequence[Envelope]) -> None:
    """A receiver gets its piece of each dealing; raises `MalformedMessage`."""
    if len(pieces) != len(dealings) or not dealings:
        raise MalformedMessage("an opening brings one piece of each dealing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one receiver's piece goes, and the piece's hash.

    `number` and `bundle` (the hash of the receiver's signed `ReceiveKeys`) say under which of its
    keys: a receiver that signs two sets under one number can frame nobody.
    """

    receiver: HolderIndex
    number: int
    bundle: Hash
    piece: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """One dealer's sharing of all `keys`, signed by the dealer.

    `commitments` has one entry a key, in the suite's own encoding. `base` names the epochs whose
    fragments are shared anew (see `base_hash`); None where keys are made.
    """

    MOST_ITEMS: ClassVar[int] = 11 + 4 * MAX_KEYS_TOGETHER + 5 * MAX_HOLDERS

    domain: DomainId
    proposal: ProposalId
    attempt: int
    dealer: int
    suite: Suite
    threshold: int
    base: Hash | None
    keys: tuple[KeyRef, ...]
    commitments: tuple[bytes, ...]
    slots: tuple[Slot, ...]

    def __post_init__(self) -> None:
        receivers = [slot.receiver for slot in self.slots]
        if not receivers or receivers != sorted(set(receivers)):
            raise MalformedMessage("a dealing's receivers are distinct and in order")
        if not self.keys or list(self.keys) != sorted(set(self.keys)):
            raise MalformedMessage("a dealing's keys are distinct and in order")
        if len(self.commitments) != len(self.keys):
            raise MalformedMessage("a dealing commits to each of its keys")
        check_attempt(self.attempt)
        if self.dealer > MAX_HOLDERS:
            raise MalformedMessage("a dealing names its dealer")
        if not 2 <= self.threshold <= len(receivers):
            raise MalformedMessage("a dealing's threshold is 2 to the number of receivers")

    def slot_of(self, receiver: HolderIndex) -> Slot:
        """The slot of this receiver; `MalformedMessage` if it has none."""
        for slot in self.slots:
            if slot.receiver == receiver:
                return slot
        raise MalformedMessage(f"the dealing has nothing for holder {receiver}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DealingPackage:
    """A signed dealing with all its encrypted pieces, in the order of its slots."""

    MOST_ITEMS: ClassVar[int] = 5 + MAX_HOLDERS

    dealing: Envelope
    pieces: tuple[bytes, ...]


def piece_hash(piece: bytes) -> Hash:
    """Names an encrypted piece."""
    return tagged_hash(tags.PIECE, piece)


def dealing_hash(envelope: Envelope) -> Hash:
    """Names a signed dealing."""
    return tagged_hash(tags.DEALING_HASH, envelope.body)


def commitments_hash(commitments: bytes) -> Hash:
    """Names the commitments that a fragment belongs to."""
    return tagged_hash(tags.COMMITMENTS, commitments)


def epoch_hash(statement: bytes) -> Hash:
    """Names the epoch that these bytes of a statement state."""
    return tagged_hash(tags.EPOCH_HASH, statement)


@dataclass(frozen=True, slots=True, kw_only=True)
class DealerRef:
    """A dealer and the dealing it signed."""

    dealer: int
    dealing: Hash


@dataclass(frozen=True, kw_only=True)  # no slots: what is computed is kept
class Statement:
    """What an epoch is: who dealt what, for which keys, and what it adds up to.

    Epochs of a key are ordered by (`roster_version`, `attempt`). `acks` is how many identical
    acknowledgements certify it.
    """

    MOST_ITEMS: ClassVar[int] = 17 + 4 * MAX_KEYS_TOGETHER + 4 * MAX_HOLDERS

    domain: DomainId
    proposal: ProposalId
    attempt: int
    roster: RosterHash
    roster_version: int
    suite: Suite
    threshold: int
    acks: int
    base: Hash | None
    keys: tuple[KeyRef, ...]
    commitments: tuple[bytes, ...]
    dealers: tuple[DealerRef, ...]
    holders: tuple[HolderIndex, ...]

    def __post_init__(self) -> None:
        check_attempt(self.attempt)
        if len(self.keys) != len(self.commitments) or not self.keys:
            raise MalformedMessage("a statement commits to each of its keys")
        if not 1 <= self.acks <= len(self.holders) or not self.dealers:
            raise MalformedMessage("a statement has dealers and needs 1 to n acknowledgements")

    @cached_property
    def hash(self) -> Hash:
        """The epoch's name."""
        return epoch_hash(encode(self))

    @property
    def order(self) -> tuple[int, int]:
        """Epochs of one key are compared by this."""
        return (self.roster_version, self.attempt)

    def commitments_of(self, key: KeyRef) -> bytes:
        """The commitments to one key; `MalformedMessage` if the epoch is not of that key."""
        return self.commitments[self.place_of(key)]

    def __contains__(self, key: KeyRef) -> bool:
        return key in self._places

    def place_of(self, key: KeyRef) -> int:
        """Where a key stands in `keys`; `MalformedMessage` if the epoch is not of that key."""
        place = self._places.get(key)
        if place is None:
            raise MalformedMessage(f"the epoch is not one of {key}")
        return place

    @cached_property
    def _places(self) -> dict[KeyRef, int]:
        return {key: place for place, key in enumerate(self.keys)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A holder has checked and stored its fragments of exactly this epoch."""

    domain: DomainId
    epoch: Hash
    holder: HolderIndex
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A statement (its exact bytes) with enough acknowledgements: the epoch may be used."""

    MOST_ITEMS: ClassVar[int] = 3 + 3 * MAX_HOLDERS

    statement: bytes
    acknowledgements: tuple[Envelope, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A receiver publishes its receive key for one sender, so that anyone can see who lied.

    `seed` is the private receive key `number` for `accused`; it opens what that sender sent to
    this receiver under it, and nothing else.
    """

    domain: DomainId
    proposal: ProposalId
    attempt: int
    complainer: HolderIndex
    accused: int
    number: int
    seed: bytes

    def __post_init__(self) -> None:
        check_attempt(self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """A receiver has replaced the receive key that a piece went to: please deal again."""

    domain: DomainId
    proposal: ProposalId
    attempt: int
    holder: HolderIndex
    dealer: int
    number: int

    def __post_init__(self) -> None:
        check_attempt(self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """A complaint with what proves it: the dealing, the piece, the complainer's signed keys."""

    complaint: Envelope
    dealing: Envelope
    piece: bytes
    receive_keys: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """An epoch as one receiver gets it: the tally, the signed dealings, and its own pieces.

    `convictions` prove why an approver is not among the dealers of a later attempt. `base` is
    what a reshare starts from (empty where keys are made).
    """

    tally: Tally
    attempt: int
    roster: RosterHash
    base: tuple[BaseKey, ...]
    dealings: tuple[Envelope, ...]
    pieces: tuple[bytes, ...]
    convictions: tuple[Conviction, ...]

    def __post_init__(self) -> None:
        check_attempt(self.attempt)
        check_pieces(self.pieces, self.dealings)
