"""Capsules: what opens them, and what is none."""

from __future__ import annotations

import dataclasses

import pytest

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Scalar
from tigertally.base.errors import InvalidSignature, MalformedMessage, UsageError
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import umbral
from tigertally.schemes.umbral import hashing

R = SeededRandomness("capsules")
OWNER, OTHER = umbral.SecretKey.random(R), umbral.SecretKey.random(R)


@pytest.mark.requirement("D1")
def test_a_seed_is_the_same_on_both_sides_and_for_nobody_else():
    capsule, seed = umbral.encapsulate(OWNER.public_key(), randomness=R)
    assert len(seed) == 33
    assert umbral.open_seed(OWNER, capsule).matches(seed)
    assert not umbral.open_seed(OTHER, capsule).matches(seed)
    again, another = umbral.encapsulate(OWNER.public_key(), randomness=R)
    assert again != capsule
    assert not another.matches(seed)


@pytest.mark.requirement("D1")
def test_data_opens_with_its_key_and_capsule_only():
    capsule, ciphertext = umbral.encrypt(OWNER.public_key(), b"data", randomness=R)
    assert len(ciphertext) == 44
    assert umbral.decrypt_original(OWNER, capsule, ciphertext) == b"data"
    other, _ = umbral.encrypt(OWNER.public_key(), b"data", randomness=R)
    attempts = [
        (OTHER, capsule, ciphertext),
        (OWNER, other, ciphertext),
        (OWNER, capsule, ciphertext[:-1]),
        (OWNER, capsule, ciphertext[:39]),
        (OWNER, capsule, b""),
        (OWNER, capsule, bytes([ciphertext[0] ^ 1]) + ciphertext[1:]),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidSignature):
            umbral.decrypt_original(*attempt)


def forged(r: int, u: int, s: Scalar | None = None) -> bytes:
    """A capsule's simple bytes from chosen exponents, modulo the order."""
    e, v = (
        secp256k1.mul_base(Scalar.from_secret_bytes((k % secp256k1.ORDER).to_bytes(32, "big")))
        for k in (r, u)
    )
    h = hashing.secret_scalar(hashing.CAPSULE_POINTS, e.to_bytes(), v.to_bytes())
    return e.to_bytes() + v.to_bytes() + (s or answer(h, r, u)).to_secret_bytes()


def answer(h: Scalar, r: int, u: int) -> Scalar:
    value = (int.from_bytes(h.to_secret_bytes(), "big") * r + u) % secp256k1.ORDER
    return Scalar.from_secret_bytes(value.to_bytes(32, "big"))


def test_who_knows_the_exponents_makes_a_capsule():
    assert umbral.Capsule.from_bytes_simple(forged(5, 7)).to_bytes_simple() == forged(5, 7)


def test_a_capsule_whose_seed_would_be_infinity_is_none():
    with pytest.raises(MalformedMessage, match="infinity"):
        umbral.Capsule.from_bytes_simple(forged(5, -5))


def test_an_equation_that_ends_in_infinity_is_no_crash():
    e = secp256k1.mul_base(Scalar.from_digest(bytes(32)))  # r = 1, so s = h gives s·G − h·E = 0
    v = secp256k1.mul_base(Scalar.from_digest(bytes(31) + b"\x08"))
    h = hashing.public_scalar(hashing.CAPSULE_POINTS, e.to_bytes(), v.to_bytes())
    with pytest.raises(MalformedMessage, match="not a valid capsule"):
        umbral.Capsule.from_bytes_simple(e.to_bytes() + v.to_bytes() + h)


@pytest.mark.parametrize("size", [0, 97, 99])
def test_a_simple_capsule_has_98_bytes(size):
    with pytest.raises(MalformedMessage):
        umbral.Capsule.from_bytes_simple(forged(5, 7).ljust(99, b"\0")[:size])


def test_nobody_else_makes_a_capsule():
    capsule, _ = umbral.encapsulate(OWNER.public_key(), randomness=R)
    with pytest.raises(UsageError):
        umbral.Capsule(e=capsule.e, v=capsule.v, s=capsule.s, h=capsule.h, proof=object())
    with pytest.raises(dataclasses.FrozenInstanceError):
        capsule.e = capsule.v  # type: ignore[misc]
