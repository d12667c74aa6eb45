"""The direct form: what its keys do, and what whoever has too many of them can do."""

from __future__ import annotations

import copy
import pickle

import pytest

from rotation_rig import OWNER, READER, A, B, R, capsules, number, scalar
from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import ORDER
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.schemes import umbral
from tigertally.schemes.single_pre import ReencryptionKey, rekey, rotate
from tigertally.schemes.umbral.hashing import U
from tigertally.schemes.umbral.opening import checked_seed

pytestmark = pytest.mark.requirement("D2")

THIRD = umbral.SecretKey.random(R)
KEY = rekey(OWNER, READER, randomness=R)
((CAPSULE,), (SEED,)) = capsules(1)


def opened(sk, points, origin=A):
    e, v = (secp256k1.mul_to_secret(sk.scalar, point) for point in points)
    return checked_seed(e, v, s=CAPSULE.s, h=CAPSULE.h, origin=origin)


def test_a_key_turns_capsules_and_keeps_the_seed():
    assert opened(READER, rotate(CAPSULE, KEY)).matches(SEED)


def test_many_hops_are_one():
    following = rekey(READER, THIRD, randomness=R)
    twice = following.applied(rotate(CAPSULE, KEY))
    assert opened(THIRD, twice).matches(SEED)
    assert twice == rotate(CAPSULE, KEY.then(following))
    direct = rekey(OWNER, THIRD)
    assert direct.commitment() == KEY.then(following).commitment()


def test_the_commitment_is_the_key_times_u():
    assert KEY.commitment() == secp256k1.mul(KEY.scalar, U)
    assert ReencryptionKey.from_secret_bytes(KEY.to_secret_bytes()).commitment() == (
        KEY.commitment()
    )


def test_a_key_is_not_rotated_to_itself():
    with pytest.raises(UsageError):
        rekey(OWNER, umbral.SecretKey.from_secret_bytes(OWNER.to_secret_bytes()))


@pytest.mark.parametrize("value", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_no_key(value):
    with pytest.raises(MalformedMessage):
        ReencryptionKey.from_secret_bytes(value.to_bytes(32, "big"))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_is_32_bytes(size):
    with pytest.raises(MalformedMessage):
        ReencryptionKey.from_secret_bytes(b"\x01" * size)


def test_a_key_does_not_print_compare_or_pickle():
    key = ReencryptionKey(scalar(0xC0FFEE))
    assert "c0ffee" not in repr(key)
    assert "secret" in repr(key)
    for refused in (
        lambda: key == key,  # noqa: PLR0124
        lambda: hash(key),
        lambda: pickle.dumps(key),
        lambda: copy.copy(key),
    ):
        with pytest.raises(TypeError):
            refused()


# What docs/protocols/single-proxy.md says that works.


def test_it_works_in_both_directions():
    back = ReencryptionKey(KEY.scalar.invert(R))
    assert back.applied(rotate(CAPSULE, KEY)) == (CAPSULE.e, CAPSULE.v)


def test_proxy_and_one_key_have_the_other():
    rk = number(KEY.scalar)
    assert number(OWNER.scalar) == rk * number(READER.scalar) % ORDER
    assert number(READER.scalar) == number(OWNER.scalar) * pow(rk, -1, ORDER) % ORDER


def test_a_proxy_recognises_two_public_keys():
    assert secp256k1.mul(KEY.scalar, B.point) == A.point


def test_two_sources_with_one_target_give_the_second_away():
    second = rekey(THIRD, READER, randomness=R)
    quotient = number(second.scalar) * pow(number(KEY.scalar), -1, ORDER)
    assert number(OWNER.scalar) * quotient % ORDER == number(THIRD.scalar)
