"""Approvals: one holder's signed yes or no to exactly one proposal.

An approval also cosigns the newest audit checkpoint its holder has verified, so that holders can
compare what the authority showed each of them (docs/protocols/audit.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Hash, HolderIndex, ProposalId, RosterHash, Text
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.signatures import SigningKey
from tigertally.quorum.roster import Roster, open_from_holder


class Verdict(Enum):
    """A holder's answer."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One holder's verdict.

    `checkpoint` is the newest signed audit checkpoint that the holder has verified (a C2SP signed
    note; empty if it has seen none yet), `attachment` the hash of what travels beside the
    approval (a dealing).
    """

    proposal: ProposalId
    verdict: Verdict
    roster: RosterHash
    holder: HolderIndex
    checkpoint: str
    attachment: Hash | None
    reason: Text
    time: int


def attachment_hash(attachment: bytes) -> Hash:
    """What an approval signs of its attachment."""
    return tagged_hash(tags.ATTACHMENT, attachment)


def sign_approval(key: SigningKey, approval: Approval) -> Envelope:
    """Sign a verdict as its holder."""
    return sign_message(key, tags.APPROVAL, approval)


def open_approval(envelope: Envelope, roster: Roster) -> Approval:
    """Parse an approval and verify it under the key this roster lists for its holder.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: the roster lists no such holder.
    """
    return open_from_holder(Approval, tags.APPROVAL, envelope, roster, lambda said: said.holder)


def cosigned_sizes(approvals: Sequence[Approval]) -> tuple[int, ...]:
    """The sizes of all checkpoints that approvals cosign and that can be read."""
    sizes: set[int] = set()
    for approval in approvals:
        try:
            sizes.add(SignedCheckpoint.from_text(approval.checkpoint).checkpoint.size)
        except MalformedMessage:
            continue
    return tuple(sorted(sizes))
