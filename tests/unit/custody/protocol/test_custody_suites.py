"""Both suites keep the same promises: deal, check, add up, rebuild."""

from __future__ import annotations

import itertools

import pytest

from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, PeerFault, UsageError
from tigertally.base.ids import Hash, HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.custody.messages.kinds import Suite
from tigertally.custody.protocol.suite_rules import SuiteRules
from tigertally.custody.protocol.suite_shamir import ShamirCommitments
from tigertally.custody.protocol.suites import PEDERSEN, SHAMIR, SUITES

FIVE = tuple(HolderIndex(i) for i in (1, 2, 4, 7, 9))
BOTH = pytest.mark.parametrize("rules", SUITES.values(), ids=[s.value for s in SUITES])


def dealt(rules: SuiteRules, seed: str = "a") -> tuple[bytes, dict[HolderIndex, Secret]]:
    return rules.deal(threshold=3, receivers=FIVE, randomness=SeededRandomness(seed))


@pytest.mark.requirement("C3")
@pytest.mark.requirement("C12")
@BOTH
def test_any_three_of_five_rebuild_one_key_and_two_do_not(rules: SuiteRules) -> None:
    commitments, payloads = dealt(rules)
    keys = []
    for chosen in itertools.combinations(FIVE, 3):
        with rules.rebuild(commitments, {i: payloads[i] for i in chosen}) as key:
            keys.append(key.to_secret_bytes())
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    for few in itertools.combinations(FIVE, 2):
        with pytest.raises((UsageError, PeerFault)):
            rules.rebuild(commitments, {i: payloads[i] for i in few})


@pytest.mark.requirement("X3")
@BOTH
def test_a_payload_fits_its_own_holder_and_nothing_else(rules: SuiteRules) -> None:
    commitments, payloads = dealt(rules)
    for index in FIVE:
        rules.check(commitments, threshold=3, index=index, payload=payloads[index])
    with pytest.raises(PeerFault) as caught:
        rules.check(commitments, threshold=3, index=FIVE[0], payload=payloads[FIVE[1]])
    assert caught.value.culprits == ()
    for place in (0, 40, rules.payload_bytes - 2):
        raw = bytearray(payloads[FIVE[0]].to_secret_bytes())
        raw[place] ^= 1
        with pytest.raises((PeerFault, MalformedMessage)):
            rules.check(commitments, threshold=3, index=FIVE[0], payload=Secret(raw))
    for size in (0, 31, rules.payload_bytes - 1, rules.payload_bytes + 1):
        with pytest.raises(MalformedMessage):
            rules.check(commitments, threshold=3, index=FIVE[0], payload=Secret(bytes(size)))


@BOTH
def test_commitments_say_for_whom_and_how_many(rules: SuiteRules) -> None:
    commitments, _ = dealt(rules)
    rules.check_commitments(commitments, threshold=3, receivers=FIVE)
    for wrong in (b"", commitments[:-1], commitments + b"\x00", bytes(len(commitments))):
        with pytest.raises(MalformedMessage):
            rules.check_commitments(wrong, threshold=3, receivers=FIVE)
    with pytest.raises(MalformedMessage):
        rules.check_commitments(commitments, threshold=2, receivers=FIVE)


def test_hash_commitments_name_their_receivers() -> None:
    commitments, _ = dealt(SHAMIR)
    with pytest.raises(MalformedMessage):
        SHAMIR.check_commitments(commitments, threshold=3, receivers=FIVE[:4])


@BOTH
def test_two_dealings_never_are_alike(rules: SuiteRules) -> None:
    first, second = dealt(rules, "a"), dealt(rules, "b")
    assert first[0] != second[0]
    key = rules.rebuild(first[0], {i: first[1][i] for i in FIVE[:3]})
    assert not key.matches(rules.rebuild(second[0], {i: second[1][i] for i in FIVE[:3]}))


@pytest.mark.requirement("X3")
def test_a_sum_of_pedersen_sharings_is_a_sharing_of_the_sum() -> None:
    parts = [dealt(PEDERSEN, seed) for seed in "abc"]
    commitments = PEDERSEN.sum_commitments([part[0] for part in parts])
    sums = {i: PEDERSEN.sum_payloads(i, [part[1][i] for part in parts]) for i in FIVE}
    for index in FIVE:
        PEDERSEN.check(commitments, threshold=3, index=index, payload=sums[index])
    keys = {
        PEDERSEN.rebuild(commitments, {i: sums[i] for i in chosen}).to_secret_bytes()
        for chosen in itertools.combinations(FIVE, 3)
    }
    assert len(keys) == 1
    singles = {PEDERSEN.rebuild(c, {i: p[i] for i in FIVE[:3]}).to_secret_bytes() for c, p in parts}
    assert not keys & singles


def test_the_authority_is_the_only_dealer_of_its_suite() -> None:
    first, second = dealt(SHAMIR, "a"), dealt(SHAMIR, "b")
    assert SHAMIR.sum_commitments([first[0]]) == first[0]
    for parts in ([], [first[0], second[0]]):
        with pytest.raises(MalformedMessage):
            SHAMIR.sum_commitments(parts)
    with pytest.raises(MalformedMessage):
        SHAMIR.sum_payloads(FIVE[0], [])


@pytest.mark.requirement("C4")
def test_the_key_check_value_tells_another_key() -> None:
    commitments, payloads = dealt(SHAMIR)
    parsed = decode(ShamirCommitments, commitments)
    other = encode(
        ShamirCommitments(threshold=3, fragments=parsed.fragments, key_check=Hash(b"\x01" * 32))
    )
    three = {i: payloads[i] for i in FIVE[:3]}
    with pytest.raises(PeerFault):
        SHAMIR.rebuild(other, three)
    pair = SHAMIR.rebuild_pair(commitments, three)
    assert SHAMIR.check_pair(commitments, pair).matches(SHAMIR.rebuild(commitments, three))
    with pytest.raises(PeerFault) as caught:
        SHAMIR.check_pair(commitments, Secret(b"\x05" * 64))
    assert caught.value.culprits == ("authority",)
    with pytest.raises(MalformedMessage):
        SHAMIR.check_pair(commitments, Secret(b"\x05" * 63))


@pytest.mark.requirement("C3")
def test_the_hash_of_a_fragment_is_salted() -> None:
    """Two dealings of one secret share no hash; the salt is no part of the fragment."""
    secret = Secret(bytes(range(64)))
    first, second = (
        SHAMIR.split(secret, threshold=2, receivers=FIVE, randomness=SeededRandomness(s))
        for s in "ab"
    )
    hashes = [{f.hash for f in decode(ShamirCommitments, c).fragments} for c, _ in (first, second)]
    assert not hashes[0] & hashes[1]
    pair = SHAMIR.rebuild_pair(first[0], {i: first[1][i] for i in FIVE[:2]})
    assert pair.matches(secret)


def test_every_suite_has_its_rules() -> None:
    assert set(SUITES) == set(Suite)
