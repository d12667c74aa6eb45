"""ECDSA on secp256k1 (SEC 1 version 2, section 4.1) with SHA-256 and low s. No I/O.

For schemes whose standard fixes the bytes that are signed: no tag of ours stands before them.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, Self

from coincurve._libsecp256k1 import ffi, lib

from tigertally.algebra.secp256k1 import CONTEXT, Point, Scalar
from tigertally.base.errors import InvalidSignature, MalformedMessage, UsageError
from tigertally.base.ids import FixedBytes

_SIGNATURE = ffi.typeof("secp256k1_ecdsa_signature *")


class EcdsaSignature(FixedBytes):
    """r ‖ s, big-endian, each 1 … n − 1.

    Raises:
        MalformedMessage: another length, or a number that is zero or not below the group order.
    """

    SIZE: ClassVar[int] = 64

    def __new__(cls, value: bytes) -> Self:
        self = super().__new__(cls, value)
        for number in (self[:32], self[32:]):
            if not lib.secp256k1_ec_seckey_verify(CONTEXT, number):
                raise MalformedMessage("not an ECDSA signature: r and s are 1 to n − 1")
        return self


def sign(key: Scalar, message: bytes) -> EcdsaSignature:
    """Sign SHA-256 of `message`, in constant time; the nonce is RFC 6979's, s in the lower half."""
    signature, compact = ffi.new(_SIGNATURE), ffi.new("unsigned char[64]")
    digest = hashlib.sha256(message).digest()
    if not lib.secp256k1_ecdsa_sign(CONTEXT, signature, digest, key._cell, ffi.NULL, ffi.NULL):
        raise UsageError("zero is no signing key")
    lib.secp256k1_ecdsa_signature_serialize_compact(CONTEXT, compact, signature)
    return EcdsaSignature(bytes(ffi.buffer(compact)))


def verify(public: Point, message: bytes, signature: EcdsaSignature) -> None:
    """Check a signature over SHA-256 of `message`.

    Raises:
        InvalidSignature: it does not verify, or s is in the upper half.
    """
    parsed, digest = ffi.new(_SIGNATURE), hashlib.sha256(message).digest()
    lib.secp256k1_ecdsa_signature_parse_compact(CONTEXT, parsed, signature)
    if not lib.secp256k1_ecdsa_verify(CONTEXT, parsed, digest, public._key):
        raise InvalidSignature("the ECDSA signature does not verify")
