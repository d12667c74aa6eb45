"""Hybrid public-key encryption (RFC 9180, base mode) to ML-KEM-768 and X25519 at once.

No I/O. Suite: KEM MLKEM768-X25519, HKDF-SHA256, AES-256-GCM, from `cryptography`. An attacker must
break both the lattice and the curve, now or later, to open a message. The context a message
belongs to goes into `info`, which begins with a tag from `algebra/tags.py`.

**Security:** base mode does not say who sealed; messages that need a sender carry a signature.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import FixedBytes
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret

OVERHEAD = 1136  # bytes: ML-KEM ciphertext 1088, X25519 share 32, AES-GCM mark 16

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_X25519_BYTES = 32
_X25519_PRIME = 2**255 - 19
_CACHED_KEYS = 1024
_PROBE = X25519PrivateKey.from_private_bytes(bytes(31) + b"\x40")  # any key finds small orders


@lru_cache(maxsize=_CACHED_KEYS)
def _checked(raw: bytes) -> MLKEM768X25519PublicKey:
    lattice, curve = raw[:_MLKEM_PUBLIC_BYTES], raw[_MLKEM_PUBLIC_BYTES:]
    if int.from_bytes(curve, "little") >= _X25519_PRIME:
        raise MalformedMessage("not a public encryption key: X25519 part is not canonical")
    try:
        point = X25519PublicKey.from_public_bytes(curve)
        _PROBE.exchange(point)  # all-zero result: a point of small order
        return MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(lattice), point)
    except ValueError as error:
        raise MalformedMessage("not a public encryption key") from error


class PublicKey(FixedBytes):
    """A public encryption key: ML-KEM-768 (1184 bytes) followed by X25519 (32 bytes).

    Raises:
        MalformedMessage: wrong length, ML-KEM coefficients out of range (FIPS 203 section 7.2),
            an X25519 point that is not canonical or of small order.
    """

    SIZE = _MLKEM_PUBLIC_BYTES + _X25519_BYTES

    def __new__(cls, value: bytes) -> Self:
        self = super().__new__(cls, value)
        _checked(bytes(self))
        return self

    def seal(self, plaintext: bytes | Secret, *, info: bytes) -> bytes:
        """Encrypt to the owner of this key; the result is `OVERHEAD` bytes longer.

        Args:
            plaintext: any length.
            info: a tag and everything this message is bound to; opening needs the same bytes.
        """
        key = _checked(bytes(self))
        if isinstance(plaintext, Secret):
            with plaintext.exposed() as raw:
                return _SUITE.encrypt(raw, key, info)
        return _SUITE.encrypt(plaintext, key, info)


class PrivateKey:
    """A secret encryption key, made from a 96-byte seed: ML-KEM d ‖ z (64), X25519 (32).

    **Security:** OpenSSL keeps its own copy of the key while this object lives.
    """

    __slots__ = ("_key", "public", "seed")

    SEED_BYTES = _MLKEM_SEED_BYTES + _X25519_BYTES

    def __init__(self, seed: Secret) -> None:
        if len(seed) != self.SEED_BYTES:
            raise MalformedMessage(f"an encryption key's seed is {self.SEED_BYTES} bytes")
        with seed.exposed() as raw:
            lattice = MLKEM768PrivateKey.from_seed_bytes(raw[:_MLKEM_SEED_BYTES])
            curve = X25519PrivateKey.from_private_bytes(raw[_MLKEM_SEED_BYTES:])
        self._key = MLKEM768X25519PrivateKey(lattice, curve)
        self.seed = seed
        self.public = PublicKey(
            lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls, randomness: Randomness) -> PrivateKey:
        """A fresh key."""
        return cls(Secret.random(randomness, cls.SEED_BYTES))

    def open(self, ciphertext: bytes, *, info: bytes) -> Secret:
        """Decrypt what was sealed to `public` with the same `info`.

        Raises:
            InvalidSignature: too short, damaged, sealed to another key or with another `info`.
        """
        try:
            return Secret(bytearray(_SUITE.decrypt(ciphertext, self._key, info)))
        except (InvalidTag, ValueError) as error:
            raise InvalidSignature("the message does not open with this key and context") from error

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public.hex()[:16]}…)"
