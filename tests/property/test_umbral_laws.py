"""Umbral's laws for any plaintext, any m of n, any choice of proxies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import ORDER, Point, Scalar
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import umbral

NUMBERS = st.one_of(st.integers(1, ORDER - 1), st.sampled_from([1, 2, ORDER - 1, 2**128 - 1]))


def scalar(value: int) -> Scalar:
    return Scalar.from_secret_bytes(value.to_bytes(32, "big"))


@pytest.mark.requirement("D3")
@settings(max_examples=25)
@given(data=st.data(), plaintext=st.binary(max_size=100), seed=st.integers(0, 2**64))
def test_whoever_m_proxies_serve_reads(data, plaintext, seed):
    randomness = SeededRandomness(seed)
    n = data.draw(st.integers(1, 6))
    m = data.draw(st.integers(1, n))
    chosen = data.draw(st.permutations(range(n)))[: data.draw(st.integers(m, n))]
    flags = data.draw(st.tuples(st.booleans(), st.booleans()))
    owner, reader, signing = (umbral.SecretKey.random(randomness) for _ in range(3))
    a, b, v = (key.public_key() for key in (owner, reader, signing))
    capsule, ciphertext = umbral.encrypt(a, plaintext, randomness=randomness)
    capsule = umbral.Capsule.from_bytes(capsule.to_bytes())
    kfrags = umbral.generate_key_fragments(
        owner, b, umbral.Signer(signing), m, n, *flags, randomness=randomness
    )
    cfrags = []
    for i in chosen:
        kfrag = umbral.KeyFragment.from_bytes(kfrags[i].to_bytes()).verify(v, a, b)
        raw = umbral.reencrypt(capsule, kfrag, randomness=randomness).to_bytes()
        cfrags.append(umbral.CapsuleFragment.from_bytes(raw).verify(capsule, v, a, b))
    assert umbral.decrypt_reencrypted(reader, a, capsule, cfrags, ciphertext) == plaintext
    assert umbral.decrypt_original(owner, capsule, ciphertext) == plaintext


@given(a=NUMBERS, b=NUMBERS, c=NUMBERS)
def test_multiplication_is_linear_however_it_is_done(a, b, c):
    p = secp256k1.mul_base(scalar(c))
    once = secp256k1.mul(scalar(a), secp256k1.mul_public(scalar(b).published(), p))
    assert once == secp256k1.mul_base(scalar(a * b * c % ORDER))
    if (a + b) % ORDER:
        both = [secp256k1.mul(scalar(k), p) for k in (a, b)]
        assert secp256k1.total(both) == secp256k1.mul(scalar(a).add(scalar(b)), p)
    if (a - b * c) % ORDER:
        difference = secp256k1.difference_public(scalar(a).published(), scalar(b).published(), p)
        assert difference == secp256k1.mul_base(scalar((a - b * c) % ORDER))
    assert Point.from_bytes(p.to_bytes()) == p
