"""ECDSA: what the wheel accepts, and what nobody should."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import ORDER, Scalar
from tigertally.base.errors import InvalidSignature, MalformedMessage, UsageError
from tigertally.crypto import ecdsa
from tigertally.crypto.ecdsa import EcdsaSignature

KEY = Scalar.from_digest(hashlib.sha256(b"a signer").digest())
PUBLIC = secp256k1.mul_base(KEY)
MESSAGE = b"one message"
SIGNATURE = ecdsa.sign(KEY, MESSAGE)
R, S = int.from_bytes(SIGNATURE[:32], "big"), int.from_bytes(SIGNATURE[32:], "big")


def pair(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_openssl_accepts_what_we_sign_and_we_what_it_signs():
    theirs = ec.derive_private_key(int.from_bytes(KEY.to_secret_bytes(), "big"), ec.SECP256K1())
    theirs.public_key().verify(utils.encode_dss_signature(R, S), MESSAGE, ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(theirs.sign(MESSAGE, ec.ECDSA(hashes.SHA256())))
    ecdsa.verify(PUBLIC, MESSAGE, EcdsaSignature(pair(r, min(s, ORDER - s))))


def test_signing_is_deterministic_and_low():
    assert ecdsa.sign(KEY, MESSAGE) == SIGNATURE
    assert ORDER // 2 >= S


@pytest.mark.parametrize(
    "raw", [pair(0, 1), pair(1, 0), pair(ORDER, 1), pair(1, ORDER), pair(R, S)[:-1], b""]
)
def test_no_signature(raw):
    with pytest.raises(MalformedMessage):
        EcdsaSignature(raw)


@pytest.mark.parametrize(
    ("message", "r", "s"),
    [
        (b"another message", R, S),
        (MESSAGE, R, ORDER - S),
        (MESSAGE, S, R),
        (MESSAGE, R, S ^ 1),
        (MESSAGE, 1, 1),
        (MESSAGE, ORDER - 1, ORDER // 2),
    ],
    ids=["message", "high s", "swapped", "bit", "ones", "extremes"],
)
def test_refused(message, r, s):
    with pytest.raises(InvalidSignature):
        ecdsa.verify(PUBLIC, message, EcdsaSignature(pair(r, s)))


def test_zero_signs_nothing():
    with pytest.raises(UsageError):
        ecdsa.sign(Scalar(), MESSAGE)
