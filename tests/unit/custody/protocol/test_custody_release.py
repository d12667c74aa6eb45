"""Release: fragments for one request, checked one by one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from custody_small import KEY, NOW, small
from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import decode
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import DomainId, Hash, HolderIndex, ProposalId
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import sign_message
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.messages.dealing import Certificate, Statement
from tigertally.custody.messages.kinds import KeyRef, Release, Suite
from tigertally.custody.messages.release import FragmentDelivery, Rebuilt, WrappedFragment
from tigertally.custody.protocol.receiver import Stored, expected_dealers, receive_opening
from tigertally.custody.protocol.release import (
    check_enough,
    check_release_tally,
    collect,
    final_key,
    open_authority_key,
    open_delivery,
    open_rebuilt,
    rebuild,
    rebuild_for_requester,
    sign_authority_key,
    sign_rebuilt,
    target_of,
    wrap_fragment,
)
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.roster import Roster

H = HolderIndex
SMALL = small()


@cache
def epoch(suite: Suite) -> dict[int, HeldEpoch]:
    """One certified epoch on every device."""
    tally, verified, body = SMALL.create(suite=suite)
    what = SMALL.occasion(verified, body)
    packages = [SMALL.package(what, d) for d in expected_dealers(verified, body, frozenset())]
    held = {}
    for receiver in range(1, 5):
        outcome = receive_opening(
            SMALL.opening(tally, packages, receiver),
            SMALL.chain,
            H(receiver),
            seed_for=SMALL.seed_for(receiver),
            known=lambda ref: (),
            key=SMALL.key(receiver),
            now=NOW,
        )
        assert isinstance(outcome, Stored)
        proof = Certificate(statement=outcome.held.statement, acknowledgements=())
        held[receiver] = replace(outcome.held, certificate=proof)
    return held


@cache
def asked() -> tuple[ProposalId, Release]:
    tally, body = SMALL.release()
    return proposal_id(tally.proposal), body


def requester_key() -> PrivateKey:
    return SMALL.rig.devices["app"].wrapping_key


def statement() -> Statement:
    return epoch(Suite.PEDERSEN_ED25519)[1].parsed()


def wrapped(holder: int, *, suite: Suite = Suite.PEDERSEN_ED25519) -> WrappedFragment:
    id_, body = asked()
    return wrap_fragment(
        epoch(suite)[holder],
        body,
        id_,
        target=body.wrapping_key,
        me=H(holder),
        key=SMALL.key(holder),
    )


def collected(*fragments: WrappedFragment):
    id_, _ = asked()
    return collect(
        fragments,
        statement(),
        KEY,
        proposal=id_,
        roster=SMALL.roster,
        private=requester_key(),
    )


def signed_otherwise(fragment: WrappedFragment, by: int, **changes: object) -> WrappedFragment:
    said = replace(decode(FragmentDelivery, fragment.delivery.body), **changes)
    envelope = sign_message(SMALL.key(by), tags.FRAGMENT_DELIVERY, said)
    return replace(fragment, delivery=envelope)


def with_wrapped(fragment: WrappedFragment, by: int, raw: bytes) -> WrappedFragment:
    bent = signed_otherwise(fragment, by, wrapped=tagged_hash(tags.FRAGMENT_WRAP, raw))
    return replace(bent, wrapped=raw)


@pytest.mark.requirement("X2")
@pytest.mark.requirement("X3")
def test_three_fragments_make_the_key_whichever_they_are() -> None:
    keys = set()
    for chosen in ((1, 2, 3), (4, 2, 1), (3, 4, 1), (1, 2, 3, 4)):
        got = collected(*(wrapped(i) for i in chosen))
        check_enough(got, statement(), SMALL.roster)
        assert (len(got.payloads), got.faulty) == (3, ())
        keys.add(rebuild(got, statement(), KEY).to_secret_bytes())
    assert len(keys) == 1


@pytest.mark.requirement("X2")
def test_only_the_request_s_own_key_opens_a_fragment() -> None:
    id_, _ = asked()
    for key in (SMALL.rig.wrapping_key, PrivateKey.generate(SeededRandomness("thief"))):
        got = collect(
            [wrapped(1)], statement(), KEY, proposal=id_, roster=SMALL.roster, private=key
        )
        assert got.payloads == {}


@pytest.mark.requirement("X3")
def test_junk_names_its_sender_and_good_ones_still_make_the_key() -> None:
    expected = rebuild(collected(*(wrapped(i) for i in (1, 2, 3))), statement(), KEY)
    for junk in (
        with_wrapped(wrapped(2), 2, b""),
        with_wrapped(wrapped(2), 2, bytes(1200)),
        with_wrapped(wrapped(2), 2, wrapped(1).wrapped),  # somebody else's good one
        signed_otherwise(wrapped(2), 2, commitments=Hash(bytes(32))),
    ):
        got = collected(wrapped(1), junk, wrapped(3))
        assert got.faulty == (2,)
        with pytest.raises(PeerFault) as caught:
            check_enough(got, statement(), SMALL.roster)
        assert (caught.value.culprits, caught.value.sure) == (("h2",), True)
        got = collected(wrapped(1), junk, wrapped(2), wrapped(3), wrapped(4))
        assert got.faulty == (2,)
        assert rebuild(got, statement(), KEY).matches(expected)


@pytest.mark.requirement("X3")
def test_what_a_relay_made_or_bent_convicts_nobody() -> None:
    good = wrapped(2)
    for bent in (
        replace(good, wrapped=good.wrapped[:-1] + b"\x00"),
        signed_otherwise(good, 1),  # h2's words under h1's signature
        replace(good, delivery=replace(good.delivery, body=b"rubbish")),
        signed_otherwise(good, 2, proposal=ProposalId(bytes(32))),  # of another request
        signed_otherwise(good, 2, epoch=Hash(bytes(32))),
        signed_otherwise(good, 2, key=KeyRef(name=KEY.name, version=2)),
        signed_otherwise(good, 2, domain=DomainId(bytes(32))),
        signed_otherwise(good, 1, holder=H(9)),  # no such holder
    ):
        got = collected(wrapped(1), bent, wrapped(3))
        assert got.faulty == ()
        assert set(got.payloads) == {1, 3}
        with pytest.raises(Refused, match="1 more"):
            check_enough(got, statement(), SMALL.roster)
    twice = collected(good, good, good)
    assert set(twice.payloads) == {2}


def test_a_device_wraps_only_what_is_certified_and_asked_for() -> None:
    id_, body = asked()
    held = epoch(Suite.PEDERSEN_ED25519)[1]
    args = {"target": body.wrapping_key, "me": H(1), "key": SMALL.key(1)}
    with pytest.raises(Refused):
        wrap_fragment(replace(held, certificate=None), body, id_, **args)
    with pytest.raises(Refused):
        wrap_fragment(held, replace(body, version=2), id_, **args)


def test_a_delivery_is_signed_by_its_holder_over_its_bytes() -> None:
    good = wrapped(3)
    assert open_delivery(good, SMALL.roster).holder == 3
    with pytest.raises(MalformedMessage):
        open_delivery(replace(good, wrapped=b"x"), SMALL.roster)
    with pytest.raises(InvalidSignature):
        open_delivery(signed_otherwise(good, 1), SMALL.roster)
    with pytest.raises(Refused):
        open_delivery(signed_otherwise(good, 1, holder=H(9)), SMALL.roster)


# --- tallies --------------------------------------------------------------------------------


@pytest.mark.requirement("C7")
def test_a_fragment_leaves_only_for_a_live_tally_of_a_member() -> None:
    tally, body = SMALL.release()
    verified, said = check_release_tally(tally, SMALL.chain, now=NOW)
    assert (said, len(verified.approvals)) == (body, 3)
    with pytest.raises(Refused, match="expired"):
        check_release_tally(tally, SMALL.chain, now=verified.proposal.expires)
    two = replace(tally, approvals=tally.approvals[:2])
    with pytest.raises(Refused, match="2 of 3"):
        check_release_tally(two, SMALL.chain, now=NOW)
    twice = replace(tally, approvals=(*tally.approvals[:2], tally.approvals[0]))
    with pytest.raises(Refused, match="twice"):
        check_release_tally(twice, SMALL.chain, now=NOW)
    create, _, _ = SMALL.create()
    with pytest.raises(Refused, match="releases no fragment"):
        check_release_tally(create, SMALL.chain, now=NOW)
    other, _ = SMALL.release()
    spliced = replace(tally, approvals=(*tally.approvals[:2], other.approvals[2]))
    with pytest.raises(Refused, match="another proposal"):
        check_release_tally(spliced, SMALL.chain, now=NOW)


@pytest.mark.requirement("C7")
def test_a_requester_that_was_removed_gets_nothing() -> None:
    tally, _ = SMALL.release()
    roster: Roster = replace(SMALL.roster, requesters=())
    chain = Chain((*SMALL.chain.rosters[:-1], roster), SMALL.chain.signed)
    with pytest.raises(Refused, match="no longer"):
        check_release_tally(tally, chain, now=NOW)


# --- the authority's suite ------------------------------------------------------------------


@pytest.mark.requirement("C4")
def test_the_authority_rebuilds_for_the_requester_alone() -> None:
    id_, body = asked()
    held = epoch(Suite.SHAMIR_GF256)
    stated = held[1].parsed()
    fresh = PrivateKey.generate(SeededRandomness("fresh"))
    fragments = [
        wrap_fragment(held[i], body, id_, target=fresh.public, me=H(i), key=SMALL.key(i))
        for i in (1, 3, 4)
    ]
    got = collect(fragments, stated, KEY, proposal=id_, roster=SMALL.roster, private=fresh)
    raw = rebuild_for_requester(got, stated, KEY, id_, body.wrapping_key)
    message = Rebuilt(domain=stated.domain, proposal=id_, key=KEY, epoch=stated.hash, wrapped=raw)

    def opened(rebuilt: Rebuilt, key: PrivateKey | None = None, **where: object) -> Secret:
        envelope = sign_rebuilt(where.pop("signer", SMALL.rig.key), rebuilt)
        return open_rebuilt(
            envelope,
            stated,
            KEY,
            proposal=id_,
            roster=SMALL.roster,
            private=key or requester_key(),
        )

    key = opened(message)
    assert key.matches(rebuild(got, stated, KEY))
    for bent in (
        replace(message, proposal=ProposalId(bytes(32))),
        replace(message, key=KeyRef(name=KEY.name, version=2)),
        replace(message, epoch=Hash(bytes(32))),
        replace(message, wrapped=bytes(len(raw))),
    ):
        with pytest.raises(PeerFault) as caught:
            opened(bent)
        assert caught.value.culprits == ("authority",)
    with pytest.raises(PeerFault):
        opened(message, key=fresh)
    with pytest.raises(InvalidSignature):
        opened(message, signer=SMALL.key(1))


def test_whom_a_fragment_is_encrypted_to() -> None:
    id_, body = asked()
    fresh = PrivateKey.generate(SeededRandomness("fresh")).public
    envelope = sign_authority_key(SMALL.rig.key, SMALL.roster.domain, id_, fresh)
    pedersen, shamir = Suite.PEDERSEN_ED25519, Suite.SHAMIR_GF256
    assert target_of(pedersen, body, id_, SMALL.roster, envelope) == body.wrapping_key
    assert target_of(shamir, body, id_, SMALL.roster, envelope) == fresh
    with pytest.raises(Refused):
        target_of(shamir, body, id_, SMALL.roster, None)
    with pytest.raises(Refused, match="another proposal"):
        open_authority_key(envelope, SMALL.roster, ProposalId(bytes(32)))
    elsewhere = sign_authority_key(SMALL.rig.key, DomainId(bytes(32)), id_, fresh)
    with pytest.raises(Refused):
        open_authority_key(elsewhere, SMALL.roster, id_)
    forged = sign_authority_key(SMALL.key(1), SMALL.roster.domain, id_, fresh)
    with pytest.raises(InvalidSignature):
        open_authority_key(forged, SMALL.roster, id_)


# --- the final key --------------------------------------------------------------------------


@pytest.mark.requirement("C5")
def test_the_final_key_depends_on_device_key_name_and_version() -> None:
    device, private = Secret(b"\x01" * 32), Secret(b"\x02" * 32)
    key = final_key(device, private, KEY).to_secret_bytes()
    others = {
        final_key(Secret(b"\x03" * 32), private, KEY).to_secret_bytes(),
        final_key(device, Secret(b"\x03" * 32), KEY).to_secret_bytes(),
        final_key(device, private, KeyRef(name=KEY.name, version=2)).to_secret_bytes(),
        final_key(
            device, private, KeyRef(name=type(KEY.name)("other"), version=1)
        ).to_secret_bytes(),
    }
    assert len({key, *others}) == 5
    assert final_key(device, private, KEY).matches(key)
    assert len(key) == 32
    assert key != private.to_secret_bytes()
