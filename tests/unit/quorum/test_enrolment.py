from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import AUTHORITY, AUTHORITY_CARD, NOW, founding, who
from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.limits import PIN_TRIES
from tigertally.base.randomness import SeededRandomness
from tigertally.quorum.card import Role, open_card
from tigertally.quorum.chain import first_roster
from tigertally.quorum.enrolment import (
    check_founding,
    check_pin,
    check_reply,
    found_request,
    found_roster,
    make_pin,
    new_pin_state,
    pin_key,
    reply_proof,
)

pytestmark = pytest.mark.requirement("C8")

PIN = make_pin(SeededRandomness("pin"))
H1 = who("h1")
ROSTER = founding()


def request(pin=PIN, *, by=H1, roster=ROSTER, authority=AUTHORITY_CARD, role=Role.HOLDER):
    return found_request(by.key, by.card(role), roster, authority, pin)


def test_a_pin_has_80_bits_and_is_read_with_or_without_dashes():
    assert len(PIN.replace("-", "")) == 16
    assert PIN.count("-") == 3
    assert len({make_pin(SeededRandomness(i)) for i in range(50)}) == 50
    assert pin_key(PIN) == pin_key(PIN.replace("-", " ").upper())
    assert pin_key(PIN) != pin_key(PIN[:-1])


def test_the_right_pin_is_used_up():
    used = check_pin(new_pin_state(PIN), request(), AUTHORITY_CARD)
    assert used.key == b""
    with pytest.raises(Refused):
        check_pin(used, request(), AUTHORITY_CARD)


def test_five_wrong_tries_void_it():
    state = new_pin_state(PIN)
    for left in range(PIN_TRIES - 1, -1, -1):
        state = check_pin(state, request("wrong"), AUTHORITY_CARD)
        assert state.tries_left == left
        assert bool(state.key) is (left > 0)
    for pin in (PIN, "wrong"):
        with pytest.raises(Refused):
            check_pin(state, request(pin), AUTHORITY_CARD)


def test_four_wrong_tries_do_not():
    state = new_pin_state(PIN)
    for _ in range(PIN_TRIES - 1):
        state = check_pin(state, request("wrong"), AUTHORITY_CARD)
    assert check_pin(state, request(), AUTHORITY_CARD).key == b""


MALLORY = who("mallory")
BOUND = {
    "another authority's card": request(authority=MALLORY.card(Role.AUTHORITY)),
    "another founder's card": replace(request(), card=MALLORY.card()),
    "another roster": replace(request(), roster=request(roster=founding(3)).roster),
    "the card's role": replace(request(), card=H1.card(Role.REQUESTER)),
    "no proof": replace(request(), proof=b""),
    "a proof cut short": replace(request(), proof=request().proof[:-1]),
}


@pytest.mark.parametrize("moved", BOUND.values(), ids=BOUND)
def test_the_proof_is_bound_to_both_keys_and_the_roster(moved):
    """A recorded proof is worth nothing with anything else: it counts as a wrong PIN."""
    assert check_pin(new_pin_state(PIN), moved, AUTHORITY_CARD).tries_left == PIN_TRIES - 1


def test_the_roster_must_be_the_one_that_init_decided():
    check_founding(request(), AUTHORITY_CARD, ROSTER)
    with pytest.raises(Refused):
        check_founding(request(roster=founding(3)), AUTHORITY_CARD, ROSTER)


def test_the_founder_signs_with_its_own_key_as_a_holder():
    stolen = found_request(MALLORY.key, H1.card(), ROSTER, AUTHORITY_CARD, PIN)
    with pytest.raises(InvalidSignature):
        check_founding(stolen, AUTHORITY_CARD, ROSTER)
    with pytest.raises(MalformedMessage):
        check_founding(request(role=Role.REQUESTER), AUTHORITY_CARD, ROSTER)
    with pytest.raises(MalformedMessage):
        check_founding(
            replace(request(), card=replace(H1.card(), body=b"x")), AUTHORITY_CARD, ROSTER
        )


def test_a_card_with_another_wrapping_key():
    twin = replace(H1, wrapping_key=MALLORY.wrapping_key)
    mixed = found_request(H1.key, twin.card(), ROSTER, AUTHORITY_CARD, PIN)
    with pytest.raises(MalformedMessage):
        check_founding(mixed, AUTHORITY_CARD, ROSTER)


def test_the_answer_proves_that_the_authority_knows_the_pin():
    signed = first_roster(encode(ROSTER), request().roster, AUTHORITY.key)
    proof = reply_proof(pin_key(PIN), signed)
    check_reply(PIN, signed, proof, ROSTER)
    with pytest.raises(Refused):
        check_reply(PIN, signed, reply_proof(pin_key("other"), signed), ROSTER)
    with pytest.raises(Refused):
        check_reply(PIN, signed, request().proof, ROSTER)  # our own proof, sent back


def test_an_answer_about_another_roster():
    other = founding(3)
    signed = first_roster(encode(other), request(roster=other).roster, AUTHORITY.key)
    with pytest.raises(Refused):
        check_reply(PIN, signed, reply_proof(pin_key(PIN), signed), ROSTER)
    unsigned = first_roster(encode(ROSTER), request().roster, MALLORY.key)
    with pytest.raises((InvalidSignature, PeerFault)):
        check_reply(PIN, unsigned, reply_proof(pin_key(PIN), unsigned), ROSTER)


def test_the_first_roster():
    roster = found_roster(AUTHORITY_CARD, open_card(H1.card()), threshold=3, unlock=2, created=NOW)
    assert (roster.version, roster.threshold, roster.unlock) == (1, 3, 2)
    assert [holder.index for holder in roster.holders] == [1]
    assert roster.forming
