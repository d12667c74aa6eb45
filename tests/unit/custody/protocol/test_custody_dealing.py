"""Dealings: made, signed, checked, opened; and whose fault what is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody_small import small
from custody_thief import spoil
from tigertally.algebra import tags
from tigertally.base.codec import decode
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    Unavailable,
)
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.crypto.envelope import sign_message
from tigertally.custody.messages.dealing import AUTHORITY, Dealing, DealingPackage
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.protocol.dealing import (
    Occasion,
    check_dealing,
    check_package,
    check_payloads,
    check_shown,
    dealer_name,
    make_dealing,
    open_piece,
    possible_senders,
)
from tigertally.quorum.receive_keys import private_key

H = HolderIndex
SMALL = small()


def occasion(suite: Suite = Suite.PEDERSEN_ED25519) -> Occasion:
    _, verified, body = SMALL.create(suite=suite)
    return SMALL.occasion(verified, body)


@pytest.mark.requirement("X3")
@pytest.mark.requirement("X4")
@pytest.mark.parametrize("suite", list(Suite))
def test_each_receiver_opens_its_own_piece_and_no_other(suite: Suite) -> None:
    dealer = AUTHORITY if suite is Suite.SHAMIR_GF256 else 2
    what = occasion(suite)
    package = SMALL.package(what, dealer)
    dealing = check_package(package, what, SMALL.roster)
    for receiver in range(1, 5):
        slot = dealing.slot_of(H(receiver))
        seed = SMALL.seed_for(receiver)(slot.bundle, dealer)
        assert seed is not None
        key = private_key(seed)
        payloads = open_piece(dealing, package.pieces[receiver - 1], H(receiver), key)
        check_payloads(dealing, H(receiver), payloads)
        with pytest.raises(MalformedMessage):  # a relay's swap
            open_piece(dealing, package.pieces[receiver % 4], H(receiver), key)
        other = SMALL.seed_for(receiver)(slot.bundle, 3)
        assert other is not None
        with pytest.raises(PeerFault):
            open_piece(dealing, package.pieces[receiver - 1], H(receiver), private_key(other))


def test_several_keys_travel_in_one_dealing() -> None:
    what = occasion()
    two = (what.keys[0], KeyRef(name=what.keys[0].name, version=2))
    what = replace(what, keys=two)
    package = SMALL.package(what, 1)
    dealing = check_package(package, what, SMALL.roster)
    seed = SMALL.seed_for(3)(dealing.slot_of(H(3)).bundle, 1)
    assert seed is not None
    payloads = open_piece(dealing, package.pieces[2], H(3), private_key(seed))
    assert len(payloads) == 2
    check_payloads(dealing, H(3), payloads)
    with pytest.raises(PeerFault):
        check_payloads(dealing, H(3), payloads[::-1])


def test_a_receiver_without_receive_keys_must_sync_first() -> None:
    published = {i: keys for i, keys in SMALL.published().items() if i != 4}
    with pytest.raises(Unavailable, match="holder 4"):
        make_dealing(
            occasion(),
            dealer=1,
            receive_keys=published,
            key=SMALL.key(1),
            randomness=SMALL.rig.randomness,
        )


OTHER_TERMS = [
    {"suite": Suite.SHAMIR_GF256},
    {"threshold": 2},
    {"keys": (KeyRef(name=occasion().keys[0].name, version=2),)},
    {"receivers": (H(1), H(2), H(3))},
]
ELSEWHERE = [
    {"proposal": ProposalId(b"\x01" * 32)},
    {"attempt": 2},
    {"base": Hash(b"\x02" * 32)},
    {"domain": type(occasion().domain)(b"\x03" * 32)},
]


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("changes", OTHER_TERMS)
def test_other_terms_for_this_very_attempt_convict_the_dealer(changes: dict[str, object]) -> None:
    what = occasion()
    package = SMALL.package(what, 2, said=lambda honest: replace(honest, **changes))
    with pytest.raises(PeerFault) as caught:
        check_dealing(package.dealing, what, SMALL.roster)
    assert (caught.value.culprits, caught.value.sure) == (("h2",), True)


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("changes", ELSEWHERE)
def test_a_dealing_of_another_occasion_convicts_nobody(changes: dict[str, object]) -> None:
    what = occasion()
    package = SMALL.package(replace(what, **changes), 2)
    with pytest.raises(Refused) as caught:
        check_dealing(package.dealing, what, SMALL.roster)
    assert caught.value.culprits == ()
    with pytest.raises(PeerFault) as shown:
        check_shown(package.dealing, what, SMALL.roster)
    assert (shown.value.culprits, shown.value.sure) == (("authority",), False)


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(
    "bad",
    [lambda c: c[0][:-1], lambda c: c[0][:-32], lambda c: b"", lambda c: b"\x01" * 96],
    ids=["cut", "a point short", "empty", "no points"],
)
def test_malformed_commitments_convict_their_dealer(bad: object) -> None:
    what = occasion()
    package = SMALL.package(what, 3, bend_commitments=lambda c: (bad(c),))
    with pytest.raises(PeerFault) as caught:
        check_dealing(package.dealing, what, SMALL.roster)
    assert (caught.value.culprits, caught.value.sure) == (("h3",), True)


def test_who_signed_is_who_dealt() -> None:
    what = occasion()
    good = SMALL.package(what, 2)
    dealing = decode(Dealing, good.dealing.body)
    forged = sign_message(SMALL.key(3), tags.DEALING, dealing)
    with pytest.raises(InvalidSignature):
        check_dealing(forged, what, SMALL.roster)
    with pytest.raises(InvalidSignature) as shown:
        check_shown(forged, what, SMALL.roster)
    assert shown.value.culprits == ("authority",)
    stranger = sign_message(SMALL.key(3), tags.DEALING, replace(dealing, dealer=77))
    with pytest.raises(Refused):
        check_dealing(stranger, what, SMALL.roster)
    assert dealer_name(SMALL.roster, AUTHORITY) == "authority"


def test_the_pieces_are_those_that_the_dealing_names() -> None:
    what = occasion()
    good = SMALL.package(what, 2)
    for pieces in (good.pieces[:-1], good.pieces[::-1], (*good.pieces[:-1], b""), ()):
        with pytest.raises(MalformedMessage):
            check_package(DealingPackage(dealing=good.dealing, pieces=pieces), what, SMALL.roster)


@pytest.mark.requirement("X3")
def test_a_piece_of_the_wrong_size_or_content_is_the_dealers_fault() -> None:
    what = occasion()
    package = SMALL.package(what, 2, bend=spoil(4))
    dealing = check_package(package, what, SMALL.roster)
    seed = SMALL.seed_for(4)(dealing.slot_of(H(4)).bundle, 2)
    assert seed is not None
    payloads = open_piece(dealing, package.pieces[3], H(4), private_key(seed))
    with pytest.raises(PeerFault):
        check_payloads(dealing, H(4), payloads)

    def cut(payloads: dict[HolderIndex, object]) -> None:
        short = payloads[H(4)].to_secret_bytes()[:-1]
        payloads[H(4)] = type(payloads[H(4)])(short)

    package = SMALL.package(what, 2, bend=cut)
    dealing = check_package(package, what, SMALL.roster)
    seed = SMALL.seed_for(4)(dealing.slot_of(H(4)).bundle, 2)
    assert seed is not None
    with pytest.raises(PeerFault, match="size"):
        open_piece(dealing, package.pieces[3], H(4), private_key(seed))


def test_the_authority_every_holder_and_those_who_come_next_may_deal():
    assert possible_senders(SMALL.roster) == (0, 1, 2, 3, 4, 5, 6)


def test_no_sender_beyond_the_last_possible_index() -> None:
    full = replace(SMALL.roster, next_index=256)
    assert possible_senders(full)[-1] == 4
    assert possible_senders(replace(SMALL.roster, next_index=255))[-1] == 255
