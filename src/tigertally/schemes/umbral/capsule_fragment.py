"""Capsule fragments (cfrags): a capsule, re-encrypted by one proxy, with proof that it did so.

docs/protocols/umbral.md, "Re-encrypting" and "Verifying". No I/O. Nothing in a cfrag is secret.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Point, PublicScalar, Scalar
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, UsageError
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.crypto.ecdsa import EcdsaSignature
from tigertally.schemes.umbral import hashing
from tigertally.schemes.umbral.capsule import Capsule
from tigertally.schemes.umbral.hashing import U
from tigertally.schemes.umbral.key_fragment import FragmentId, VerifiedKeyFragment, signed_message
from tigertally.schemes.umbral.keys import PublicKey
from tigertally.schemes.umbral.wire import Layout

SIMPLE_BYTES = 359
_SIZES = (33, 33, 32, 33, 33, 33, 33, 33, 32, 64)
_LAYOUT = Layout("capsule fragment", (*_SIZES[:4], _SIZES[4:]))
_Pair = tuple[Point, Point]  # E and V
_Triple = tuple[Point, Point, Point]
_VERIFIED = object()  # what only this module shows to VerifiedCapsuleFragment


@dataclass(frozen=True, slots=True, kw_only=True)
class CapsuleFragment:
    """A cfrag as it came: its proof not yet checked.

    Args:
        e1: rk·E. v1: rk·V.
        id: the kfrag's. precursor: X, the kfrag's.
        e2, v2, u2: t·(E, V, U) for a fresh t.
        commitment: u1 = rk·U, the kfrag's.
        z: t + rk·h.
        signature: the owner's over kfrag and both keys.
    """

    e1: Point
    v1: Point
    id: FragmentId
    precursor: Point
    e2: Point
    v2: Point
    commitment: Point
    u2: Point
    z: PublicScalar
    signature: EcdsaSignature

    @classmethod
    def from_bytes(cls, raw: bytes) -> CapsuleFragment:
        """Parse what `to_bytes` wrote.

        Raises:
            MalformedMessage: other bytes, a point off the curve, or a scalar that is zero or not
                below the group order.
        """
        return _parsed(_LAYOUT.unpack(raw))

    @classmethod
    def from_bytes_simple(cls, raw: bytes) -> CapsuleFragment:
        """Parse what `to_bytes_simple` wrote; raises as `from_bytes`."""
        if len(raw) != SIMPLE_BYTES:
            raise MalformedMessage(f"a simple capsule fragment is {SIMPLE_BYTES} bytes")
        ends = [sum(_SIZES[: i + 1]) for i in range(len(_SIZES))]
        return _parsed(tuple(raw[end - size : end] for end, size in zip(ends, _SIZES, strict=True)))

    def to_bytes(self) -> bytes:
        """The MessagePack array [E1, V1, id, X, [E2, V2, u1, u2, z, signature]], 381 bytes."""
        return _LAYOUT.pack(*self._values())

    def to_bytes_simple(self) -> bytes:
        """E1 ‖ V1 ‖ id ‖ X ‖ E2 ‖ V2 ‖ u1 ‖ u2 ‖ z ‖ signature, 359 bytes."""
        return b"".join(self._values())

    def _values(self) -> tuple[bytes, ...]:
        return (
            self.e1.to_bytes(),
            self.v1.to_bytes(),
            bytes(self.id),
            self.precursor.to_bytes(),
            self.e2.to_bytes(),
            self.v2.to_bytes(),
            self.commitment.to_bytes(),
            self.u2.to_bytes(),
            bytes(self.z),
            bytes(self.signature),
        )

    def verify(
        self,
        capsule: Capsule,
        verifying_pk: PublicKey,
        delegating_pk: PublicKey,
        receiving_pk: PublicKey,
        *,
        proxy: str = "",
    ) -> VerifiedCapsuleFragment:
        """Check that this capsule was re-encrypted with a fragment the owner made for these keys.

        Args:
            proxy: the name to blame, where the caller knows who sent this.

        Raises:
            InvalidSignature: the owner signed no such fragment.
            PeerFault: the proxy's proof does not hold for this capsule. `sure` is False: a cfrag
                carries no signature of its proxy, so whoever relayed it may have broken it.
        """
        keys = (verifying_pk, delegating_pk, receiving_pk)
        return self.verify_points((capsule.e, capsule.v), *keys, proxy=proxy)

    def verify_points(
        self,
        points: _Pair,
        verifying_pk: PublicKey,
        delegating_pk: PublicKey,
        receiving_pk: PublicKey,
        *,
        proxy: str = "",
    ) -> VerifiedCapsuleFragment:
        """As `verify`, for the points E and V of whatever the caller knows to be a capsule."""
        culprits = (proxy,) if proxy else ()
        message = signed_message(  # (1) of Verifying
            self.id, self.commitment, self.precursor, delegating_pk, receiving_pk
        )
        try:
            verifying_pk.verify(message, self.signature)
        except InvalidSignature as error:
            raise InvalidSignature(
                "the owner's signature in a capsule fragment does not verify", culprits=culprits
            ) from error
        images = (self.e1, self.v1, self.commitment)
        # (2) of Verifying
        equations = _equations(points, images, (self.e2, self.v2, self.u2))
        h = _challenge(equations)
        if not all(_holds(self.z, h, *points) for points in equations):
            raise PeerFault("a capsule fragment's proof does not hold", culprits=culprits)
        return VerifiedCapsuleFragment(fragment=self, proof=_VERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCapsuleFragment:
    """A cfrag whose proof holds. Only `CapsuleFragment.verify` and `reencrypt` make one."""

    fragment: CapsuleFragment
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _VERIFIED:
            raise UsageError("only CapsuleFragment.verify makes a verified capsule fragment")

    def to_bytes(self) -> bytes:
        """As `CapsuleFragment.to_bytes`: what the proxy sends."""
        return self.fragment.to_bytes()

    def to_bytes_simple(self) -> bytes:
        """As `CapsuleFragment.to_bytes_simple`."""
        return self.fragment.to_bytes_simple()

    @classmethod
    def from_verified_bytes(cls, raw: bytes) -> VerifiedCapsuleFragment:
        """Parse a cfrag that was verified before it was stored.

        Raises:
            MalformedMessage: as `CapsuleFragment.from_bytes`.

        **Security:** for bytes out of one's own sealed store, never for what somebody sent.
        """
        return cls(fragment=CapsuleFragment.from_bytes(raw), proof=_VERIFIED)


def reencrypt(
    capsule: Capsule, verified_kfrag: VerifiedKeyFragment, *, randomness: Randomness | None = None
) -> VerifiedCapsuleFragment:
    """Re-encrypt a capsule with one proxy's fragment, and prove it.

    Raises:
        UsageError: something else than a capsule and a verified fragment, rotated ones too.

    **Security:** five multiplications by the secrets rk and t, in constant time. `randomness` is
    the operating system's by default; the same t for two capsules reveals rk.
    """
    if type(capsule) is not Capsule or type(verified_kfrag) is not VerifiedKeyFragment:
        raise UsageError("a verified key fragment re-encrypts capsules and nothing else")
    return reencrypt_points((capsule.e, capsule.v), verified_kfrag, randomness=randomness)


def reencrypt_points(
    points: _Pair,
    verified_kfrag: VerifiedKeyFragment,
    *,
    randomness: Randomness | None = None,
) -> VerifiedCapsuleFragment:
    """As `reencrypt`, for the points E and V of whatever the caller knows to be a capsule.

    **Security:** a proxy that multiplies points of somebody's choice decrypts for that somebody.
    """
    kfrag = verified_kfrag.fragment
    rk, t = kfrag.key, Scalar.random(randomness or SystemRandomness())
    e1, v1 = (secp256k1.mul(rk, point) for point in points)
    e2, v2, u2 = (secp256k1.mul(t, point) for point in (*points, U))
    h = _challenge(_equations(points, (e1, v1, kfrag.commitment), (e2, v2, u2)))
    fragment = CapsuleFragment(
        e1=e1,
        v1=v1,
        id=kfrag.id,
        precursor=kfrag.precursor,
        e2=e2,
        v2=v2,
        commitment=kfrag.commitment,
        u2=u2,
        z=rk.mul(h).add(t).published(),
        signature=kfrag.signature_for_receiver,
    )
    return VerifiedCapsuleFragment(fragment=fragment, proof=_VERIFIED)


def _equations(points: _Pair, images: _Triple, nonces: _Triple) -> tuple[_Triple, ...]:
    """(base, rk·base, t·base) for the bases E, V and U."""
    return tuple(zip((*points, U), images, nonces, strict=True))


def _challenge(equations: tuple[_Triple, ...]) -> PublicScalar:
    """h = H(E, E1, E2, V, V1, V2, U, u1, u2)."""
    values = (point.to_bytes() for points in equations for point in points)
    return hashing.public_scalar(hashing.CFRAG_VERIFICATION, *values)


def _holds(z: PublicScalar, h: PublicScalar, base: Point, image: Point, nonce: Point) -> bool:
    """z·base = nonce + h·image; everything here is public."""
    try:
        right = secp256k1.total((nonce, secp256k1.mul_public(h, image)))
    except UsageError:  # infinity, which z·base never is
        return False
    return secp256k1.mul_public(z, base) == right


def _parsed(values: tuple[bytes, ...]) -> CapsuleFragment:
    e1, v1, id_, precursor, e2, v2, commitment, u2, z, signature = values
    return CapsuleFragment(
        e1=Point.from_bytes(e1),
        v1=Point.from_bytes(v1),
        id=FragmentId(id_),
        precursor=Point.from_bytes(precursor),
        e2=Point.from_bytes(e2),
        v2=Point.from_bytes(v2),
        commitment=Point.from_bytes(commitment),
        u2=Point.from_bytes(u2),
        z=PublicScalar(z),
        signature=EcdsaSignature(signature),
    )
