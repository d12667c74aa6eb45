"""Locking and unlocking: challenge, answer, and the envelopes beside the roster."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.ids import DomainId, Hash, HolderIndex, Nonce, RosterHash
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PublicKey
from tigertally.custody.messages.dealing import Certificate
from tigertally.custody.messages.options import KeyOptions
from tigertally.quorum.messages import CheckpointProof, Nothing
from tigertally.quorum.roster import SignedRoster
from tigertally.quorum.tally import Tally
from tigertally.transport.door import Door, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierEnvelope:
    """The barrier key (whole for unlock 1, a fragment otherwise) encrypted to one holder.

    `part` is the hash of what is inside, so that a wrong answer names its own holder.
    """

    holder: HolderIndex
    sealed: bytes
    part: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelopes:
    """All envelopes of one barrier key, and how to recognise the right key.

    `electorate` names the holders they were made for; `unlock` how many must answer.
    """

    domain: DomainId
    electorate: Hash
    unlock: int
    barrier_hash: Hash
    envelopes: tuple[BarrierEnvelope, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRequest:
    """A holder offers to unlock. It names the newest roster and checkpoint that it knows.

    `wrong_passphrases` is how often this device was opened with a wrong passphrase since its
    last contact: the authority writes it into the audit log.
    """

    roster_version: int
    checkpoint_size: int
    wrong_passphrases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What the authority signs: answer for exactly this nonce, to exactly this key."""

    domain: DomainId
    nonce: Nonce
    wrapping_key: PublicKey
    roster: RosterHash
    checkpoint: str
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeReply:
    """The signed challenge and what the holder needs to judge it."""

    challenge: Envelope
    rosters: tuple[SignedRoster, ...]
    proofs: tuple[CheckpointProof, ...]
    electorate: Hash
    unlock: int
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A holder's answer: the barrier key (or fragment) for the challenge's key; or why not.

    `refusal` is empty in a real answer; otherwise it says what the holder knows better, and
    `rosters` carry the newer chain.
    """

    domain: DomainId
    challenge: Hash
    holder: HolderIndex
    roster: RosterHash
    wrapped: bytes
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """A signed answer, with the rosters that the authority lacks (if any).

    `acceptance` goes to an authority that was restored from a back-up. A holder that has no
    envelope in the restored state accepts with an answer whose `wrapped` is empty.
    """

    answer: Envelope
    rosters: tuple[SignedRoster, ...]
    acceptance: Envelope | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReply:
    """How far the unlocking is: `state` is `locked` or `ready`.

    `restored`: enough holders must first accept that it was restored from a back-up.
    """

    state: str
    have: int
    need: int
    restored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """What was approved when a key was made, as a holder remembers it.

    `making` is the tally that made the key; None from a holder that joined later.
    """

    options: KeyOptions
    making: Tally | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochClaim:
    """One epoch that a holder has fragments of: what a restored authority may not know.

    `terms` are in the order of the statement's keys.
    """

    statement: bytes
    certificate: Certificate | None
    acknowledgement: Envelope
    terms: tuple[KeyTerms, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What a holder holds, for a restored authority; a page of it."""

    claims: tuple[EpochClaim, ...]


# A roster is an envelope with an encoded tally beside it; a signature alone has 66 bytes.
_ROSTER_SPREAD = 32
# Of each key a report has at least four items, its name, and 64 bytes of commitments.
REPORT_SPREAD = 8
REPORT_ITEMS = MAX_MESSAGE_BYTES // REPORT_SPREAD

# Who is no holder is let in too, so that the attempt is counted (C6).
UNLOCK_CHALLENGE = Door(
    "/v1/unlock/challenge", ChallengeRequest, ChallengeReply, who=Standing.STRANGER
)
UNLOCK_ANSWER = Door(
    "/v1/unlock/answer",
    AnswerRequest,
    AnswerReply,
    who=Standing.STRANGER,
    most_bytes=MAX_MESSAGE_BYTES,
    most_items=MAX_MESSAGE_BYTES // _ROSTER_SPREAD,
    spread=_ROSTER_SPREAD,
)
UNLOCK_REPORT = Door(
    "/v2/unlock/report",
    ReportRequest,
    Nothing,
    who=Standing.HOLDER,
    most_bytes=MAX_MESSAGE_BYTES,
    most_items=REPORT_ITEMS,
    spread=REPORT_SPREAD,
)
