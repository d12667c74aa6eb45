"""What a holder and the authority owe each other, exchanged at every contact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId, RosterHash
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages import dealing, release
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.destroy import EraseDue
from tigertally.custody.messages.kinds import KeyRef, Suite, known_suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.reports import RemovedFragment, RemovedHolder
from tigertally.quorum.messages import Nothing, ProposalState
from tigertally.quorum.tally import Tally
from tigertally.transport.door import Door, Standing

MOST_OWED = 50  # of one sort in one answer; a holder that got so many asks again


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodySyncRequest:
    """New receive keys (if it is time) and the epochs whose certificate the holder lacks.

    `options` are the names of the key options that this device knows, in order, and of its suites
    beyond version 1 as `suite:NAME`: it is asked to take part in no key that has others.
    """

    receive_keys: Envelope | None
    uncertified: tuple[Hash, ...]
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        if list(self.options) != sorted(set(self.options)):
            raise MalformedMessage("a device names each option that it knows once, in order")


@dataclass(frozen=True, slots=True, kw_only=True)
class DealRequest:
    """Please deal (again) for this tally."""

    tally: Tally
    attempt: int
    roster: RosterHash
    base: tuple[BaseKey, ...]
    convictions: tuple[dealing.Conviction, ...]

    def __post_init__(self) -> None:
        dealing.check_attempt(self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDue:
    """A complete release that this holder approved and whose fragment has not arrived yet."""

    state: ProposalState


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodySyncReply:
    """What the holder is owed and what it owes.

    `open_bundles` names the receive keys that dealings on their way to this holder use: all others
    but the newest may be erased. `waiting_for` says in words who else must act.
    """

    openings: tuple[dealing.Opening, ...]
    deals: tuple[DealRequest, ...]
    releases: tuple[ReleaseDue, ...]
    erasures: tuple[EraseDue, ...]
    certificates: tuple[dealing.Certificate, ...]
    open_bundles: tuple[Hash, ...]
    waiting_for: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveKeysReply:
    """Every holder's newest signed receive keys; the authority's fresh key, if asked for."""

    keys: tuple[Envelope, ...]
    fresh: Envelope | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveKeysRequest:
    """Ask for them; optionally with the authority's fresh key for a proposal."""

    proposal: ProposalId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverRequest:
    """A fragment leaves its device."""

    fragment: release.WrappedFragment


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysRequest:
    """Which keys are there? With a name, all its versions."""

    name: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A key as members see it. `acknowledged`, `missing` and `erased` are holder indices.

    `missing`: who has yet to deal or acknowledge; of a destroyed key, to erase. `stored` is the
    size of an imported secret as it is kept (sealed), 0 before it is there. `usable` is how
    many of the present holders have a fragment of the live epoch; below `threshold` it is gone.
    `suite` is text: one that this program does not know makes no other key unreadable.
    """

    ref: KeyRef
    suite: str
    state: str
    epoch: int
    threshold: int
    acks: int
    acknowledged: tuple[HolderIndex, ...]
    missing: tuple[HolderIndex, ...]
    erased: tuple[HolderIndex, ...]
    options: KeyOptions
    imported: bool
    stored: int
    created: int
    trouble: tuple[str, ...]
    usable: int
    removed: tuple[RemovedFragment, ...]

    def known_suite(self) -> Suite:
        """How it is shared; raises `NewerVersion` where this program does not know that."""
        return known_suite(self.suite)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysReply:
    """Keys in order of name and version.

    `unreadable` is how many more there are of which the authority cannot read a row.
    """

    MOST_ITEMS: ClassVar[int] = MAX_MESSAGE_BYTES // 2  # who acknowledged: two bytes a number
    keys: tuple[KeyInfo, ...]
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRequest:
    """The live epoch's certificate of one key."""

    key: KeyRef


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderInfo:
    """When a holder last synced (0: never), and how many live fragments it has acknowledged.

    `missing` counts the keys whose newest epoch it has not acknowledged, `needed` the keys that
    would be gone if this holder were lost now.
    """

    index: HolderIndex
    last_seen: int
    fragments: int
    missing: int
    needed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldersReply:
    """What the authority knows of the holders; nothing secret rests on it.

    `least_margin` is the number of holders that can still be lost before the first key is gone
    (None: there is no key), `lost` how many keys are gone already.
    """

    holders: tuple[HolderInfo, ...]
    least_margin: int | None
    lost: int
    removed: tuple[RemovedHolder, ...]


# Receive keys for 257 senders have 310 KiB; the rest is for 10,000 epochs without a certificate.
SYNC_BYTES = 1024 * 1024
SYNC_ITEMS = 16 * 1024
SYNC_SPREAD = 32  # a hash
CUSTODY_SYNC = Door(
    "/v2/custody/sync",
    CustodySyncRequest,
    CustodySyncReply,
    who=Standing.HOLDER,
    most_bytes=SYNC_BYTES,
    most_items=SYNC_ITEMS,
    spread=SYNC_SPREAD,
    reads=True,  # the same receive keys again change nothing
)
RECEIVE_KEYS = Door(
    "/v1/custody/receive-keys",
    ReceiveKeysRequest,
    ReceiveKeysReply,
    who=Standing.HOLDER,
    reads=True,
)
DEAL = Door(
    "/v1/custody/deal",
    dealing.DealingPackage,
    Nothing,
    who=Standing.HOLDER,
    most_bytes=MAX_MESSAGE_BYTES,
)
CONTRIBUTE = Door(
    "/v1/custody/contribute",
    release.Contribution,
    Nothing,
    who=Standing.HOLDER,
    most_bytes=MAX_MESSAGE_BYTES,
    most_items=release.Contribution.MOST_ITEMS,
    spread=128,  # a wrapped fragment has five items and over a kilobyte
)
ACKNOWLEDGE = Door("/v1/custody/acknowledge", Envelope, Nothing, who=Standing.HOLDER)
COMPLAIN = Door("/v1/custody/complain", Envelope, Nothing, who=Standing.HOLDER)
ERASED = Door("/v1/custody/erased", Envelope, Nothing, who=Standing.HOLDER)
DELIVER = Door("/v1/custody/deliver", DeliverRequest, Nothing, who=Standing.HOLDER)
COLLECT = Door("/v1/custody/collect", release.CollectRequest, release.CollectReply, reads=True)
KEYS = Door("/v2/custody/keys", KeysRequest, KeysReply, reads=True)
HOLDERS = Door("/v1/custody/holders", Nothing, HoldersReply, reads=True)
KEY_EPOCH = Door("/v1/custody/epoch", EpochRequest, dealing.Certificate, reads=True)
