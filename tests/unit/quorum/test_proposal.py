from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import NOW, flipped, proposal, proposed, roster, who
from tigertally.base.codec import dumps
from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import Nonce
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.quorum.proposal import open_proposal, options_body, proposal_id, sign_proposal

pytestmark = pytest.mark.requirement("C7")

ROSTER = roster()


def test_it_opens_under_its_proposers_key():
    assert open_proposal(proposed(ROSTER)) == proposal(ROSTER)


def test_signed_by_another_it_does_not():
    with pytest.raises(InvalidSignature):
        open_proposal(sign_proposal(who("h2").key, proposal(ROSTER, by="h1")))


def test_the_id_is_of_the_bytes_not_of_the_signature():
    envelope = proposed(ROSTER)
    other = sign_proposal(who("h2").key, proposal(ROSTER))
    assert proposal_id(envelope) == proposal_id(other)
    ids = {proposal_id(proposed(ROSTER, nonce=n)) for n in range(20)}
    assert len(ids) == 20
    changed = replace(proposal(ROSTER), nonce=Nonce(flipped(bytes(32))))
    assert proposal_id(sign_proposal(who("h1").key, changed)) != proposal_id(envelope)


@pytest.mark.parametrize("expires", [NOW, NOW - 1, NOW + MAX_PROPOSAL_LIFETIME + 1])
def test_a_life_that_is_none_or_too_long(expires):
    with pytest.raises(MalformedMessage):
        proposal(ROSTER, expires=expires)


@pytest.mark.parametrize("expires", [NOW + 1, NOW + MAX_PROPOSAL_LIFETIME])
def test_the_shortest_and_the_longest_life(expires):
    assert proposal(ROSTER, expires=expires).expires == expires


@pytest.mark.parametrize(
    "body",
    [
        b"",
        dumps([1]),
        dumps("text"),
        b"\xa1\x01\x02",  # a number as a key
        b"\xa2\x61b\x01\x61a\x02",  # keys out of order
        dumps({"": 1}),
        dumps({"Upper": 1}),
        dumps({"\x1b[2J": 1}),
        dumps({"a" * 41: 1}),
        dumps({"a b": 1}),
    ],
)
def test_a_body_is_a_map_of_option_names(body):
    with pytest.raises(MalformedMessage):
        proposal(ROSTER, body=body)


def test_options():
    body = options_body(key="payroll", acks=3)
    assert proposal(ROSTER, body=body).options() == {"key": "payroll", "acks": 3}
