"""Fragments of epochs that keys have left: who still has one, and is a removed holder's dead?

Holders say in signed reports which epochs they have fragments of. A report that names a later
epoch of a key and not this one shows that this one's fragment is erased.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from tigertally.algebra import tags
from tigertally.base.codec import decode
from tigertally.base.errors import Corrupt, MalformedMessage, Refused
from tigertally.base.ids import Hash, HolderIndex
from tigertally.crypto.envelope import Envelope, open_message
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.reports import HeldReport, RemovedFragment
from tigertally.custody.protocol.reports import report_hash
from tigertally.custody.service import rows
from tigertally.custody.state.authority import (
    EpochRecord,
    EpochView,
    KeyRecord,
    KeyState,
    PastEpoch,
)
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.messages import Nothing
from tigertally.storage.damage import readable


def held(desk: DomainDesk, envelope: Envelope, peer: VerifyKey) -> Nothing:
    """A holder reports which epochs it has fragments of. Older reports change nothing."""
    holder = desk.holder(peer)

    def signer(report: HeldReport) -> tuple[VerifyKey, str]:
        return desk.roster.holder(report.holder).signing_key, str(holder.name)

    report = open_message(HeldReport, tags.HELD, envelope, signer)
    if report.holder != holder.index or report.domain != desk.roster.domain:
        raise Refused("a report is handed in by its holder, in its own domain")
    known = reports(desk).get(holder.index)
    if known is not None and known.number >= report.number:
        return Nothing()
    rows.HELD.put(desk.sealed, holder.index, envelope)
    desk.record(
        "custody.held",
        actor=holder.name,
        summary=f"{holder.name} has fragments of {len(report.claims)} epochs and no others",
        detail=report_hash(envelope),
    )
    return Nothing()


def reports(desk: DomainDesk) -> dict[HolderIndex, HeldReport]:
    """Every holder's newest report, removed ones' too.

    One that cannot be read is left out: then nothing says that its holder has erased anything.
    """
    found = readable(desk.sealed, rows.HELD, _report)
    return {HolderIndex(key[0]): report for key, report in found}


@lru_cache(maxsize=512)  # read for every key; a report changes only with its holder's epochs
def _report(key: bytes, row: bytes) -> HeldReport:
    try:
        return decode(HeldReport, rows.HELD.parsed(key, row).body)
    except MalformedMessage as error:
        raise Corrupt.of_row(rows.HELD, key, "a stored report cannot be read") from error


def with_past(
    watch: Watch, key: KeyRecord, epoch: Hash, record: EpochRecord | EpochView
) -> KeyRecord:
    """The key with one more epoch that it has left; those of which nothing can remain are dropped.

    An attempt that was ended is one too: holders may have stored fragments of it.
    """
    left = PastEpoch(epoch=epoch, threshold=record.threshold, holders=record.holders)
    if any(one.epoch == left.epoch for one in key.past):
        return key
    kept = tuple(one for one in key.past if not watch.dead_for_all(key, one))
    return replace(key, past=(*kept, left))


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A holder that was removed, and when."""

    index: HolderIndex
    at: int


class Watch:
    """What one request sees of old fragments; reports are read once."""

    def __init__(self, desk: DomainDesk) -> None:
        self._desk = desk
        self._held = {
            index: {claim.epoch: frozenset(claim.gone) for claim in report.claims}
            for index, report in reports(desk).items()
        }
        self.removed = tuple(_removed(desk))

    def gone(self, key: KeyRecord, past: PastEpoch, holder: HolderIndex) -> bool:
        """Has this holder said that its fragment of the key in this epoch is erased?"""
        if key.state is KeyState.DESTROYED:
            return holder in key.erased  # it has signed that
        has = self._held.get(holder, {})

        def holds(epoch: Hash) -> bool:
            return epoch in has and key.ref not in has[epoch]

        if holds(past.epoch):
            return False
        place = key.past.index(past) if past in key.past else len(key.past)
        later = [one.epoch for one in key.past[place + 1 :]]
        later += [] if key.live_hash is None else [key.live_hash]
        return any(holds(epoch) for epoch in later)

    def _remaining(self, key: KeyRecord, past: PastEpoch) -> set[HolderIndex]:
        return {index for index in past.holders if not self.gone(key, past, index)}

    def dead_for_all(self, key: KeyRecord, past: PastEpoch) -> bool:
        """Too few remain even if one who has erased its fragment kept a copy of it."""
        return len(self._remaining(key, past)) + 1 < past.threshold

    def removed_fragments(self, key: KeyRecord) -> tuple[RemovedFragment, ...]:
        """For every holder removed since the key was made: is its fragment dead?"""
        return tuple(
            RemovedFragment(holder=one.index, dead=self._dead(key, one.index))
            for one in self.removed
            if one.at >= key.created
        )

    def _dead(self, key: KeyRecord, index: HolderIndex) -> bool:
        left = list(key.past)
        for id_ in (key.live, key.coming):
            view = None if id_ is None else rows.epoch_view(self._desk.sealed, id_)
            if view is None or index not in view.holders:
                continue
            if key.state is not KeyState.DESTROYED or key.live_hash is None:
                return False  # not shared anew yet
            left.append(
                PastEpoch(epoch=key.live_hash, threshold=view.threshold, holders=view.holders)
            )
        return all(
            len(self._remaining(key, past) | {index}) < past.threshold
            for past in left
            if index in past.holders
        )


def _removed(desk: DomainDesk) -> Iterator[Removed]:
    """Every holder that once was in the roster and is not any more."""
    before: set[HolderIndex] = set()
    for roster in desk.known_chain.rosters:
        now = {holder.index for holder in roster.holders}
        for index in sorted(before - now):
            yield Removed(index=index, at=roster.created)
        before = now
