from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import AUTHORITY_CARD, flipped, who
from tigertally.algebra import tags
from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import Name, Signature
from tigertally.crypto.envelope import sign_message
from tigertally.quorum.card import Card, Role, domain_of, open_card

pytestmark = pytest.mark.requirement("C13")


def test_a_card_says_who_signed_it():
    alice = who("alice")
    card = open_card(alice.card())
    assert card == Card(
        name=Name("alice"),
        role=Role.HOLDER,
        signing_key=alice.key.public,
        wrapping_key=alice.wrapping_key.public,
    )
    assert card.fingerprint == alice.key.public.fingerprint


def test_a_card_under_another_key_is_refused():
    body = open_card(who("alice").card())
    with pytest.raises(InvalidSignature) as refused:
        open_card(sign_message(who("mallory").key, tags.CARD, body))
    assert not refused.value.sure


def test_a_card_signed_for_another_purpose_is_refused():
    body = open_card(who("alice").card())
    with pytest.raises(InvalidSignature):
        open_card(sign_message(who("alice").key, tags.ROSTER, body))


def test_changed_bytes_are_refused():
    card = who("alice").card()
    with pytest.raises((MalformedMessage, InvalidSignature)):
        open_card(replace(card, body=flipped(card.body)))
    with pytest.raises(InvalidSignature):
        open_card(replace(card, signature=Signature(flipped(card.signature))))


def test_a_domain_is_named_by_the_whole_card():
    other = who("authority").card(Role.HOLDER)
    assert domain_of(AUTHORITY_CARD) == domain_of(who("authority").card(Role.AUTHORITY))
    assert domain_of(AUTHORITY_CARD) != domain_of(other)
