"""Messages of version 1 whose successors say more; served and asked under `/v1`, never changed.

In version 1 a key's options were two fields. Each message here stands beside its successor, and
says how it is made of that (`of`, which refuses what has no field here) or into it (`today`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from tigertally.base.errors import NewerVersion
from tigertally.base.ids import Hash, HolderIndex, Name, RosterHash
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages import dealing, lock, sync
from tigertally.custody.messages.base_key import BaseKeyV1
from tigertally.custody.messages.destroy import EraseDue
from tigertally.custody.messages.kinds import V1_SUITES, KeyRef, Suite
from tigertally.custody.messages.options import V1_OPTIONS, KeyOptions
from tigertally.custody.messages.reports import RemovedFragment
from tigertally.quorum.messages import Nothing
from tigertally.quorum.tally import Tally
from tigertally.transport.door import Door, Standing

NEWER_STATE = "newer than this program"
"""What version 1 is told of a key that it does not understand: no state in which it acts on it."""

KEYS_REPLACED_V1 = "has replaced its receive keys meanwhile"
"""Never changed: a device of version 1 deals anew where the authority's `Unavailable` says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningV1:
    """An epoch as one receiver gets it."""

    tally: Tally
    attempt: int
    roster: RosterHash
    base: tuple[BaseKeyV1, ...]
    dealings: tuple[Envelope, ...]
    pieces: tuple[bytes, ...]
    convictions: tuple[dealing.Conviction, ...]

    def __post_init__(self) -> None:
        dealing.check_attempt(self.attempt)
        dealing.check_pieces(self.pieces, self.dealings)

    @classmethod
    def of(cls, opening: dealing.Opening) -> Self:
        """In the form of version 1; raises `NewerVersion`."""
        return cls(
            tally=opening.tally,
            attempt=opening.attempt,
            roster=opening.roster,
            base=tuple(map(BaseKeyV1.of, opening.base)),
            dealings=opening.dealings,
            pieces=opening.pieces,
            convictions=opening.convictions,
        )

    def today(self) -> dealing.Opening:
        """In the form of today."""
        return dealing.Opening(
            tally=self.tally,
            attempt=self.attempt,
            roster=self.roster,
            base=tuple(one.today() for one in self.base),
            dealings=self.dealings,
            pieces=self.pieces,
            convictions=self.convictions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DealRequestV1:
    """Please deal (again) for this tally."""

    tally: Tally
    attempt: int
    roster: RosterHash
    base: tuple[BaseKeyV1, ...]
    convictions: tuple[dealing.Conviction, ...]

    def __post_init__(self) -> None:
        dealing.check_attempt(self.attempt)

    @classmethod
    def of(cls, asked: sync.DealRequest) -> Self:
        """In the form of version 1; raises `NewerVersion`."""
        return cls(
            tally=asked.tally,
            attempt=asked.attempt,
            roster=asked.roster,
            base=tuple(map(BaseKeyV1.of, asked.base)),
            convictions=asked.convictions,
        )

    def today(self) -> sync.DealRequest:
        """In the form of today."""
        return sync.DealRequest(
            tally=self.tally,
            attempt=self.attempt,
            roster=self.roster,
            base=tuple(one.today() for one in self.base),
            convictions=self.convictions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodySyncRequestV1:
    """New receive keys (if it is time) and the epochs whose certificate the holder lacks."""

    receive_keys: Envelope | None
    uncertified: tuple[Hash, ...]

    @classmethod
    def of(cls, request: sync.CustodySyncRequest) -> Self:
        """In the form of version 1."""
        return cls(receive_keys=request.receive_keys, uncertified=request.uncertified)

    def today(self) -> sync.CustodySyncRequest:
        """In the form of today: whoever asks so knows what version 1 knew."""
        return sync.CustodySyncRequest(
            receive_keys=self.receive_keys,
            uncertified=self.uncertified,
            options=tuple(sorted(V1_OPTIONS)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodySyncReplyV1:
    """What the holder is owed and what it owes."""

    openings: tuple[OpeningV1, ...]
    deals: tuple[DealRequestV1, ...]
    releases: tuple[sync.ReleaseDue, ...]
    erasures: tuple[EraseDue, ...]
    certificates: tuple[dealing.Certificate, ...]
    open_bundles: tuple[Hash, ...]
    waiting_for: tuple[str, ...]

    @classmethod
    def of(cls, reply: sync.CustodySyncReply) -> Self:
        """In the form of version 1; raises `NewerVersion`."""
        return cls(
            openings=tuple(map(OpeningV1.of, reply.openings)),
            deals=tuple(map(DealRequestV1.of, reply.deals)),
            releases=reply.releases,
            erasures=reply.erasures,
            certificates=reply.certificates,
            open_bundles=reply.open_bundles,
            waiting_for=reply.waiting_for,
        )

    def today(self) -> sync.CustodySyncReply:
        """In the form of today."""
        return sync.CustodySyncReply(
            openings=tuple(one.today() for one in self.openings),
            deals=tuple(one.today() for one in self.deals),
            releases=self.releases,
            erasures=self.erasures,
            certificates=self.certificates,
            open_bundles=self.open_bundles,
            waiting_for=self.waiting_for,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfoV1:
    """A key as members see it."""

    ref: KeyRef
    suite: Suite
    state: str
    epoch: int
    threshold: int
    acks: int
    acknowledged: tuple[HolderIndex, ...]
    missing: tuple[HolderIndex, ...]
    erased: tuple[HolderIndex, ...]
    requesters: tuple[Name, ...]
    unattended: bool
    imported: bool
    stored: int
    created: int
    trouble: tuple[str, ...]
    usable: int
    removed: tuple[RemovedFragment, ...]

    @classmethod
    def of(cls, info: sync.KeyInfo) -> Self:
        """In the form of version 1: one that it does not understand is there, and not usable."""
        options, suite = info.options.names == V1_OPTIONS, info.suite in V1_SUITES
        newer = not (options and suite)
        what = "a suite" if options else "options"
        why = (f"it has {what} that only a newer version of this program knows",) if newer else ()
        return cls(
            ref=info.ref,
            # It has no other place for a suite than one that it knows; its state says the rest.
            suite=Suite(info.suite) if suite else Suite.PEDERSEN_ED25519,
            state=NEWER_STATE if newer else info.state,
            epoch=info.epoch,
            threshold=info.threshold,
            acks=info.acks,
            acknowledged=info.acknowledged,
            missing=info.missing,
            erased=info.erased,
            requesters=info.options.requesters,
            unattended=info.options.unattended,
            imported=info.imported,
            stored=info.stored,
            created=info.created,
            trouble=(*info.trouble, *why),
            usable=info.usable,
            removed=info.removed,
        )

    def today(self) -> sync.KeyInfo:
        """In the form of today."""
        return sync.KeyInfo(
            ref=self.ref,
            suite=self.suite.value,
            state=self.state,
            epoch=self.epoch,
            threshold=self.threshold,
            acks=self.acks,
            acknowledged=self.acknowledged,
            missing=self.missing,
            erased=self.erased,
            options=KeyOptions.of(self.requesters, unattended=self.unattended),
            imported=self.imported,
            stored=self.stored,
            created=self.created,
            trouble=self.trouble,
            usable=self.usable,
            removed=self.removed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysReplyV1:
    """Keys in order of name and version."""

    MOST_ITEMS: ClassVar[int] = sync.KeysReply.MOST_ITEMS
    keys: tuple[KeyInfoV1, ...]

    @classmethod
    def of(cls, reply: sync.KeysReply) -> Self:
        """In the form of version 1."""
        return cls(keys=tuple(map(KeyInfoV1.of, reply.keys)))

    def today(self) -> sync.KeysReply:
        """In the form of today."""
        return sync.KeysReply(keys=tuple(info.today() for info in self.keys), unreadable=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTermsV1:
    """What was approved when a key was made, as a holder remembers it."""

    requesters: tuple[Name, ...]
    unattended: bool
    making: Tally | None

    @classmethod
    def of(cls, terms: lock.KeyTerms) -> Self:
        """In the form of version 1; raises `NewerVersion`."""
        if terms.options.names != V1_OPTIONS:
            raise NewerVersion("a key has options that version 1 has no fields for")
        return cls(
            requesters=terms.options.requesters,
            unattended=terms.options.unattended,
            making=terms.making,
        )

    def today(self) -> lock.KeyTerms:
        """In the form of today."""
        options = KeyOptions.of(self.requesters, unattended=self.unattended)
        return lock.KeyTerms(options=options, making=self.making)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochClaimV1:
    """One epoch that a holder has fragments of."""

    statement: bytes
    certificate: dealing.Certificate | None
    acknowledgement: Envelope
    terms: tuple[KeyTermsV1, ...]

    @classmethod
    def of(cls, claim: lock.EpochClaim) -> Self:
        """In the form of version 1; raises `NewerVersion`."""
        return cls(
            statement=claim.statement,
            certificate=claim.certificate,
            acknowledgement=claim.acknowledgement,
            terms=tuple(map(KeyTermsV1.of, claim.terms)),
        )

    def today(self) -> lock.EpochClaim:
        """In the form of today."""
        return lock.EpochClaim(
            statement=self.statement,
            certificate=self.certificate,
            acknowledgement=self.acknowledgement,
            terms=tuple(one.today() for one in self.terms),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequestV1:
    """What a holder holds, for a restored authority; a page of it."""

    claims: tuple[EpochClaimV1, ...]

    @classmethod
    def of(cls, report: lock.ReportRequest) -> Self:
        """In the form of version 1, without the epochs that it has no fields for."""
        claims = [one for one in report.claims if all(_said(terms) for terms in one.terms)]
        return cls(claims=tuple(map(EpochClaimV1.of, claims)))

    def today(self) -> lock.ReportRequest:
        """In the form of today."""
        return lock.ReportRequest(claims=tuple(claim.today() for claim in self.claims))


def _said(terms: lock.KeyTerms) -> bool:
    return terms.options.names == V1_OPTIONS


CUSTODY_SYNC_V1 = Door(
    "/v1/custody/sync",
    CustodySyncRequestV1,
    CustodySyncReplyV1,
    who=Standing.HOLDER,
    most_bytes=sync.SYNC_BYTES,
    most_items=sync.SYNC_ITEMS,
    spread=sync.SYNC_SPREAD,
    reads=True,
)
KEYS_V1 = Door("/v1/custody/keys", sync.KeysRequest, KeysReplyV1, reads=True)
UNLOCK_REPORT_V1 = Door(
    "/v1/unlock/report",
    ReportRequestV1,
    Nothing,
    who=Standing.HOLDER,
    most_bytes=MAX_MESSAGE_BYTES,
    most_items=lock.REPORT_ITEMS,
    spread=lock.REPORT_SPREAD,
)
