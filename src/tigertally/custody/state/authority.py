"""What the authority remembers of keys and epochs: a relay's memory, nothing here opens a key.

The table of an epoch's states stands here; the steps between them are in `protocol/epochs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, HolderIndex, ProposalId, RosterHash, Text
from tigertally.crypto.envelope import Envelope, parse_message
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import (
    Certificate,
    Conviction,
    Statement,
    check_attempt,
    epoch_hash,
)
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.quorum.tally import Tally


class EpochStatus(Enum):
    """Where an epoch stands."""

    DEALING = "dealing"  # not all dealers have dealt yet
    OPEN = "open"  # all dealings are there; holders check, store and acknowledge
    CERTIFIED = "certified"  # enough identical acknowledgements: it may be used
    ABORTED = "aborted"  # a later attempt takes its place, or nothing does


# Who may follow whom. A certified epoch never ends by itself: a later one takes its place.
NEXT_EPOCH: dict[EpochStatus, frozenset[EpochStatus]] = {
    EpochStatus.DEALING: frozenset({EpochStatus.OPEN, EpochStatus.ABORTED}),
    EpochStatus.OPEN: frozenset({EpochStatus.CERTIFIED, EpochStatus.ABORTED}),
    EpochStatus.CERTIFIED: frozenset(),
    EpochStatus.ABORTED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One attempt at an epoch, as the authority collects it.

    `dealings` are in the order of `dealers`, one entry empty until it is there; with `needed` of
    them the epoch opens and `dealers` are those who dealt. `statement` is set once it is open.
    `base` is what a reshare starts from, empty where keys are made. `barred` are donors that were
    proven to have lied, `renewed` holders whose erased receive keys ended an earlier attempt.
    `tally` is None where a restored authority has learned a certified epoch from its holders:
    nothing of it is delivered.
    """

    tally: Tally | None
    proposal: ProposalId
    attempt: int
    roster: RosterHash
    roster_version: int
    suite: Suite
    threshold: int
    acks: int
    keys: tuple[KeyRef, ...]
    base: tuple[BaseKey, ...]
    holders: tuple[HolderIndex, ...]
    needed: int
    dealers: tuple[int, ...]
    dealings: tuple[Envelope | None, ...]
    convictions: tuple[Conviction, ...] = ()
    status: EpochStatus = EpochStatus.DEALING
    statement: bytes = b""
    acknowledgements: tuple[Envelope, ...] = ()
    acknowledged: tuple[HolderIndex, ...] = ()
    why: Text = Text("")
    barred: tuple[int, ...] = ()
    renewed: tuple[HolderIndex, ...] = ()

    def moved_to(self, status: EpochStatus, why: str = "") -> EpochRecord:
        """The next state; `Refused` if it may not follow."""
        if status not in NEXT_EPOCH[self.status]:
            raise Refused(f"the epoch is {self.status.value}")
        return replace(self, status=status, why=Text(why[:200]))

    @property
    def missing_dealers(self) -> tuple[int, ...]:
        """Who has not dealt yet."""
        pairs = zip(self.dealers, self.dealings, strict=True)
        return tuple(dealer for dealer, dealing in pairs if dealing is None)

    @property
    def missing(self) -> tuple[HolderIndex, ...]:
        """Who has not acknowledged yet."""
        return tuple(index for index in self.holders if index not in self.acknowledged)

    def parsed_statement(self) -> Statement:
        """The statement of an open or certified epoch."""
        return parse_message(Statement, self.statement)

    @property
    def epoch(self) -> Hash:
        """The name of an open or certified epoch."""
        return epoch_hash(self.statement)

    def certificate(self) -> Certificate:
        """The statement with its acknowledgements; `Refused` before it is certified."""
        if self.status is not EpochStatus.CERTIFIED:
            raise Refused("the epoch is not certified")
        return Certificate(statement=self.statement, acknowledgements=self.acknowledgements)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochView:
    """What is asked of an epoch all the time, without its dealings. `first` are three of its keys.

    `missing` are the holders that have not acknowledged, or before it is open the dealers that
    have not dealt (0 is the authority).
    """

    status: EpochStatus
    threshold: int
    acks: int
    holders: tuple[HolderIndex, ...]
    acknowledged: tuple[HolderIndex, ...]
    missing: tuple[int, ...]
    first: tuple[KeyRef, ...]
    count: int


def view_of_epoch(record: EpochRecord) -> EpochView:
    """The short view of an attempt."""
    dealing = record.status is EpochStatus.DEALING
    return EpochView(
        status=record.status,
        threshold=record.threshold,
        acks=record.acks,
        holders=record.holders,
        acknowledged=record.acknowledged,
        missing=record.missing_dealers if dealing else record.missing,
        first=record.keys[:3],
        count=len(record.keys),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEpoch:
    """An epoch that a key has left, of which fragments may still be somewhere.

    `holders` are all to whom fragments were sent, `threshold` how many of them make the key.
    """

    epoch: Hash
    threshold: int
    holders: tuple[HolderIndex, ...]


class KeyState(Enum):
    """What `tally key show` says of a key."""

    PENDING = "pending"
    ACTIVE = "active"
    RESHARING = "resharing"
    DESTROYED = "destroyed"

    @property
    def usable(self) -> bool:
        """Say whether a key may be released in this state."""
        return self in (KeyState.ACTIVE, KeyState.RESHARING)


def not_usable(ref: KeyRef, state: str) -> Refused:
    """Return the error of asking for a key that cannot be released: why, and what makes it so."""
    if state == KeyState.PENDING.value:
        return Refused(
            f"{ref} is pending",
            advice="holders still have to sync (`tally holder sync`), each with its own device",
        )
    return Refused(f"{ref} is {state}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochId:
    """Names one attempt: the proposal that made it, and its number."""

    proposal: ProposalId
    attempt: int

    def __post_init__(self) -> None:
        check_attempt(self.attempt)

    def to_bytes(self) -> bytes:
        """A row key."""
        return self.proposal + self.attempt.to_bytes(2, "big")

    @classmethod
    def from_bytes(cls, raw: bytes) -> EpochId:
        """From a row key."""
        attempt = int.from_bytes(raw[ProposalId.SIZE :], "big")
        return cls(proposal=ProposalId(raw[: ProposalId.SIZE]), attempt=attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key's life at the authority. `number` counts its certified epochs, from 1.

    `made_by` is the proposal that made it. Once destroyed, `erasing` are the holders who are to
    erase it and `erased` those who say that they have.
    """

    ref: KeyRef
    made_by: ProposalId
    suite: Suite
    options: KeyOptions
    created: int
    state: KeyState = KeyState.PENDING
    live: EpochId | None = None
    live_hash: Hash | None = None
    coming: EpochId | None = None
    number: int = 0
    imported: bool = False
    destroyed_by: ProposalId | None = None
    erasing: tuple[HolderIndex, ...] = ()
    erased: tuple[HolderIndex, ...] = ()
    trouble: tuple[Text, ...] = ()
    past: tuple[PastEpoch, ...] = ()

    @property
    def usable(self) -> bool:
        """Say whether it may be released."""
        return self.state.usable

    def check_usable(self) -> None:
        """Check that it may be released, or raise `Refused`."""
        if not self.usable:
            raise not_usable(self.ref, self.state.value)

    def in_epoch(self, epoch: EpochId, name: Hash) -> KeyRecord:
        """Active in its next certified epoch; `name` is the hash of the epoch's statement."""
        return replace(
            self,
            state=KeyState.ACTIVE,
            live=epoch,
            live_hash=name,
            coming=None,
            number=self.number + 1,
        )

    def with_trouble(self, text: str) -> KeyRecord:
        """Remember what went wrong, for `key show` (the newest eight lines)."""
        return replace(self, trouble=(*self.trouble[-7:], Text(text[:200])))
