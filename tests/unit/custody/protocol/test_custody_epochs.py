"""Epochs at the authority and their certificates."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from custody_small import small
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import DomainId, Hash, HolderIndex, RosterHash
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.custody.messages.dealing import (
    Acknowledgement,
    Certificate,
    Dealing,
    DealingPackage,
    Statement,
)
from tigertally.custody.protocol.epochs import (
    check_terms,
    next_attempt,
    occasion_of,
    open_acknowledgement,
    verify_certificate,
    with_acknowledgement,
    with_dealing,
)
from tigertally.custody.state.authority import NEXT_EPOCH, EpochRecord, EpochStatus

H = HolderIndex
SMALL = small()


@cache
def made() -> tuple[EpochRecord, tuple[DealingPackage, ...]]:
    tally, verified, body = SMALL.create()
    what = SMALL.occasion(verified, body)
    record = EpochRecord(
        tally=tally,
        proposal=verified.id,
        attempt=1,
        roster=SMALL.roster.hash,
        roster_version=SMALL.roster.version,
        suite=body.suite,
        threshold=3,
        acks=body.acks,
        keys=what.keys,
        base=(),
        holders=what.receivers,
        needed=3,
        dealers=(1, 2, 3),
        dealings=(None, None, None),
    )
    assert occasion_of(record, SMALL.roster.domain) == what
    return record, tuple(SMALL.package(what, dealer) for dealer in (1, 2, 3))


def add(record: EpochRecord, package: DealingPackage) -> EpochRecord:
    return with_dealing(record, package.dealing, decode(Dealing, package.dealing.body))


@cache
def open_record() -> EpochRecord:
    record, packages = made()
    for package in packages:
        record = add(record, package)
    return record


def ack(holder: int, statement: Statement, *, by: int | None = None, time: int = 5) -> Envelope:
    message = Acknowledgement(
        domain=statement.domain, epoch=statement.hash, holder=H(holder), time=time
    )
    return sign_message(SMALL.key(by or holder), tags.ACKNOWLEDGEMENT, message)


@cache
def certified() -> EpochRecord:
    record = open_record()
    for holder in (1, 2, 3, 4):
        record, _ = with_acknowledgement(
            record, ack(holder, record.parsed_statement()), SMALL.roster
        )
    return record


def test_the_last_dealing_opens_the_epoch_in_any_order() -> None:
    record, packages = made()
    statements = set()
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        now = record
        for place in order:
            assert now.status is EpochStatus.DEALING
            now = add(now, packages[place])
        assert now.status is EpochStatus.OPEN
        statements.add(now.statement)
    assert len(statements) == 1
    assert open_record().missing_dealers == ()
    assert open_record().missing == (1, 2, 3, 4)


def test_a_dealer_deals_once_and_only_if_asked() -> None:
    record, packages = made()
    first = add(record, packages[0])
    assert add(first, packages[0]) == first
    assert first.missing_dealers == (2, 3)
    again = SMALL.package(occasion_of(record, SMALL.roster.domain), 1)
    with pytest.raises(Refused):
        add(first, again)
    with pytest.raises(Refused):
        add(open_record(), again)
    stranger = SMALL.package(occasion_of(record, SMALL.roster.domain), 4)
    with pytest.raises(Refused):
        add(record, stranger)


def test_acknowledgements_are_counted_once_each_until_there_are_enough() -> None:
    record = open_record()
    statement = record.parsed_statement()
    for count, holder in enumerate((4, 2, 1), start=1):
        record, said = with_acknowledgement(record, ack(holder, statement), SMALL.roster)
        assert (said.holder, len(record.acknowledged)) == (holder, count)
        again, _ = with_acknowledgement(record, ack(holder, statement, time=9), SMALL.roster)
        assert again == record
        assert record.status is EpochStatus.OPEN
        with pytest.raises(Refused):
            record.certificate()
    record, _ = with_acknowledgement(record, ack(3, statement), SMALL.roster)
    assert record.status is EpochStatus.CERTIFIED
    assert verify_certificate(record.certificate(), SMALL.roster) == statement


@pytest.mark.requirement("X3")
def test_what_is_no_acknowledgement_of_this_epoch() -> None:
    record = open_record()
    statement = record.parsed_statement()
    other = replace(statement, attempt=2)
    with pytest.raises(Refused):
        with_acknowledgement(record, ack(1, other), SMALL.roster)
    with pytest.raises(InvalidSignature):
        with_acknowledgement(record, ack(1, statement, by=2), SMALL.roster)
    with pytest.raises(Refused):
        open_acknowledgement(ack(77, statement, by=2), SMALL.roster)
    dealing, _ = made()
    with pytest.raises(Refused):
        with_acknowledgement(dealing, ack(1, statement), SMALL.roster)
    ended = record.moved_to(EpochStatus.ABORTED)
    with pytest.raises(Refused):
        with_acknowledgement(ended, ack(1, statement), SMALL.roster)


def test_the_table_of_states() -> None:
    record, _ = made()
    for before in EpochStatus:
        for after in EpochStatus:
            here = replace(record, status=before)
            if after in NEXT_EPOCH[before]:
                assert here.moved_to(after, "why").status is after
            else:
                with pytest.raises(Refused):
                    here.moved_to(after)
    assert NEXT_EPOCH[EpochStatus.CERTIFIED] == frozenset()  # a certified epoch never ends


def test_the_next_attempt_begins_with_nothing_and_without_the_convicted() -> None:
    record = open_record()
    following = next_attempt(record, number=record.attempt + 1, without=frozenset({2}))
    assert (following.attempt, following.dealers) == (2, (1, 3))
    assert following.dealings == (None, None)
    assert (following.statement, following.acknowledged) == (b"", ())
    assert following.status is EpochStatus.DEALING
    with pytest.raises(Refused):
        next_attempt(record, number=2, without=frozenset({1, 2, 3}))


@pytest.mark.requirement("X3")
def test_certificates_that_are_none_name_the_authority() -> None:
    good = certified().certificate()
    statement = decode(Statement, good.statement)
    acks = good.acknowledgements
    other = replace(statement, attempt=2)
    bad = {
        "too few": replace(good, acknowledgements=acks[:3]),
        "one twice": replace(good, acknowledgements=(*acks[:3], acks[0])),
        "mixed": replace(good, acknowledgements=(*acks[:3], ack(4, other))),
        "another statement": replace(good, statement=encode(other)),
        "forged": replace(good, acknowledgements=(*acks[:3], ack(4, statement, by=3))),
        "none": replace(good, acknowledgements=()),
    }
    for name, certificate in bad.items():
        with pytest.raises(PeerFault) as caught:
            pytest.fail(f"{name}: {verify_certificate(certificate, SMALL.roster)}")
        assert caught.value.culprits == ("authority",)
    with pytest.raises(MalformedMessage):
        verify_certificate(replace(good, statement=b""), SMALL.roster)
    stranger = Certificate(statement=good.statement, acknowledgements=(ack(9, statement, by=1),))
    with pytest.raises(Refused):
        verify_certificate(stranger, SMALL.roster)


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(
    "changes",
    [
        {"domain": DomainId(bytes(32))},
        {"roster": RosterHash(bytes(32))},
        {"roster_version": 1},
        {"threshold": 2},
        {"holders": (H(1), H(2), H(3), H(5))},
        {"acks": 2},
    ],
)
def test_an_epoch_is_on_the_terms_of_its_roster(changes: dict[str, object]) -> None:
    """Else fewer than a quorum, with the authority, could state an epoch of their own."""
    statement = certified().parsed_statement()
    check_terms(statement, SMALL.roster)
    with pytest.raises(PeerFault) as caught:
        check_terms(replace(statement, **changes), SMALL.roster)
    assert caught.value.culprits == ("authority",)


def test_a_statement_is_a_function_of_the_dealings_alone() -> None:
    statement = open_record().parsed_statement()
    assert statement.commitments != tuple(
        decode(Dealing, package.dealing.body).commitments[0] for package in made()[1][:1]
    )
    assert [ref.dealer for ref in statement.dealers] == [1, 2, 3]
    assert len({ref.dealing for ref in statement.dealers} | {Hash(bytes(32))}) == 4
