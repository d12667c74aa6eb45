"""The barrier's envelopes, challenges and answers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from custody_small import small
from tigertally.algebra import tags
from tigertally.base.codec import decode
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
)
from tigertally.base.ids import DomainId, Hash, HolderIndex, Nonce
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.messages.lock import Answer, Challenge, Envelopes
from tigertally.custody.protocol.lock import (
    answer_challenge,
    barrier_hash,
    challenge_hash,
    combine_barrier,
    envelope_for,
    fresh_key,
    open_answer,
    open_challenge,
    open_envelopes,
    refuse_challenge,
    seal_barrier,
    sign_challenge,
    sign_envelopes,
    unlock_needs,
    unwrap_answer,
)
from tigertally.quorum.roster import Roster

H = HolderIndex
SMALL = small()
BARRIER = b"\x2a" * 32


def roster(unlock: int = 1) -> Roster:
    return replace(SMALL.roster, unlock=unlock)


def sealed(unlock: int = 1) -> Envelopes:
    return seal_barrier(Secret(BARRIER), roster(unlock), SeededRandomness("seal"))


def challenge(seed: str = "c") -> tuple[Envelope, Challenge, PrivateKey]:
    private, public = fresh_key(SeededRandomness(seed))
    message = Challenge(
        domain=SMALL.roster.domain,
        nonce=Nonce(b"\x01" * 32),
        wrapping_key=public,
        roster=SMALL.roster.hash,
        checkpoint="",
        expires=10,
    )
    return sign_challenge(SMALL.rig.key, message), message, private


def answer(
    holder: int, envelopes: Envelopes, *, of: int | None = None
) -> tuple[Answer, PrivateKey]:
    envelope, message, private = challenge()
    signed = answer_challenge(
        envelope,
        message,
        sealed=envelope_for(envelopes, H(of or holder)).sealed,
        electorate=envelopes.electorate,
        holder=H(holder),
        long_term=SMALL.rig.devices[f"h{holder}"].wrapping_key,
        key=SMALL.key(holder),
    )
    return open_answer(signed, challenge_hash(envelope), SMALL.roster), private


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("unlock", [1, 2, 3])
def test_any_so_many_holders_give_the_barrier_key_back(unlock: int) -> None:
    envelopes = sealed(unlock)
    assert (envelopes.unlock, len(envelopes.envelopes)) == (unlock, 4)
    for chosen in itertools.combinations(range(1, 5), unlock):
        parts = {}
        for holder in chosen:
            said, private = answer(holder, envelopes)
            parts[H(holder)] = unwrap_answer(said, private, envelopes)
        assert combine_barrier(parts, envelopes).matches(BARRIER)
        if unlock > 1:
            assert all(not part.matches(BARRIER) for part in parts.values())


@pytest.mark.requirement("C6")
def test_nothing_in_an_envelope_shows_the_barrier_key() -> None:
    for unlock in (1, 2):
        envelopes = sealed(unlock)
        assert all(BARRIER not in one.sealed for one in envelopes.envelopes)
        assert len({one.part for one in envelopes.envelopes}) == 4
    assert sealed().barrier_hash == barrier_hash(SMALL.roster.domain, Secret(BARRIER))
    assert sealed().barrier_hash not in {one.part for one in sealed().envelopes}


@pytest.mark.requirement("C6")
def test_an_envelope_opens_only_for_its_holder_domain_and_electorate() -> None:
    envelopes = sealed()
    with pytest.raises(PeerFault) as caught:
        answer(1, envelopes, of=2)
    assert caught.value.culprits == ("authority",)
    with pytest.raises(PeerFault):
        answer(1, replace(envelopes, electorate=Hash(bytes(32))))
    with pytest.raises(Refused):
        envelope_for(envelopes, H(9))


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("unlock", [1, 2])
def test_a_wrong_part_is_found_by_itself(unlock: int) -> None:
    envelopes = sealed(unlock)
    said, private = answer(1, envelopes)
    unwrap_answer(said, private, envelopes)
    for wrong in (
        replace(said, holder=H(2)),  # as if another had answered
        replace(said, wrapped=b""),
        replace(said, wrapped=bytes(len(said.wrapped))),
        replace(said, challenge=Hash(bytes(32))),  # of another challenge
    ):
        with pytest.raises(PeerFault) as caught:
            unwrap_answer(wrong, private, envelopes)
        assert caught.value.culprits == ()
    with pytest.raises(Refused):
        unwrap_answer(replace(said, holder=H(9)), private, envelopes)
    with pytest.raises(PeerFault):
        unwrap_answer(said, challenge("another")[2], envelopes)
    other = seal_barrier(Secret(b"\x07" * 32), roster(unlock), SeededRandomness("o"))
    with pytest.raises(PeerFault, match="not what the envelope holds"):
        unwrap_answer(said, private, other)


def test_checked_parts_that_make_another_key_mean_damage() -> None:
    envelopes = replace(sealed(2), barrier_hash=Hash(bytes(32)))
    parts = {}
    for holder in (1, 2):
        said, private = answer(holder, envelopes)
        parts[H(holder)] = unwrap_answer(said, private, envelopes)
    with pytest.raises(Corrupt):
        combine_barrier(parts, envelopes)


@pytest.mark.requirement("C6")
def test_envelopes_are_the_authoritys_own() -> None:
    signed = sign_envelopes(SMALL.rig.key, sealed())
    assert open_envelopes(signed, SMALL.roster) == sealed_like(signed)
    with pytest.raises(InvalidSignature):
        open_envelopes(sign_envelopes(SMALL.key(1), sealed()), SMALL.roster)
    foreign = replace(sealed(), domain=DomainId(bytes(32)))
    with pytest.raises(MalformedMessage):
        open_envelopes(sign_envelopes(SMALL.rig.key, foreign), SMALL.roster)


def sealed_like(signed: Envelope) -> Envelopes:
    return decode(Envelopes, signed.body)


@pytest.mark.requirement("C6")
def test_who_asks_and_who_answers_is_signed() -> None:
    envelope, message, _ = challenge()
    assert open_challenge(envelope, SMALL.rig.key.public) == message
    with pytest.raises(InvalidSignature):
        open_challenge(envelope, SMALL.key(1).public)
    said, _ = answer(1, sealed())
    name = challenge_hash(envelope)
    by_another = sign_message(SMALL.key(2), tags.UNLOCK_ANSWER, said)
    with pytest.raises(InvalidSignature):
        open_answer(by_another, name, SMALL.roster)
    honest = sign_message(SMALL.key(1), tags.UNLOCK_ANSWER, said)
    with pytest.raises(Refused, match="another challenge"):
        open_answer(honest, Hash(bytes(32)), SMALL.roster)
    foreign = sign_message(
        SMALL.key(1), tags.UNLOCK_ANSWER, replace(said, domain=DomainId(bytes(32)))
    )
    with pytest.raises(Refused):
        open_answer(foreign, name, SMALL.roster)
    stranger = sign_message(SMALL.key(1), tags.UNLOCK_ANSWER, replace(said, holder=H(9)))
    with pytest.raises(Refused):
        open_answer(stranger, name, SMALL.roster)


def test_a_refusal_says_why_and_holds_nothing() -> None:
    envelope, message, private = challenge()
    signed = refuse_challenge(
        envelope, message, holder=H(1), roster=SMALL.roster, why="x" * 999, key=SMALL.key(1)
    )
    said = open_answer(signed, challenge_hash(envelope), SMALL.roster)
    assert (len(said.refusal), said.wrapped) == (300, b"")
    with pytest.raises(PeerFault):
        unwrap_answer(said, private, sealed())


@pytest.mark.parametrize(
    ("unlock", "holders", "need"), [(1, 4, 1), (3, 4, 3), (3, 2, 2), (2, 1, 1)]
)
def test_while_forming_fewer_unlock(unlock: int, holders: int, need: int) -> None:
    few = replace(roster(unlock), holders=SMALL.roster.holders[:holders])
    assert unlock_needs(few) == need
    assert seal_barrier(Secret(BARRIER), few, SeededRandomness("f")).unlock == need
