"""Capsules: a shared seed, encapsulated to a public key. docs/protocols/umbral.md, "Encapsulating".

Public: everything in a capsule. Secret: the seed. No I/O.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Point, PublicScalar, Scalar, SecretPoint
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.schemes.umbral import hashing
from tigertally.schemes.umbral.keys import PublicKey, SecretKey
from tigertally.schemes.umbral.wire import Layout

SIMPLE_BYTES = 98
_LAYOUT = Layout("capsule", (33, 33, 32))
_CHECKED = object()  # what only this module shows to Capsule


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """E = r·G, V = u·G and s = u + r·h with h = H(E, V): proof that its maker knew r and u.

    Only `encapsulate` and `from_bytes` make one, so a capsule is always a valid one.
    """

    e: Point
    v: Point
    s: PublicScalar
    h: PublicScalar
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _CHECKED:
            raise UsageError("only encapsulate and from_bytes make a capsule")

    def to_bytes(self) -> bytes:
        """The MessagePack array [E, V, s], 105 bytes."""
        return _LAYOUT.pack(self.e.to_bytes(), self.v.to_bytes(), bytes(self.s))

    def to_bytes_simple(self) -> bytes:
        """E ‖ V ‖ s, 98 bytes."""
        return self.e.to_bytes() + self.v.to_bytes() + self.s

    @classmethod
    def from_bytes(cls, raw: bytes) -> Capsule:
        """Parse and check what `to_bytes` wrote.

        Raises:
            MalformedMessage: other bytes, or a capsule that fails its own equation.
        """
        return _checked(*_LAYOUT.unpack(raw))

    @classmethod
    def from_bytes_simple(cls, raw: bytes) -> Capsule:
        """Parse and check what `to_bytes_simple` wrote; raises as `from_bytes`."""
        if len(raw) != SIMPLE_BYTES:
            raise MalformedMessage(f"a simple capsule is {SIMPLE_BYTES} bytes")
        return _checked(raw[:33], raw[33:66], raw[66:])

    def shared(self) -> Point:
        """E + V, of which the seed is a multiple."""
        return secp256k1.total((self.e, self.v))


def _checked(raw_e: bytes, raw_v: bytes, raw_s: bytes) -> Capsule:
    e, v, s = Point.from_bytes(raw_e), Point.from_bytes(raw_v), PublicScalar(raw_s)
    h = hashing.public_scalar(hashing.CAPSULE_POINTS, raw_e, raw_v)
    if raw_e[1:] == raw_v[1:] and raw_e != raw_v:
        raise MalformedMessage("not a valid capsule: E + V is infinity")
    try:
        valid = secp256k1.difference_public(s, h, e) == v
    except UsageError:  # infinity, which V is not
        valid = False
    if not valid:
        raise MalformedMessage("not a valid capsule: s·G is not V + h·E")
    return Capsule(e=e, v=v, s=s, h=h, proof=_CHECKED)


def encapsulate(pk: PublicKey, *, randomness: Randomness | None = None) -> tuple[Capsule, Secret]:
    """Draw a seed that only the holder of `pk`'s secret key, or whom it delegates to, can open.

    Returns:
        The capsule and the seed: (r + u)·A, compressed, 33 bytes. Derive keys from the seed; it is
        no key itself.

    **Security:** `randomness` is the operating system's by default; the same bytes twice give the
    same seed.
    """
    source = randomness or SystemRandomness()
    r, u = Scalar.random(source), Scalar.random(source)
    e, v = secp256k1.mul_base(r), secp256k1.mul_base(u)
    h = hashing.public_scalar(hashing.CAPSULE_POINTS, e.to_bytes(), v.to_bytes())
    capsule = Capsule(e=e, v=v, s=r.mul(h).add(u).published(), h=h, proof=_CHECKED)
    return capsule, secp256k1.mul_to_secret(r.add(u), pk.point).to_secret()


def open_seed(sk: SecretKey, capsule: Capsule) -> Secret:
    """The seed of a capsule made for this key: a·(E + V), compressed, 33 bytes."""
    shared: SecretPoint = secp256k1.mul_to_secret(sk.scalar, capsule.shared())
    return shared.to_secret()
