"""Epochs: one state machine for creating a key and for sharing it anew. No I/O.

The authority's side (`opened`, `with_dealing`, `with_acknowledgement`, `aborted`) and what both
compute alike (`statement_of`, `verify_certificate`): docs/protocols/custody-create.md, "Epochs".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused, UsageError
from tigertally.base.ids import DomainId, HolderIndex, RosterHash
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.base_key import base_hash
from tigertally.custody.messages.dealing import (
    Acknowledgement,
    Certificate,
    DealerRef,
    Dealing,
    Statement,
    dealing_hash,
)
from tigertally.custody.protocol.dealing import Occasion, check_form, dealer_name
from tigertally.custody.protocol.relayed import shown_by_authority
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.state.authority import EpochRecord, EpochStatus
from tigertally.quorum.roster import Roster, open_from_holder


class NoDealerLeft(Refused):
    """Every dealer of a new key has been convicted: it has to be proposed again."""


def occasion_of(record: EpochRecord, domain: DomainId) -> Occasion:
    """Return what the dealings of this attempt must be for."""
    return Occasion(
        domain=domain,
        proposal=record.proposal,
        attempt=record.attempt,
        suite=record.suite,
        threshold=record.threshold,
        base=base_hash(record.base),
        keys=record.keys,
        receivers=record.holders,
    )


def statement_of(
    occasion: Occasion,
    dealings: Sequence[tuple[Envelope, Dealing]],
    *,
    roster: RosterHash,
    roster_version: int,
    acks: int,
) -> Statement:
    """Return what the dealings of one attempt add up to.

    A function of signed bytes alone, so honest holders state the same.

    Raises:
        PeerFault: the sum of two dealers' commitments is degenerate (negligible if honest).
        MalformedMessage, UsageError: some dealer's commitments are no points.
    """
    parsed = [dealing for _, dealing in dealings]
    sums = tuple(combined_commitments(occasion, i, parsed) for i in range(len(occasion.keys)))
    dealers = tuple(
        DealerRef(dealer=dealing.dealer, dealing=dealing_hash(envelope))
        for envelope, dealing in dealings
    )
    return Statement(
        domain=occasion.domain,
        proposal=occasion.proposal,
        attempt=occasion.attempt,
        roster=roster,
        roster_version=roster_version,
        suite=occasion.suite,
        threshold=occasion.threshold,
        acks=acks,
        base=occasion.base,
        keys=occasion.keys,
        commitments=sums,
        dealers=dealers,
        holders=occasion.receivers,
    )


def statement_shown(
    occasion: Occasion, dealings: Sequence[tuple[Envelope, Dealing]], *, roster: Roster, acks: int
) -> Statement:
    """Return `statement_of` for a receiver, to whom the authority shows dealings.

    Raises:
        PeerFault: a dealer's commitments are no points (named, sure); or as `statement_of`.
    """
    try:
        return statement_of(
            occasion, dealings, roster=roster.hash, roster_version=roster.version, acks=acks
        )
    except (MalformedMessage, UsageError):  # the sum is no commitment: whose part is none?
        for _, dealing in dealings:
            check_form(dealing, dealer_name(roster, dealing.dealer), points=True)
        raise


def combined_commitments(occasion: Occasion, place: int, dealings: Sequence[Dealing]) -> bytes:
    """Return what the dealers' commitments to one key add up to.

    A plain sum for a new key; a sum with Lagrange's coefficients in a reshare.
    """
    rules = SUITES[occasion.suite]
    if occasion.base is None:
        return rules.sum_commitments([dealing.commitments[place] for dealing in dealings])
    return rules.join_commitments(
        {dealing.dealer: dealing.commitments[place] for dealing in dealings}
    )


def with_dealing(record: EpochRecord, envelope: Envelope, dealing: Dealing) -> EpochRecord:
    """Return the record with a checked dealing; with enough of them it is open.

    Raises:
        Refused: nobody waits for this dealer, or it dealt otherwise before.
    """
    if dealing.dealer not in record.dealers:
        raise Refused(f"dealer {dealing.dealer} is not a dealer of this epoch")
    place = record.dealers.index(dealing.dealer)
    if record.dealings[place] == envelope:
        return record  # sent once more: the answer was lost
    if record.dealings[place] is not None or record.status is not EpochStatus.DEALING:
        raise Refused(f"dealer {dealing.dealer} has dealt already")
    dealings = (*record.dealings[:place], envelope, *record.dealings[place + 1 :])
    record = replace(record, dealings=dealings)
    there = sum(dealing is not None for dealing in record.dealings)
    return record if there < record.needed else opened(record, dealing.domain)


def opened(record: EpochRecord, domain: DomainId) -> EpochRecord:
    """Return the record as an open epoch: those who have dealt are its dealers from now on."""
    pairs = zip(record.dealers, record.dealings, strict=True)
    present = [(dealer, envelope) for dealer, envelope in pairs if envelope is not None]
    record = replace(
        record,
        dealers=tuple(dealer for dealer, _ in present),
        dealings=tuple(envelope for _, envelope in present),
    )
    parsed = [(envelope, decode(Dealing, envelope.body)) for _, envelope in present]
    statement = statement_of(
        occasion_of(record, domain),
        parsed,
        roster=record.roster,
        roster_version=record.roster_version,
        acks=record.acks,
    )
    return replace(record.moved_to(EpochStatus.OPEN), statement=encode(statement))


def open_acknowledgement(envelope: Envelope, roster: Roster) -> Acknowledgement:
    """Verify an acknowledgement under its holder's key and return it.

    Raises:
        MalformedMessage, InvalidSignature, Refused
    """
    return open_from_holder(
        Acknowledgement, tags.ACKNOWLEDGEMENT, envelope, roster, lambda said: said.holder
    )


def with_acknowledgement(
    record: EpochRecord, envelope: Envelope, roster: Roster
) -> tuple[EpochRecord, Acknowledgement]:
    """Return the record with one more acknowledgement; with `acks` of them it is certified.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: another epoch, or the epoch takes none.
    """
    ack = open_acknowledgement(envelope, roster)
    if record.status not in (EpochStatus.OPEN, EpochStatus.CERTIFIED):
        raise Refused(f"the epoch is {record.status.value}")
    if ack.epoch != record.epoch or ack.holder not in record.holders:
        raise Refused("the acknowledgement is for another epoch")
    if ack.holder in record.acknowledged:
        return record, ack  # sent once more: the answer was lost
    record = replace(
        record,
        acknowledgements=(*record.acknowledgements, envelope),
        acknowledged=tuple(sorted((*record.acknowledged, ack.holder))),
    )
    # Holders go on acknowledging a certified epoch: each is one more donor of the next reshare.
    enough = len(record.acknowledged) >= record.acks
    if enough and record.status is EpochStatus.OPEN:
        record = record.moved_to(EpochStatus.CERTIFIED)
    return record, ack


def next_attempt(record: EpochRecord, *, number: int, without: frozenset[int]) -> EpochRecord:
    """Return a new attempt with fresh dealings by the same dealers, less those convicted.

    Raises:
        NoDealerLeft
    """
    dealers = tuple(dealer for dealer in record.dealers if dealer not in without)
    if not dealers:
        raise NoDealerLeft("no honest dealer is left", advice="propose the operation again")
    # A new key is the sum of what its dealers deal, however many they are.
    return replace(
        record,
        attempt=number,
        dealers=dealers,
        dealings=(None,) * len(dealers),
        needed=min(record.needed, len(dealers)) if record.base == () else record.needed,
        status=EpochStatus.DEALING,
        statement=b"",
        acknowledgements=(),
        acknowledged=(),
    )


def verify_certificate(certificate: Certificate, roster: Roster) -> Statement:
    """Check that enough holders of this roster acknowledged exactly this epoch. Return it.

    At least a quorum of them: so among the signers is one whose device checked that the epoch is
    what a tally and its dealings make, even if fewer than a quorum conspire with the authority.

    Args:
        roster: the epoch's own.

    Raises:
        MalformedMessage, InvalidSignature, Refused
        PeerFault: too few acknowledgements, or of another epoch, or an epoch of other terms than
            this roster's.
    """
    statement = decode(Statement, certificate.statement)
    check_terms(statement, roster)
    if len(certificate.acknowledgements) > len(statement.holders):
        raise PeerFault(  # what cannot count is not verified either
            "a certificate with more acknowledgements than holders", culprits=("authority",)
        )
    wanted = statement.hash
    who: set[HolderIndex] = set()
    for envelope in certificate.acknowledgements:
        with shown_by_authority():
            ack = open_acknowledgement(envelope, roster)
        if ack.epoch != wanted or ack.holder not in statement.holders:
            raise PeerFault("a certificate of mixed acknowledgements", culprits=("authority",))
        who.add(ack.holder)
    if len(who) < statement.acks:
        raise PeerFault(
            f"a certificate with {len(who)} of {statement.acks} acknowledgements",
            culprits=("authority",),
        )
    return statement


def check_terms(statement: Statement, roster: Roster) -> None:
    """Check that this epoch is on its roster's terms: its holders, its quorum, its acks.

    Raises:
        PeerFault: it is not; no honest holder acknowledged it.
    """
    holders = tuple(holder.index for holder in roster.holders)
    fits = (
        statement.domain == roster.domain
        and statement.roster == roster.hash
        and statement.roster_version == roster.version
        and statement.threshold == roster.threshold
        and statement.holders == holders
        and roster.threshold <= statement.acks <= len(holders)
    )
    if not fits:
        raise PeerFault("a certificate of an epoch on other terms", culprits=("authority",))
