"""The authority's one-shot child: the only place where a `shamir-gf256` key is ever whole.

`python -m tigertally.custody.service.child` reads one job from standard input, writes one result
to standard output and ends; so the key lives for milliseconds, in a process of its own that the
system then takes back with all its memory. Core dumps and ptrace are off. Nothing is written.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, TigertallyError, Unavailable
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.base.process import harden
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey, PublicKey
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import AUTHORITY, Slot, Statement
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.release import Contribution, WrappedFragment
from tigertally.custody.protocol.dealing import Occasion, draw_sharing, join_sharings, wrap_pieces
from tigertally.custody.protocol.receive_keys import newest_by_holder
from tigertally.custody.protocol.release import collect, rebuild_for_requester
from tigertally.custody.protocol.suites import SHAMIR
from tigertally.quorum.roster import Roster

# What the child needs of our environment: where Python is, and the mark of a test run.
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "TALLY_TEST_RUN")
_SECONDS = 60.0  # a job takes milliseconds; a machine that needs this long is in trouble


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
class Job:
    """Exactly one of the three."""

    deal: DealJob | None
    rebuild: RebuildJob | None
    reshare: ReshareJob | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Exactly one of the two, or an error in words that hold nothing secret."""

    dealt: Dealt | None
    rebuilt: RebuiltKey | None
    error: str


def work(job: Job) -> Result:
    """Do one job, inside the child."""
    if job.deal is not None:
        return Result(dealt=_deal(job.deal), rebuilt=None, error="")
    if job.rebuild is not None:
        return Result(dealt=None, rebuilt=_rebuild(job.rebuild), error="")
    if job.reshare is not None:
        return _reshare(job.reshare)
    return Result(dealt=None, rebuilt=None, error="an empty job")


def _deal(job: DealJob) -> Dealt:
    published = newest_by_holder(job.receive_keys, job.roster)
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
            rebuilt = RebuiltKey(wrapped=None, faulty=collected.faulty)
            return Result(dealt=None, rebuilt=rebuilt, error="")
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
    published = newest_by_holder(job.receive_keys, job.roster)
    pieces, slots = wrap_pieces(job.occasion, AUTHORITY, commitments, payloads, published)
    dealt = Dealt(commitments=commitments, pieces=pieces, slots=slots)
    return Result(dealt=dealt, rebuilt=None, error="")


def main() -> None:
    """The child's whole life."""
    harden()
    raw = sys.stdin.buffer.read(MAX_MESSAGE_BYTES + 1)
    try:
        result = work(decode(Job, raw))
    except TigertallyError as error:
        result = Result(dealt=None, rebuilt=None, error=str(error)[:300])
    sys.stdout.buffer.write(encode(result))
    sys.stdout.buffer.flush()


async def run_child(job: Job) -> Result:
    """Give a job to a fresh child process and wait for its result.

    Raises:
        Unavailable: the child could not be started or did not finish.
        PeerFault: it says that the job cannot be done (names nobody).
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "tigertally.custody.service.child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    )
    try:
        async with asyncio.timeout(_SECONDS):
            output, _ = await process.communicate(encode(job))
    except TimeoutError as error:
        raise Unavailable("the one-shot child did not finish in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Unavailable(f"the one-shot child ended with {process.returncode}")
    result = decode(Result, output)
    if result.error:
        raise PeerFault(f"the one-shot child: {result.error}")
    return result


if __name__ == "__main__":
    main()
