"""A holder's signed report of the epochs it has fragments of. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.ids import DomainId, Hash, HolderIndex
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.reports import HeldClaim, HeldReport
from tigertally.custody.state.holder import HeldEpoch


def claims_of(held: Iterable[HeldEpoch]) -> tuple[HeldClaim, ...]:
    """What a device that has these epochs says, in the order of their hashes."""
    claims = []
    for one in held:
        statement = one.parsed()
        pairs = zip(statement.keys, one.payloads, strict=True)
        gone = tuple(key for key, payload in pairs if not payload)
        claims.append(HeldClaim(epoch=Hash(statement.hash), gone=gone))
    return tuple(sorted(claims, key=lambda claim: claim.epoch))


def sign_report(
    key: SigningKey,
    domain: DomainId,
    holder: HolderIndex,
    *,
    number: int,
    claims: tuple[HeldClaim, ...],
) -> Envelope:
    """Sign a report as its holder."""
    report = HeldReport(domain=domain, holder=holder, number=number, claims=claims)
    return sign_message(key, tags.HELD, report)


def report_hash(envelope: Envelope) -> Hash:
    """Names a signed report, in the audit log."""
    return tagged_hash(tags.HELD_HASH, envelope.body)
