"""The authority's one-shot child: the only place where a `shamir-gf256` key is ever whole.

`python -m tigertally.custody.service.child` does one job and ends (`host/child.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey, PublicKey
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import AUTHORITY, Slot, Statement
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.release import Contribution, WrappedFragment
from tigertally.custody.protocol.dealing import Occasion, draw_sharing, join_sharings, wrap_pieces
from tigertally.custody.protocol.release import collect, rebuild_for_requester
from tigertally.custody.protocol.suites import SHAMIR
from tigertally.host.child import child_main, in_child
from tigertally.quorum.receive_keys import newest_by_holder
from tigertally.quorum.roster import Roster

_MODULE = "tigertally.custody.service.child"


@dataclass(frozen=True, slots=True, kw_only=True)
class DealJob:
    """Draw keys, split them, wrap the pieces."""

    occasion: Occasion
    receive_keys: tuple[Envelope, ...]
    roster: Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildJob:
    """Open fragments, rebuild a key, wrap it to the requester. `seed` opens the fragments."""

    seed: bytes
    fragments: tuple[WrappedFragment, ...]
    statement: bytes
    key: KeyRef
    proposal: ProposalId
    roster: Roster
    requester: PublicKey

    @property
    def epoch(self) -> Hash:
        """The epoch that the fragments are of."""
        return decode(Statement, self.statement).hash

    def __repr__(self) -> str:
        return f"RebuildJob({self.key})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshareJob:
    """Rebuild keys from donors' fragments and split them anew. `seed` opens the fragments."""

    seed: bytes
    contributions: tuple[Contribution, ...]
    base: tuple[BaseKey, ...]
    statements: tuple[bytes, ...]
    occasion: Occasion
    receive_keys: tuple[Envelope, ...]
    roster: Roster

    def __repr__(self) -> str:
        return f"ReshareJob({len(self.base)} keys)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What a deal job makes; the parent signs it."""

    commitments: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltKey:
    """What a rebuild job makes: the wrapped key, or the holders whose fragments are wrong."""

    wrapped: bytes | None
    faulty: tuple[HolderIndex, ...]


Job = DealJob | RebuildJob | ReshareJob
Result = Dealt | RebuiltKey

_SORTS = {one.__name__: one for one in (DealJob, RebuildJob, ReshareJob, Dealt, RebuiltKey)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """A job or a result, and which sort it is. `body` may hold a seed: no text shows it."""

    sort: str
    body: bytes = field(repr=False)


def packed(one: Job | Result) -> bytes:
    """Encode a job or a result with its sort."""
    return encode(_Packed(sort=type(one).__name__, body=encode(one)))


def unpacked(raw: bytes) -> Any:
    """Decode a job or a result.

    Raises:
        MalformedMessage: it is neither.
    """
    found = decode(_Packed, raw)
    sort = _SORTS.get(found.sort)
    if sort is None:
        raise MalformedMessage("neither a job nor the result of one")
    return decode(sort, found.body)


def work(job: Job) -> Result:
    """Do one job, inside the child."""
    match job:
        case DealJob():
            return _deal(job)
        case RebuildJob():
            return _rebuild(job)
        case ReshareJob():
            return _reshare(job)


def _deal(job: DealJob) -> Dealt:
    published = newest_by_holder(job.receive_keys, job.roster.domain, job.roster.signer)
    commitments, payloads = draw_sharing(job.occasion, SystemRandomness())
    pieces, slots = wrap_pieces(job.occasion, AUTHORITY, commitments, payloads, published)
    return Dealt(commitments=commitments, pieces=pieces, slots=slots)


def _rebuild(job: RebuildJob) -> RebuiltKey:
    statement = decode(Statement, job.statement)
    private = PrivateKey(Secret(job.seed))
    collected = collect(
        job.fragments,
        statement,
        job.key,
        proposal=job.proposal,
        roster=job.roster,
        private=private,
    )
    if len(collected.payloads) < statement.threshold:
        return RebuiltKey(wrapped=None, faulty=collected.faulty)
    wrapped = rebuild_for_requester(collected, statement, job.key, job.proposal, job.requester)
    return RebuiltKey(wrapped=wrapped, faulty=collected.faulty)


def _reshare(job: ReshareJob) -> Result:
    """For a moment each key is whole here; then it is split for the new holders."""
    private = PrivateKey(Secret(job.seed))
    sharings = []
    for place, one in enumerate(job.base):
        statement = decode(Statement, job.statements[place])
        fragments = tuple(sent.fragments[place] for sent in job.contributions)
        collected = collect(
            fragments,
            statement,
            key=one.ref,
            proposal=job.occasion.proposal,
            roster=job.roster,
            private=private,
        )
        if len(collected.payloads) < statement.threshold:
            return RebuiltKey(wrapped=None, faulty=collected.faulty)
        with SHAMIR.rebuild_pair(one.commitments, collected.payloads) as pair:
            sharings.append(
                SHAMIR.split(
                    pair,
                    threshold=job.occasion.threshold,
                    receivers=job.occasion.receivers,
                    randomness=SystemRandomness(),
                )
            )
    commitments, payloads = join_sharings(job.occasion, sharings)
    published = newest_by_holder(job.receive_keys, job.roster.domain, job.roster.signer)
    pieces, slots = wrap_pieces(job.occasion, AUTHORITY, commitments, payloads, published)
    return Dealt(commitments=commitments, pieces=pieces, slots=slots)


async def run_child(job: Job) -> Result:
    """Give a job to a fresh child process and return its result.

    Raises:
        Unavailable, PeerFault: as `in_child` does.
    """
    result: Result = unpacked(await in_child(_MODULE, packed(job)))
    return result


if __name__ == "__main__":
    child_main(lambda job: packed(work(unpacked(job))))
