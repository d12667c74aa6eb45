"""Receive keys: one per possible sender, signed, numbered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody_small import NOW, small
from tigertally.algebra import tags
from tigertally.base.codec import decode, dumps
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.base.ids import DomainId, HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.envelope import sign_message
from tigertally.crypto.signatures import SigningKey
from tigertally.quorum.receive_keys import (
    ReceiveKeys,
    age_of,
    bundle_hash,
    draw_receive_keys,
    newest_by_holder,
    next_number,
    open_receive_keys,
    private_key,
)

SMALL = small()
ME = HolderIndex(2)
DOMAIN, SIGNER = SMALL.roster.domain, SMALL.roster.signer


def drawn(number: int = 7):
    return draw_receive_keys(
        DOMAIN,
        ME,
        range(7),
        number=number,
        key=SMALL.key(2),
        now=NOW,
        randomness=SeededRandomness(f"keys {number}"),
    )


@pytest.mark.requirement("X4")
def test_there_is_a_key_for_every_sender_and_its_private_half_is_kept() -> None:
    seeds, envelope = drawn()
    keys = open_receive_keys(envelope, DOMAIN, SIGNER)
    assert [key.sender for key in keys.keys] == [0, 1, 2, 3, 4, 5, 6]
    for key in keys.keys:
        seed = seeds.seed_for(key.sender)
        assert seed is not None
        assert private_key(seed).public == key.key
    assert seeds.seed_for(7) is None
    assert not seeds.published
    assert "seed" not in repr(seeds).lower().replace("seeds(", "")


def test_no_two_sets_share_a_key() -> None:
    first, second = (open_receive_keys(drawn(n)[1], DOMAIN, SIGNER) for n in (1, 2))
    assert not {k.key for k in first.keys} & {k.key for k in second.keys}


def test_signed_by_its_holder_for_this_domain() -> None:
    _, envelope = drawn()
    keys = decode(ReceiveKeys, envelope.body)
    with pytest.raises(InvalidSignature):
        open_receive_keys(sign_message(SMALL.key(3), tags.RECEIVE_KEYS, keys), DOMAIN, SIGNER)
    with pytest.raises(InvalidSignature):
        open_receive_keys(sign_message(SMALL.key(2), tags.DEALING, keys), DOMAIN, SIGNER)
    foreign = replace(keys, domain=DomainId(b"\x01" * 32))
    with pytest.raises(MalformedMessage):
        open_receive_keys(sign_message(SMALL.key(2), tags.RECEIVE_KEYS, foreign), DOMAIN, SIGNER)
    stranger = replace(keys, holder=HolderIndex(9))
    with pytest.raises(Refused):
        open_receive_keys(sign_message(SMALL.key(2), tags.RECEIVE_KEYS, stranger), DOMAIN, SIGNER)


def test_published_keys_are_named_by_their_signed_bytes() -> None:
    _, envelope = drawn()
    published = newest_by_holder([envelope], DOMAIN, SIGNER)
    assert published[ME].bundle == bundle_hash(envelope)
    assert bundle_hash(drawn(8)[1]) != bundle_hash(envelope)


def test_numbers_grow_also_after_a_restored_back_up() -> None:
    assert next_number(None, now=100) == 100
    assert next_number(40, now=100) == 100
    assert next_number(100, now=100) == 101
    assert next_number(500, now=100) == 501


@pytest.mark.requirement("X5")
def test_the_age_of_stored_keys_is_what_they_say() -> None:
    _, envelope = drawn(9)
    age, keys = age_of(envelope), decode(ReceiveKeys, envelope.body)
    assert (age.number, age.created) == (keys.number, keys.created) == (9, NOW)
    with pytest.raises(MalformedMessage):
        age_of(replace(envelope, body=envelope.body[:-1]))
    with pytest.raises(MalformedMessage):
        age_of(replace(envelope, body=dumps([1, 2, 3])))


def test_whoever_has_a_key_can_receive() -> None:
    """The receiver need be in no roster: the caller says whose key must have signed."""
    key = SigningKey.generate(SeededRandomness("not in the roster"))
    _, envelope = draw_receive_keys(
        DOMAIN,
        HolderIndex(9),
        [4, 7],
        number=1,
        key=key,
        now=NOW,
        randomness=SeededRandomness("keys"),
    )
    with pytest.raises(Refused):
        open_receive_keys(envelope, DOMAIN, SIGNER)
    keys = open_receive_keys(envelope, DOMAIN, lambda _: (key.public, "a party"))
    assert [one.sender for one in keys.keys] == [4, 7]
    with pytest.raises(InvalidSignature):
        open_receive_keys(envelope, DOMAIN, lambda _: (SMALL.key(2).public, "another"))
