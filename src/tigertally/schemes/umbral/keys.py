"""Umbral's keys: pairs for delegation, the signer of key fragments, and a factory of both.

No I/O. A secret key is a scalar a, its public key the point A = a·G.
"""

from __future__ import annotations

from typing import NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Point, Scalar
from tigertally.base.errors import MalformedMessage
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto import ecdsa
from tigertally.crypto.ecdsa import EcdsaSignature
from tigertally.schemes.umbral import hashing

SEED_BYTES = 32
_DERIVED_BYTES = 64


class PublicKey:
    """A public key: to encrypt to, to delegate to, or to verify with. 33 bytes."""

    __slots__ = ("point",)

    def __init__(self, point: Point) -> None:
        self.point = point

    @classmethod
    def from_bytes(cls, raw: bytes) -> PublicKey:
        """Parse a compressed point.

        Raises:
            MalformedMessage: anything else; infinity and uncompressed points too.
        """
        return cls(Point.from_bytes(raw))

    def to_bytes(self) -> bytes:
        """The compressed point."""
        return self.point.to_bytes()

    def verify(self, message: bytes, signature: EcdsaSignature) -> None:
        """Check ECDSA with SHA-256; raises `InvalidSignature`."""
        ecdsa.verify(self.point, message, signature)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.point == other.point

    def __hash__(self) -> int:
        return hash(self.point)

    def __repr__(self) -> str:
        return f"PublicKey({self.to_bytes().hex()})"


class SecretKey:
    """A secret key; it does not print, compare or pickle."""

    __slots__ = ("_public", "scalar")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, scalar: Scalar) -> None:
        self.scalar = scalar
        self._public: PublicKey | None = None

    @classmethod
    def random(cls, randomness: Randomness | None = None) -> SecretKey:
        """A fresh key; from the operating system's randomness by default."""
        return cls(Scalar.random(randomness or SystemRandomness()))

    @classmethod
    def from_secret_bytes(cls, raw: Secret | bytes) -> SecretKey:
        """Parse 32 bytes, big-endian.

        Raises:
            MalformedMessage: another length, zero, or not below the group order.
        """
        return cls(Scalar.from_secret_bytes(raw))

    def to_secret_bytes(self) -> bytes:
        """32 bytes, big-endian. **Security:** a copy that Python cannot wipe."""
        return self.scalar.to_secret_bytes()

    def public_key(self) -> PublicKey:
        """The public key of this pair."""
        if self._public is None:
            self._public = PublicKey(secp256k1.mul_base(self.scalar))
        return self._public

    def __repr__(self) -> str:
        return "SecretKey(secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secret keys do not compare")

    def __reduce__(self) -> NoReturn:
        raise TypeError("secret keys do not pickle")


class Signer:
    """Signs an owner's key fragments: ECDSA with SHA-256, r ‖ s, low s.

    **Security:** use a key of one grant only; its signatures link what it signs.
    """

    __slots__ = ("_key",)

    def __init__(self, key: SecretKey) -> None:
        self._key = key

    def sign(self, message: bytes) -> EcdsaSignature:
        """Sign the SHA-256 digest of `message`; deterministic, as RFC 6979 has it."""
        return ecdsa.sign(self._key.scalar, message)

    def verifying_key(self) -> PublicKey:
        """The key that verifies."""
        return self._key.public_key()

    def __repr__(self) -> str:
        return "Signer(secret)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("signers do not pickle")


class SecretKeyFactory:
    """Derives secret keys, secrets and further factories from one seed and labels.

    Args:
        seed: 32 bytes of randomness.

    Raises:
        MalformedMessage: a seed of another length.
    """

    __slots__ = ("_seed",)

    def __init__(self, seed: Secret | bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise MalformedMessage(f"a factory's seed is {SEED_BYTES} bytes")
        self._seed = seed if isinstance(seed, Secret) else Secret(seed)

    @classmethod
    def random(cls, randomness: Randomness | None = None) -> SecretKeyFactory:
        """A factory with a fresh seed."""
        return cls(Secret.random(randomness or SystemRandomness(), SEED_BYTES))

    def make_secret(self, label: bytes) -> Secret:
        """64 secret bytes: HKDF-SHA256(seed, info `SECRET_DERIVATION/` ‖ label)."""
        return self._derived(hashing.SECRET_DERIVATION + label, _DERIVED_BYTES)

    def make_key(self, label: bytes) -> SecretKey:
        """The secret key of this label."""
        purpose = hashing.KEY_DERIVATION + label
        return SecretKey(hashing.secret_scalar(purpose, self._derived(purpose, _DERIVED_BYTES)))

    def make_factory(self, label: bytes) -> SecretKeyFactory:
        """The factory of this label: who has it learns nothing of this one."""
        return SecretKeyFactory(self._derived(hashing.FACTORY_DERIVATION + label, SEED_BYTES))

    def _derived(self, info: bytes, size: int) -> Secret:
        out = bytearray(size)
        with self._seed.exposed() as raw:
            HKDF(SHA256(), size, None, info).derive_into(raw, out)
        return Secret(out)

    def __repr__(self) -> str:
        return "SecretKeyFactory(secret)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("factories of secret keys do not pickle")
