"""The laws of single-proxy re-encryption for any keys, and of rotation for any batch and m of n."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation_rig import FACTORY, READER, B, answers, kfrags_under, rotated, scalar
from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import ORDER
from tigertally.base.errors import MalformedMessage, PeerFault
from tigertally.base.ids import Hash
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import single_pre, umbral

NUMBERS = st.one_of(st.integers(1, ORDER - 1), st.sampled_from([1, 2, ORDER - 1, 2**128 - 1]))
SEEDS = st.integers(0, 2**64)


def key(value: int) -> umbral.SecretKey:
    return umbral.SecretKey(scalar(value))


@pytest.mark.requirement("D2")
@settings(max_examples=25)
@given(a=NUMBERS, b=NUMBERS, seed=SEEDS)
def test_whom_a_key_is_shared_with_reads(a, b, seed):
    randomness = SeededRandomness(seed)
    owner, reader = key(a), key(b)
    capsule, expected = umbral.encapsulate(owner.public_key(), randomness=randomness)
    shared_key = single_pre.share(owner, reader.public_key(), randomness=randomness)
    raw = single_pre.reencrypt_shared(capsule, shared_key, randomness=randomness).to_bytes()
    answer = single_pre.SharedCapsule.from_bytes(raw)
    opened = single_pre.open_shared(reader, owner.public_key(), capsule, answer)
    assert opened.matches(expected)


@pytest.mark.requirement("D2")
@settings(max_examples=25)
@given(keys=st.lists(NUMBERS, min_size=2, max_size=5, unique=True), seed=SEEDS)
def test_hops_add_up(keys, seed):
    randomness = SeededRandomness(seed)
    first, last = key(keys[0]), key(keys[-1])
    capsule, expected = umbral.encapsulate(first.public_key(), randomness=randomness)
    points, whole = (capsule.e, capsule.v), None
    for before, after in pairwise(keys):
        step = single_pre.rekey(key(before), key(after), randomness=randomness)
        points = step.applied(points)
        whole = step if whole is None else whole.then(step)
    assert whole is not None
    assert single_pre.rotate(capsule, whole) == points
    seed_point = secp256k1.mul_to_secret(last.scalar, secp256k1.total(points))
    assert seed_point.to_secret().matches(expected)


@pytest.mark.requirement("D16")
@settings(max_examples=15)
@given(data=st.data(), a=NUMBERS, seed=SEEDS)
def test_rotated_capsules_are_read_by_whom_they_are_delegated_to(data, a, seed):
    randomness = SeededRandomness(seed)
    count, hops = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    n = data.draw(st.integers(1, 5))
    m = data.draw(st.integers(1, n))
    owner = key(a)
    made = [umbral.encapsulate(owner.public_key(), randomness=randomness) for _ in range(count)]
    rotation = single_pre.Rotation.first(FACTORY, Hash(bytes(32)), owner, randomness=randomness)
    done = rotated(rotation, [capsule for capsule, _ in made])
    for _ in range(hops - 1):
        again = single_pre.Rotation.again(FACTORY, done.rotation, randomness=randomness)
        done = rotated(again, done.members)
    at = data.draw(st.integers(0, count - 1))
    member, expected = done.members[at], made[at][1]
    cfrags = answers(done.rotation, member, kfrags_under(done.rotation, m, n))
    chosen = data.draw(st.permutations(cfrags))[: data.draw(st.integers(m, n))]
    opened = single_pre.open_reencrypted_member(READER, owner.public_key(), member, chosen)
    assert opened.matches(expected)
    assert single_pre.open_member(done.rotation, member).matches(expected)


OWNER = key(0xD2)
CAPSULE, _ = umbral.encapsulate(OWNER.public_key(), randomness=SeededRandomness("laws"))
SHARED = single_pre.share(OWNER, B, randomness=SeededRandomness("laws of sharing"))
ANSWER = single_pre.reencrypt_shared(CAPSULE, SHARED, randomness=SeededRandomness("an answer"))


@pytest.mark.requirement("D2")
@settings(max_examples=60)
@given(bit=st.integers(0, 278 * 8 - 1))
def test_no_bit_of_an_answer_can_be_flipped(bit):
    raw = bytearray(ANSWER.to_bytes())
    raw[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises((MalformedMessage, PeerFault)):
        answer = single_pre.SharedCapsule.from_bytes(bytes(raw))
        single_pre.open_shared(READER, OWNER.public_key(), CAPSULE, answer)
