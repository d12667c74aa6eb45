"""Rows as version 1 wrote them, where a key's options were two fields. Only read, never written."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId, RosterHash, Text
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.base_key import BaseKeyV1
from tigertally.custody.messages.dealing import Conviction
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochStatus,
    KeyRecord,
    KeyState,
    PastEpoch,
)
from tigertally.custody.state.holder import Terms
from tigertally.quorum.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecordV1:
    """One attempt at an epoch."""

    tally: Tally | None
    proposal: ProposalId
    attempt: int
    roster: RosterHash
    roster_version: int
    suite: Suite
    threshold: int
    acks: int
    keys: tuple[KeyRef, ...]
    base: tuple[BaseKeyV1, ...]
    holders: tuple[HolderIndex, ...]
    needed: int
    dealers: tuple[int, ...]
    dealings: tuple[Envelope | None, ...]
    convictions: tuple[Conviction, ...]
    status: EpochStatus
    statement: bytes
    acknowledgements: tuple[Envelope, ...]
    acknowledged: tuple[HolderIndex, ...]
    why: Text
    barred: tuple[int, ...]
    renewed: tuple[HolderIndex, ...]

    def today(self) -> EpochRecord:
        """In the form of today."""
        return EpochRecord(
            tally=self.tally,
            proposal=self.proposal,
            attempt=self.attempt,
            roster=self.roster,
            roster_version=self.roster_version,
            suite=self.suite,
            threshold=self.threshold,
            acks=self.acks,
            keys=self.keys,
            base=tuple(one.today() for one in self.base),
            holders=self.holders,
            needed=self.needed,
            dealers=self.dealers,
            dealings=self.dealings,
            convictions=self.convictions,
            status=self.status,
            statement=self.statement,
            acknowledgements=self.acknowledgements,
            acknowledged=self.acknowledged,
            why=self.why,
            barred=self.barred,
            renewed=self.renewed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecordV1:
    """One key's life at the authority."""

    ref: KeyRef
    made_by: ProposalId
    suite: Suite
    requesters: tuple[Name, ...]
    unattended: bool
    created: int
    state: KeyState
    live: EpochId | None
    live_hash: Hash | None
    coming: EpochId | None
    number: int
    imported: bool
    destroyed_by: ProposalId | None
    erasing: tuple[HolderIndex, ...]
    erased: tuple[HolderIndex, ...]
    trouble: tuple[Text, ...]
    past: tuple[PastEpoch, ...]

    def today(self) -> KeyRecord:
        """In the form of today."""
        return KeyRecord(
            ref=self.ref,
            made_by=self.made_by,
            suite=self.suite,
            options=KeyOptions.of(self.requesters, unattended=self.unattended),
            created=self.created,
            state=self.state,
            live=self.live,
            live_hash=self.live_hash,
            coming=self.coming,
            number=self.number,
            imported=self.imported,
            destroyed_by=self.destroyed_by,
            erasing=self.erasing,
            erased=self.erased,
            trouble=self.trouble,
            past=self.past,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsV1:
    """What was approved when a key was made, on a holder's device."""

    requesters: tuple[Name, ...]
    unattended: bool

    def today(self) -> Terms:
        """In the form of today."""
        return Terms(options=KeyOptions.of(self.requesters, unattended=self.unattended))
