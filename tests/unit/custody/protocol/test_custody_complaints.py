"""Who lied, the dealer or the complainer? A table; and evidence that proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody_small import Small, small
from custody_thief import spoil
from tigertally.algebra import tags
from tigertally.base.codec import decode
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import DomainId, HolderIndex, ProposalId
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.dealing import (
    AUTHORITY,
    Complaint,
    Conviction,
    Dealing,
    DealingPackage,
    Erased,
)
from tigertally.custody.messages.kinds import Suite
from tigertally.custody.protocol.complaints import (
    judge,
    open_complaint,
    open_erased,
    sign_complaint,
)
from tigertally.custody.protocol.dealing import Occasion
from tigertally.quorum.receive_keys import draw_receive_keys

H = HolderIndex
SMALL = small()


def occasion(suite: Suite = Suite.PEDERSEN_ED25519) -> Occasion:
    _, verified, body = SMALL.create(suite=suite)
    return SMALL.occasion(verified, body)


def bundle_of(who: Small, holder: int) -> Envelope:
    with who.rig.devices[f"h{holder}"].store.reading() as reader:
        newest = device_rows.newest_bundle(reader)
    assert newest is not None
    return newest[0]


def conviction(
    what: Occasion,
    package: DealingPackage,
    *,
    complainer: int = 4,
    accused: int = 2,
    seed: bytes | None = None,
    **changes: object,
) -> Conviction:
    dealing = decode(Dealing, package.dealing.body)
    slot = dealing.slot_of(H(complainer))
    own = SMALL.seed_for(complainer)(slot.bundle, accused)
    assert own is not None
    complaint = Complaint(
        domain=what.domain,
        proposal=what.proposal,
        attempt=what.attempt,
        complainer=H(complainer),
        accused=accused,
        number=slot.number,
        seed=own if seed is None else seed,
    )
    return Conviction(
        complaint=sign_complaint(SMALL.key(complainer), replace(complaint, **changes)),
        dealing=package.dealing,
        piece=package.pieces[complainer - 1],
        receive_keys=bundle_of(SMALL, complainer),
    )


def flip(pieces: list[bytes]) -> None:
    pieces[3] = pieces[3][:-1] + bytes([pieces[3][-1] ^ 1])


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(
    ("bends", "culprit"),
    [
        ({}, 4),
        ({"bend": spoil(4)}, 2),
        ({"bend": spoil()}, 2),
        ({"bend": spoil(1)}, 4),  # another receiver was cheated, not this one
        ({"bend_pieces": flip}, 2),
    ],
    ids=["good", "bad for it", "bad for all", "bad for another", "does not open"],
)
def test_the_liar_is_found(bends: dict[str, object], culprit: int) -> None:
    what = occasion()
    package = SMALL.package(what, 2, **bends)
    assert judge(conviction(what, package), what, SMALL.roster) == culprit


@pytest.mark.requirement("X3")
def test_the_authority_as_a_dealer_is_judged_alike() -> None:
    what = occasion(Suite.SHAMIR_GF256)
    for bends, culprit in (({}, 4), ({"bend": spoil(4)}, AUTHORITY)):
        package = SMALL.package(what, AUTHORITY, **bends)
        told = conviction(what, package, accused=AUTHORITY)
        assert judge(told, what, SMALL.roster) == culprit


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("bends", [{}, {"bend": spoil(4)}], ids=["good piece", "bad piece"])
@pytest.mark.parametrize("seed", [b"", b"\x01" * 96, b"\x02" * 95])
def test_a_key_that_is_not_its_receive_key_convicts_the_complainer(
    bends: dict[str, object], seed: bytes
) -> None:
    what = occasion()
    package = SMALL.package(what, 2, **bends)
    assert judge(conviction(what, package, seed=seed), what, SMALL.roster) == 4


@pytest.mark.requirement("X3")
def test_a_wrong_number_convicts_the_complainer() -> None:
    what = occasion()
    told = conviction(what, SMALL.package(what, 2), number=12345)
    assert judge(told, what, SMALL.roster) == 4


@pytest.mark.requirement("X3")
def test_a_second_set_under_the_same_number_frames_nobody() -> None:
    """The receiver shows another set of keys, to which the piece does not open of course."""
    what = occasion()
    package = SMALL.package(what, 2)
    slot = decode(Dealing, package.dealing.body).slot_of(H(4))
    seeds, other = draw_receive_keys(
        SMALL.roster.domain,
        H(4),
        range(7),
        number=slot.number,
        key=SMALL.key(4),
        now=1,
        randomness=SeededRandomness("second set"),
    )
    told = replace(conviction(what, package, seed=seeds.seed_for(2)), receive_keys=other)
    with pytest.raises(Refused):
        judge(told, what, SMALL.roster)


def foreign_piece(what: Occasion) -> bytes:
    return SMALL.package(what, 3).pieces[3]


@pytest.mark.requirement("X3")
def test_evidence_that_does_not_hang_together_proves_nothing() -> None:
    what = occasion()
    package = SMALL.package(what, 2, bend=spoil(4))
    good = conviction(what, package)
    said = decode(Complaint, good.complaint.body)

    def resigned(**changes: object) -> Envelope:
        return sign_complaint(SMALL.key(4), replace(said, **changes))

    wrong = {
        "another attempt": replace(good, complaint=resigned(attempt=2)),
        "another proposal": replace(good, complaint=resigned(proposal=ProposalId(bytes(32)))),
        "another domain": replace(good, complaint=resigned(domain=DomainId(bytes(32)))),
        "another dealer": replace(good, complaint=resigned(accused=3)),
        "nobody": replace(good, complaint=resigned(accused=99)),
        "a foreign piece": replace(good, piece=foreign_piece(what)),
        "no piece": replace(good, piece=b""),
        "somebody else's keys": replace(good, receive_keys=bundle_of(SMALL, 3)),
        "another occasion's dealing": replace(
            good, dealing=SMALL.package(replace(what, attempt=9), 2).dealing
        ),
        "not its complainer": replace(good, complaint=sign_complaint(SMALL.key(3), said)),
        "not its dealer": replace(
            good,
            dealing=sign_message(SMALL.key(3), tags.DEALING, decode(Dealing, package.dealing.body)),
        ),
        "rubbish": replace(good, complaint=Envelope(body=b"x", signature=good.dealing.signature)),
    }
    for name, told in wrong.items():
        with pytest.raises((Refused, MalformedMessage, InvalidSignature)):
            pytest.fail(f"{name} convicts {judge(told, what, SMALL.roster)}")
    assert judge(good, what, SMALL.roster) == 2  # the control: the evidence they were made from


@pytest.mark.requirement("X3")
def test_visibly_malformed_dealings_convict_without_opening_anything() -> None:
    what = occasion()
    package = SMALL.package(what, 2, bend_commitments=lambda c: (c[0][:-32],))
    told = conviction(
        what, package, seed=PrivateKey.generate(SeededRandomness("x")).seed.to_secret_bytes()
    )
    assert judge(told, what, SMALL.roster) == 2


def test_a_notice_of_an_erased_key_is_signed_by_its_holder() -> None:
    what = occasion()
    notice = Erased(
        domain=what.domain,
        proposal=what.proposal,
        attempt=1,
        holder=H(4),
        dealer=2,
        number=1,
    )
    assert open_erased(sign_message(SMALL.key(4), tags.ERASED, notice), SMALL.roster) == notice
    with pytest.raises(InvalidSignature):
        open_erased(sign_message(SMALL.key(3), tags.ERASED, notice), SMALL.roster)
    with pytest.raises(InvalidSignature):
        open_erased(sign_message(SMALL.key(4), tags.COMPLAINT, notice), SMALL.roster)
    stranger = replace(notice, holder=H(77))
    with pytest.raises(Refused):
        open_erased(sign_message(SMALL.key(4), tags.ERASED, stranger), SMALL.roster)


def test_a_complaint_is_signed_by_its_complainer() -> None:
    what = occasion()
    told = conviction(what, SMALL.package(what, 2))
    assert open_complaint(told.complaint, SMALL.roster).complainer == 4
    forged = replace(told.complaint, body=told.complaint.body[:-1] + b"\x00")
    with pytest.raises((InvalidSignature, MalformedMessage)) as caught:
        open_complaint(forged, SMALL.roster)
    assert not isinstance(caught.value, PeerFault) or not caught.value.sure
