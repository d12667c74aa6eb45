"""A holder's decisions about an epoch: take it, complain, say that a key is gone, refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from custody_small import NOW, small
from custody_thief import spoil
from tigertally.algebra import ed25519
from tigertally.algebra.ed25519 import ORDER
from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import Hash, HolderIndex, ProposalId, RosterHash
from tigertally.base.secret import Secret
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.dealing import (
    AUTHORITY,
    Certificate,
    Complaint,
    Conviction,
    Dealing,
    DealingPackage,
    Erased,
    Opening,
    Statement,
)
from tigertally.custody.messages.kinds import Suite
from tigertally.custody.messages.sync import DealRequest
from tigertally.custody.protocol.complaints import judge, sign_complaint
from tigertally.custody.protocol.epochs import open_acknowledgement
from tigertally.custody.protocol.receiver import (
    Complained,
    KeyGone,
    Outcome,
    Stored,
    acknowledge_again,
    check_certifiable,
    check_deal_request,
    check_made_once,
    check_opening,
    expected_dealers,
    receive_opening,
)
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.state.holder import HeldEpoch

H = HolderIndex
SMALL = small()


def shown(
    receiver: int = 4,
    *,
    suite: Suite = Suite.PEDERSEN_ED25519,
    bends: dict[int, dict[str, object]] | None = None,
    **create: object,
) -> tuple[Opening, list[DealingPackage]]:
    tally, verified, body = SMALL.create(suite=suite, **create)
    what = SMALL.occasion(verified, body)
    dealers = expected_dealers(verified, body, frozenset())
    packages = [SMALL.package(what, d, **(bends or {}).get(d, {})) for d in dealers]
    return SMALL.opening(tally, packages, receiver), packages


def receive(
    opening: Opening, receiver: int = 4, seed_for: Callable[..., bytes | None] | None = None
) -> Outcome:
    return receive_opening(
        opening,
        SMALL.chain,
        H(receiver),
        seed_for=seed_for or SMALL.seed_for(receiver),
        known=lambda ref: (),
        key=SMALL.key(receiver),
        now=NOW,
    )


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_good_opening_is_stored_and_acknowledged_alike_by_all(suite: Suite) -> None:
    _, packages = shown(suite=suite)
    tally, verified, body = SMALL.create(suite=suite)
    what = SMALL.occasion(verified, body)
    packages = [SMALL.package(what, d) for d in expected_dealers(verified, body, frozenset())]
    statements, payloads = set(), {}
    for receiver in range(1, 5):
        outcome = receive(SMALL.opening(tally, packages, receiver), receiver)
        assert isinstance(outcome, Stored)
        statements.add(outcome.held.statement)
        payloads[H(receiver)] = Secret(outcome.held.payloads[0])
        said = open_acknowledgement(outcome.acknowledgement, SMALL.roster)
        assert (said.holder, said.epoch) == (receiver, outcome.held.parsed().hash)
        assert outcome.held.certificate is None
        again = acknowledge_again(outcome.held, H(receiver), key=SMALL.key(receiver), now=NOW)
        assert again == outcome.acknowledgement
    assert len(statements) == 1
    commitments = decode(Statement, statements.pop()).commitments[0]
    three = {i: payloads[i] for i in (H(1), H(2), H(4))}
    assert len(SUITES[suite].rebuild(commitments, three)) == 32


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("liar", [1, 2, 3])
def test_a_complaint_names_exactly_the_liar_and_a_third_party_agrees(liar: int) -> None:
    opening, packages = shown(bends={liar: {"bend": spoil(4)}})
    outcome = receive(opening)
    assert isinstance(outcome, Complained)
    assert outcome.culprit == f"h{liar}"
    said = decode(Complaint, outcome.complaint.body)
    assert (said.accused, said.complainer) == (liar, 4)
    with SMALL.rig.devices["h4"].store.reading() as reader:
        newest = device_rows.newest_bundle(reader)
    assert newest is not None
    evidence = Conviction(
        complaint=outcome.complaint,
        dealing=packages[liar - 1].dealing,
        piece=packages[liar - 1].pieces[3],
        receive_keys=newest[0],
    )
    verified, body = SMALL.create()[1:]
    what = replace(SMALL.occasion(verified, body), proposal=said.proposal)
    assert judge(evidence, what, SMALL.roster) == liar


@pytest.mark.requirement("X3")
def test_others_than_the_cheated_one_take_their_fragments() -> None:
    tally, verified, body = SMALL.create()
    what = SMALL.occasion(verified, body)
    packages = [SMALL.package(what, d, **({"bend": spoil(4)} if d == 2 else {})) for d in (1, 2, 3)]
    for receiver in (1, 2, 3):
        assert isinstance(receive(SMALL.opening(tally, packages, receiver), receiver), Stored)


def shifted(by: int) -> Callable[[dict[HolderIndex, Secret]], None]:
    """Give holder 4 a value that is so much too large."""

    def bend(payloads: dict[HolderIndex, Secret]) -> None:
        raw = payloads[H(4)].to_secret_bytes()
        value = (int.from_bytes(raw[:32], "little") + by) % ORDER
        payloads[H(4)] = Secret(value.to_bytes(32, "little") + raw[32:])

    return bend


@pytest.mark.requirement("X3")
def test_it_is_the_sum_that_counts() -> None:
    """Two conspiring dealers may bend pieces against each other: that harms nobody."""
    opening, _ = shown(bends={1: {"bend": shifted(7)}, 2: {"bend": shifted(-7)}})
    assert isinstance(receive(opening), Stored)
    opening, _ = shown(bends={1: {"bend": shifted(7)}, 2: {"bend": shifted(-6)}})
    outcome = receive(opening)
    assert isinstance(outcome, Complained)
    assert outcome.culprit == "h1"  # the first of them; the next attempt finds the other


def test_a_receive_key_that_is_gone_blames_nobody() -> None:
    opening, _ = shown()
    outcome = receive(opening, seed_for=lambda bundle, sender: None)
    assert isinstance(outcome, KeyGone)
    assert decode(Erased, outcome.notice.body).holder == 4


@pytest.mark.requirement("X3")
def test_a_piece_that_a_relay_changed_blames_no_dealer() -> None:
    opening, _ = shown()
    for pieces in (opening.pieces[::-1], (b"", *opening.pieces[1:])):
        with pytest.raises(MalformedMessage):
            receive(replace(opening, pieces=pieces))


def less(opening: Opening, *places: int) -> Opening:
    return replace(
        opening,
        dealings=tuple(opening.dealings[i] for i in places),
        pieces=tuple(opening.pieces[i] for i in places),
    )


@pytest.mark.requirement("X3")
@pytest.mark.requirement("C7")
def test_openings_that_a_tally_does_not_bear_out() -> None:
    opening, _ = shown()
    check_opening(opening, SMALL.chain)
    other, _ = shown()
    bad: dict[str, tuple[Opening, type[Exception], tuple[str, ...]]] = {
        "a dealer less": (less(opening, 0, 1), PeerFault, ("authority",)),
        "another order": (less(opening, 1, 0, 2), PeerFault, ("authority",)),
        "one dealer twice": (less(opening, 0, 1, 1), PeerFault, ("authority",)),
        "a foreign dealing": (
            replace(opening, dealings=(*opening.dealings[:2], other.dealings[2])),
            PeerFault,
            ("authority",),
        ),
        "another attempt": (replace(opening, attempt=2), PeerFault, ("authority",)),
        "too few approvals": (
            replace(
                opening,
                tally=replace(opening.tally, approvals=opening.tally.approvals[:2]),
            ),
            Refused,
            (),
        ),
        "forged approvals": (
            replace(
                opening,
                tally=replace(
                    opening.tally,
                    approvals=(
                        *opening.tally.approvals[:2],
                        replace(
                            opening.tally.approvals[2],
                            signature=opening.tally.approvals[1].signature,
                        ),
                    ),
                ),
            ),
            InvalidSignature,
            ("authority",),
        ),
        "an unknown roster": (replace(opening, roster=RosterHash(bytes(32))), Refused, ()),
    }
    for name, (one, error, culprits) in bad.items():
        with pytest.raises(error) as caught:
            pytest.fail(f"{name}: {check_opening(one, SMALL.chain)}")
        assert getattr(caught.value, "culprits", ()) == culprits, name


def test_a_tally_of_another_kind_opens_nothing() -> None:
    tally, _ = SMALL.release()
    opening, _ = shown()
    with pytest.raises(Refused, match="opens no epoch"):
        check_opening(replace(opening, tally=tally), SMALL.chain)


@pytest.mark.parametrize("acks", [1, 2])
def test_fewer_acknowledgements_than_a_quorum_are_refused_by_the_device_too(acks: int) -> None:
    opening, _ = shown(acks=acks)
    with pytest.raises(Refused, match="acks"):
        check_opening(opening, SMALL.chain)


ORDER_2 = bytes.fromhex("ec" + "ff" * 30 + "7f")
NOT_ON_THE_CURVE = bytes([2]) + bytes(31)


def last_point(change: Callable[[bytes], bytes]) -> Callable[..., tuple[bytes]]:
    return lambda c: (c[0][:-32] + change(c[0][-32:]),)


def with_torsion(point: bytes) -> bytes:
    return bytes(ed25519.add(ed25519.Element(point), ed25519.Element.unchecked(ORDER_2)))


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(
    "bend",
    [
        last_point(lambda _: b""),
        last_point(lambda _: ORDER_2),
        last_point(with_torsion),
        last_point(lambda _: NOT_ON_THE_CURVE),
    ],
    ids=["a point short", "small order", "outside the subgroup", "not on the curve"],
)
def test_a_visible_lie_in_a_dealing_names_its_dealer(bend: object) -> None:
    opening, _ = shown(bends={3: {"bend_commitments": bend}})
    with pytest.raises(PeerFault) as caught:
        check_opening(opening, SMALL.chain)
    assert (caught.value.culprits, caught.value.sure) == (("h3",), True)


# --- later attempts -------------------------------------------------------------------------


def convicting(liar: int = 2) -> tuple[object, object, object, Conviction]:
    tally, verified, body = SMALL.create()
    what = SMALL.occasion(verified, body)
    bad = SMALL.package(what, liar, bend=spoil(4))
    dealing = decode(Dealing, bad.dealing.body)
    seed = SMALL.seed_for(4)(dealing.slot_of(H(4)).bundle, liar)
    assert seed is not None
    complaint = Complaint(
        domain=what.domain,
        proposal=what.proposal,
        attempt=1,
        complainer=H(4),
        accused=liar,
        number=dealing.slot_of(H(4)).number,
        seed=seed,
    )
    with SMALL.rig.devices["h4"].store.reading() as reader:
        newest = device_rows.newest_bundle(reader)
    assert newest is not None
    evidence = Conviction(
        complaint=sign_complaint(SMALL.key(4), complaint),
        dealing=bad.dealing,
        piece=bad.pieces[3],
        receive_keys=newest[0],
    )
    return tally, verified, body, evidence


@pytest.mark.requirement("X3")
def test_the_next_attempt_is_dealt_by_all_but_the_convicted() -> None:
    tally, verified, body, evidence = convicting()
    what = SMALL.occasion(verified, body, 2)
    packages = {d: SMALL.package(what, d) for d in (1, 2, 3)}
    without = SMALL.opening(
        tally, [packages[1], packages[3]], 4, attempt=2, convictions=(evidence,)
    )
    statement, _, _ = check_opening(without, SMALL.chain)
    assert [ref.dealer for ref in statement.dealers] == [1, 3]
    for dealers, proofs in (((1, 3), ()), ((1, 2, 3), (evidence,)), ((3,), (evidence,))):
        opening = SMALL.opening(
            tally, [packages[d] for d in dealers], 4, attempt=2, convictions=proofs
        )
        with pytest.raises(PeerFault) as caught:
            check_opening(opening, SMALL.chain)
        assert caught.value.culprits == ("authority",)
    rubbish = replace(evidence, piece=b"")
    for proofs in ((rubbish,), (evidence, rubbish)):
        opening = SMALL.opening(tally, [packages[1], packages[3]], 4, attempt=2, convictions=proofs)
        with pytest.raises(PeerFault) as caught:
            check_opening(opening, SMALL.chain)
        assert caught.value.culprits == ("authority",)


@pytest.mark.requirement("X3")
def test_a_conviction_of_this_very_attempt_is_none() -> None:
    tally, verified, body, evidence = convicting()
    what = SMALL.occasion(verified, body, 1)
    packages = [SMALL.package(what, d) for d in (1, 3)]
    with pytest.raises(PeerFault):
        check_opening(SMALL.opening(tally, packages, 4, convictions=(evidence,)), SMALL.chain)


def test_who_may_be_asked_to_deal_again() -> None:
    tally, verified, body, evidence = convicting()
    ask = DealRequest(
        tally=tally, attempt=2, roster=SMALL.roster.hash, base=(), convictions=(evidence,)
    )
    assert check_deal_request(ask, SMALL.chain, H(1)) == SMALL.occasion(verified, body, 2)
    for holder in (2, 4):  # convicted; not an approver
        with pytest.raises(Refused, match="not a dealer"):
            check_deal_request(ask, SMALL.chain, H(holder))
    with pytest.raises(Refused):
        check_deal_request(replace(ask, attempt=1, convictions=()), SMALL.chain, H(1))
    few = replace(tally, approvals=tally.approvals[:2])
    with pytest.raises(Refused):
        check_deal_request(replace(ask, tally=few), SMALL.chain, H(1))
    release, _ = SMALL.release()
    with pytest.raises(Refused):
        check_deal_request(replace(ask, tally=release, convictions=()), SMALL.chain, H(1))


def test_the_authority_alone_deals_its_own_suite() -> None:
    _, verified, body = SMALL.create(suite=Suite.SHAMIR_GF256)
    assert expected_dealers(verified, body, frozenset()) == (AUTHORITY,)
    _, verified, body = SMALL.create(by=(4, 1, 3))
    assert expected_dealers(verified, body, frozenset({3})) == (1, 4)


# --- a key is made once ---------------------------------------------------------------------


def held(attempt: int, *, certified: bool, version: int = 5, proposal: int = 1) -> HeldEpoch:
    opening, _ = shown()
    statement, _, _ = check_opening(opening, SMALL.chain)
    statement = replace(
        statement,
        attempt=attempt,
        roster_version=version,
        proposal=ProposalId(bytes([proposal]) * 32),
    )
    raw = encode(statement)
    proof = Certificate(statement=raw, acknowledgements=()) if certified else None
    return HeldEpoch(statement=raw, payloads=(b"x",), certificate=proof)


@pytest.mark.requirement("C12")
@pytest.mark.parametrize(
    ("has", "asked", "error"),
    [
        (None, (1, 1, 5), None),
        (held(1, certified=False), (1, 2, 5), None),  # the first attempt failed
        (held(1, certified=True), (1, 2, 5), PeerFault),  # the key exists
        (held(2, certified=False), (1, 1, 5), Refused),  # a slow answer
        (held(2, certified=True), (1, 1, 5), Refused),
        (held(1, certified=False), (2, 1, 5), PeerFault),  # the same name, made twice at once
        (held(1, certified=True), (2, 1, 6), PeerFault),
        (held(1, certified=False), (2, 1, 6), None),  # given up when holders changed
        (held(1, certified=False), (2, 1, 4), Refused),  # a slow answer
    ],
)
def test_what_a_device_takes_beside_what_it_has(
    has: HeldEpoch | None, asked: tuple[int, int, int], error: type[Exception] | None
) -> None:
    proposal, attempt, version = asked
    keys = held(1, certified=False).parsed().keys
    args = (keys, ProposalId(bytes([proposal]) * 32), attempt, [has] if has else [])
    if error is None:
        check_made_once(*args, roster_version=version)
        return
    with pytest.raises(error) as caught:
        check_made_once(*args, roster_version=version)
    blamed = getattr(caught.value, "culprits", ())
    assert blamed == (("authority",) if error is PeerFault else ())


def test_other_keys_do_not_matter() -> None:
    other = held(3, certified=True)
    check_made_once((), ProposalId(bytes(32)), 1, [other], roster_version=9)


@pytest.mark.requirement("C12")
def test_certificates_of_what_was_left_behind_do_not_count() -> None:
    first, second = held(1, certified=False), held(2, certified=False)
    one, two = first.parsed(), second.parsed()
    check_certifiable(one, one.hash, [first])
    check_certifiable(two, two.hash, [first, second])
    with pytest.raises(PeerFault, match="ended"):
        check_certifiable(one, one.hash, [first, second])
    with pytest.raises(PeerFault, match="another epoch"):
        check_certifiable(one, Hash(bytes(32)), [first])
    later = held(1, certified=False, version=6, proposal=2)
    with pytest.raises(PeerFault, match="ended"):
        check_certifiable(two, two.hash, [second, later])
    shared = replace(later.parsed(), base=Hash(bytes(32)))  # a reshare, of another key
    with pytest.raises(PeerFault, match="ended"):
        check_certifiable(two, two.hash, [second, uncertified(shared)])
    same = replace(shared, commitments=two.commitments)
    check_certifiable(two, two.hash, [second, uncertified(same)])


def uncertified(statement: Statement) -> HeldEpoch:
    return HeldEpoch(statement=encode(statement), payloads=(), certificate=None)


def test_records_show_no_fragment() -> None:
    opening, _ = shown()
    outcome = receive(opening)
    assert isinstance(outcome, Stored)
    assert repr(outcome.held.payloads[0]) not in repr(outcome)
    assert repr(outcome.held) == "HeldEpoch(1 payloads, certified=False)"
