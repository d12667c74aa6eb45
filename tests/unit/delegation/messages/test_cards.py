"""Cards that are none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from delegation_rig import label, person
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Name
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.hpke import PrivateKey
from tigertally.delegation.messages.cards import LabelCard, open_identity_card
from tigertally.delegation.messages.labels import LabelKey

ANN = person("ann")
LEVELS = ANN.levels(label("a/b"))
CARD = LabelCard(
    owner=ANN.signing_key.public, path=label("a/b"), levels=LEVELS, writers=(), expires=1
)
NO_POINT = LabelKey(b"\x02" + b"\xff" * 32)


@pytest.mark.requirement("D12")
@pytest.mark.parametrize(
    "change",
    [
        {"levels": LEVELS[:-1]},
        {"levels": (*LEVELS, LEVELS[-1])},
        {"levels": ()},
        {"levels": (*LEVELS[:-1], replace(LEVELS[-1], key=NO_POINT))},
        {"path": label("a")},
        {"path": label("a/b") * 33, "levels": LEVELS[:1] * 67},
    ],
    ids=["a level less", "a level more", "no level", "no point", "a name less", "too deep"],
)
def test_label_cards_that_are_none(change):
    with pytest.raises(MalformedMessage):
        replace(CARD, **change)


def test_versions_begin_with_one():
    with pytest.raises(MalformedMessage):
        replace(LEVELS[0], version=0)


def test_a_card_has_at_most_1000_writers(monkeypatch):
    monkeypatch.setattr("tigertally.delegation.messages.cards.MAX_WRITERS", 1)
    key = ANN.signing_key.public
    replace(CARD, writers=(key,))
    with pytest.raises(MalformedMessage):
        replace(CARD, writers=(key, person("bob").signing_key.public))


def test_an_identity_card_has_a_point_to_delegate_to():
    wrapping = PrivateKey.generate(SeededRandomness("ann")).public
    envelope = ANN.identity_card(Name("ann"), wrapping)
    card = open_identity_card(envelope)
    with pytest.raises(MalformedMessage, match="point"):
        replace(card, receiving_key=NO_POINT)
