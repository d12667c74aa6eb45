"""Re-encryption keys of one proxy: a quotient of two secret keys.

docs/protocols/single-proxy.md, "Rekeying". No I/O. The quotient is secret to owner and proxy; its
commitment is not.
"""

from __future__ import annotations

from typing import NoReturn

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Point, Scalar
from tigertally.base.errors import UsageError
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.schemes.umbral import SecretKey
from tigertally.schemes.umbral.hashing import U

Pair = tuple[Point, Point]  # E and V


class ReencryptionKey:
    """rk = a1/a2, which turns capsules for a1·G into capsules for a2·G. It does not print.

    **Security:** whoever has it and one of the two secret keys has the other. Two of them in a row
    multiply to one (equation 23); two with the same target give the quotient of their sources.
    """

    __slots__ = ("_commitment", "_scalar")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, scalar: Scalar) -> None:
        self._scalar = scalar
        self._commitment: Point | None = None

    @property
    def scalar(self) -> Scalar:
        """rk."""
        return self._scalar

    @classmethod
    def from_secret_bytes(cls, raw: Secret | bytes) -> ReencryptionKey:
        """Parse 32 bytes, big-endian.

        Raises:
            MalformedMessage: another length, zero, or not below the group order.
        """
        return cls(Scalar.from_secret_bytes(raw))

    def to_secret_bytes(self) -> bytes:
        """32 bytes, big-endian. **Security:** a copy that Python cannot wipe."""
        return self._scalar.to_secret_bytes()

    def commitment(self) -> Point:
        """u1 = rk·U, against which re-encryptions are proven; public."""
        if self._commitment is None:
            self._commitment = secp256k1.mul(self._scalar, U)
        return self._commitment

    def then(self, following: ReencryptionKey) -> ReencryptionKey:
        """The key of both steps in one: (a1/a2)·(a2/a3), equation 23."""
        return ReencryptionKey(self._scalar.mul(following.scalar))

    def applied(self, points: Pair) -> Pair:
        """(rk·E, rk·V), in constant time."""
        return secp256k1.mul(self._scalar, points[0]), secp256k1.mul(self._scalar, points[1])

    def __repr__(self) -> str:
        return "ReencryptionKey(secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("re-encryption keys are secret: they do not compare")

    def __reduce__(self) -> NoReturn:
        raise TypeError("re-encryption keys are secret: they do not pickle")


def rekey(
    from_sk: SecretKey, to_sk: SecretKey, *, randomness: Randomness | None = None
) -> ReencryptionKey:
    """The direct, multi-hop key from one of the owner's keys to another (equation 20).

    Args:
        randomness: blinds an inversion; the operating system's by default.

    Raises:
        UsageError: both are the same key.

    **Security:** never two sources with one target: that gives away the second source to whoever
    has both results and the first. `Rotation` derives its targets so that this cannot happen; use
    it where you can. It works in both directions, and proxy and one key give the other key.
    """
    if from_sk.public_key() == to_sk.public_key():
        raise UsageError("a key is not rotated to itself")
    inverse = to_sk.scalar.invert(randomness or SystemRandomness())
    return ReencryptionKey(from_sk.scalar.mul(inverse))  # (1)
