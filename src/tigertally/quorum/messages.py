"""What travels between members and the authority about rosters and tallies.

Requests need no signature of their own: the TLS client certificate names the peer, and
everything that must be provable later (proposals, approvals, rosters, checkpoints) is signed.
"""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.ids import DomainId, Hash, ProposalId, RosterHash, Text
from tigertally.crypto.envelope import Envelope
from tigertally.quorum.pending import Status
from tigertally.quorum.restoration import RestorationRecord
from tigertally.quorum.roster import SignedRoster
from tigertally.transport.door import Door, Standing

# With a yes to a new key travels its dealing to 255 holders: 315 KiB of pieces and their slots.
_DEALT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """An empty request or answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainInfo:
    """What anybody may know: who the authority is and whether it works.

    `state` is `forming`, `locked` or `ready`; the roster's version is 0 before the first holder.
    `restored` is true until enough holders have accepted that it was restored from a back-up.
    """

    card: Envelope
    state: str
    roster_version: int
    roster_hash: RosterHash | None
    holders: int
    threshold: int
    unlock: int
    unlock_have: int
    unlock_need: int
    restored: bool
    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinTerms:
    """What a joiner's proposal must name; says nothing about who the members are."""

    domain: DomainId
    electorate: Hash
    roster: RosterHash


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRequest:
    """The first holder's request: roster version 1 under its signature, and proof of the PIN."""

    roster: Envelope
    card: Envelope
    proof: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReply:
    """Roster version 1 countersigned, and the authority's own proof that it knows the PIN."""

    roster: SignedRoster
    proof: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeRequest:
    """A proposal; a holder's own approval with its attachment travels in it."""

    proposal: Envelope
    approval: Envelope | None
    attachment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteRequest:
    """A verdict with what travels beside it."""

    verdict: Envelope
    attachment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRequest:
    """How does this proposal stand?"""

    id: ProposalId


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalState:
    """A proposal with all verdicts. Members check the signatures themselves."""

    proposal: Envelope
    approvals: tuple[Envelope, ...]
    rejections: tuple[Envelope, ...]
    late: tuple[Envelope, ...]
    status: Status
    why: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What the member has: a roster version and the size of the last checkpoint it verified."""

    roster_version: int
    checkpoint_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointProof:
    """That the log of `size` entries is a prefix of the newest checkpoint's (RFC 6962)."""

    size: int
    proof: tuple[Hash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReply:
    """What is new: rosters, the newest checkpoint, the open proposals.

    `proofs` join every checkpoint named here (the member's last, and those cosigned in the
    approvals) to the newest.
    """

    rosters: tuple[SignedRoster, ...]
    checkpoint: str
    proofs: tuple[CheckpointProof, ...]
    proposals: tuple[ProposalState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsRequest:
    """Answer when anything for this member is newer than `seen`, or after `wait` seconds."""

    seen: int
    wait: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsReply:
    """The number to name next time."""

    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RostersRequest:
    """The rosters after this version."""

    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RostersReply:
    """Signed rosters, oldest first."""

    rosters: tuple[SignedRoster, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TalliesRequest:
    """Closed and open proposals made at or after `since` (Unix seconds), oldest first."""

    since: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TalliesReply:
    """Proposals with their verdicts."""

    proposals: tuple[ProposalState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """Audit entries from index `since` on, and proofs from these checkpoint sizes."""

    since: int
    limit: int
    prove: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReply:
    """Encoded audit entries, the newest checkpoint and the proofs asked for."""

    entries: tuple[bytes, ...]
    checkpoint: str
    proofs: tuple[CheckpointProof, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorationsReply:
    """Every restore behind this state, with the holders' acceptances, oldest first."""

    records: tuple[RestorationRecord, ...]


# For those who are no members (yet) too: who the authority is, and how one joins.
DOMAIN = Door("/v1/domain", Nothing, DomainInfo, who=Standing.STRANGER, reads=True)
FOUND = Door("/v1/found", FoundRequest, FoundReply, who=Standing.STRANGER)
TERMS = Door("/v1/terms", Nothing, JoinTerms, who=Standing.STRANGER, reads=True)
PROPOSE = Door(
    "/v1/propose", ProposeRequest, ProposalState, who=Standing.STRANGER, most_bytes=_DEALT_BYTES
)
PROPOSAL = Door("/v1/proposal", ProposalRequest, ProposalState, who=Standing.STRANGER, reads=True)
NEWS = Door("/v1/news", NewsRequest, NewsReply, who=Standing.STRANGER, poll=True)

VOTE = Door("/v1/vote", VoteRequest, ProposalState, who=Standing.HOLDER, most_bytes=_DEALT_BYTES)
SYNC = Door("/v2/sync", SyncRequest, SyncReply)
ROSTERS = Door("/v1/rosters", RostersRequest, RostersReply, reads=True)
TALLIES = Door("/v2/tallies", TalliesRequest, TalliesReply)
AUDIT = Door("/v1/audit", AuditRequest, AuditReply, reads=True)
# Whoever asks here stops at a proposal that it does not know, and is shown none.
SYNC_V1 = Door("/v1/sync", SyncRequest, SyncReply, reads=True)
TALLIES_V1 = Door("/v1/tallies", TalliesRequest, TalliesReply, reads=True)
RESTORATIONS = Door("/v1/restorations", Nothing, RestorationsReply, reads=True)
