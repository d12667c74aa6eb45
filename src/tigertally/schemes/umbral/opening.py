"""Opening a re-encrypted capsule with m cfrags. docs/protocols/umbral.md, "Opening". No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import PublicScalar, Scalar, SecretPoint
from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.limits import MAX_KEY_FRAGMENTS
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.schemes.umbral.capsule import Capsule
from tigertally.schemes.umbral.capsule_fragment import VerifiedCapsuleFragment
from tigertally.schemes.umbral.key_fragment import Exchange
from tigertally.schemes.umbral.keys import PublicKey, SecretKey


def open_reencrypted_seed(
    receiving_sk: SecretKey,
    delegating_pk: PublicKey,
    capsule: Capsule,
    verified_cfrags: Sequence[VerifiedCapsuleFragment],
    *,
    randomness: Randomness | None = None,
) -> Secret:
    """The seed of a capsule that m proxies re-encrypted for this recipient; 33 bytes.

    Args:
        delegating_pk: the owner's key, which the capsule was made for.
        verified_cfrags: of one delegation and this capsule, one of each proxy, at least m.
        randomness: blinds an inversion; the operating system's by default.

    Raises:
        UsageError: no fragments, one of them twice, or fragments of two delegations.
        PeerFault: together they do not open the capsule: too few, or made for another capsule,
            recipient or owner, or an owner who split another key. It names nobody.

    **Security:** the indices, and so Lagrange's weights, are known to owner and recipient alone;
    every multiplication by them and by d is in constant time.
    """
    e, v = combined(receiving_sk, verified_cfrags, randomness=randomness)
    return checked_seed(e, v, s=capsule.s, h=capsule.h, origin=delegating_pk)


def combined(
    receiving_sk: SecretKey,
    verified_cfrags: Sequence[VerifiedCapsuleFragment],
    *,
    randomness: Randomness | None = None,
) -> tuple[SecretPoint, SecretPoint]:
    """E′ and V′ from the cfrags: a·E and a·V if all is well; raises as `open_reencrypted_seed`."""
    fragments = [verified.fragment for verified in verified_cfrags]
    ids = {fragment.id for fragment in fragments}
    if not 1 <= len(fragments) <= MAX_KEY_FRAGMENTS or len(ids) != len(fragments):
        raise UsageError(f"opening takes 1 to {MAX_KEY_FRAGMENTS} different capsule fragments")
    # (1)
    if len({fragment.precursor for fragment in fragments}) != 1:
        raise UsageError("the capsule fragments belong to different delegations")
    precursor = fragments[0].precursor
    # (2)
    dh = secp256k1.mul_to_secret(receiving_sk.scalar, precursor)
    exchange = Exchange(precursor, receiving_sk.public_key(), dh)
    indices = [exchange.index(fragment.id) for fragment in fragments]
    weights = weights_at_zero(indices, exchange.shared_scalar(), randomness or SystemRandomness())
    multiply = secp256k1.mul_to_secret
    # (3)
    e = [multiply(w, f.e1) for w, f in zip(weights, fragments, strict=True)]
    v = [multiply(w, f.v1) for w, f in zip(weights, fragments, strict=True)]
    try:
        return _total(e), _total(v)
    except UsageError as error:
        raise PeerFault("the capsule fragments add up to infinity") from error


def checked_seed(
    e: SecretPoint, v: SecretPoint, *, s: PublicScalar, h: PublicScalar, origin: PublicKey
) -> Secret:
    """The seed E′ + V′ of a capsule that is multiplied by its key; 33 bytes.

    Args:
        s, h: the capsule's.
        origin: the key that it was made for.

    Raises:
        PeerFault: s·A is not h·E′ + V′. It names nobody.

    **Security:** the equation binds E′ and V′ to each other and not to the capsule: it takes
    E′ + D, V′ − h·D too. The caller must have proof of how both were made.
    """
    try:
        seed = secp256k1.total_to_secret((e, v))  # (5), once (4) holds
        factor = Scalar.from_secret_bytes(bytes(h))
        right = secp256k1.total_to_secret((secp256k1.mul_to_secret(factor, e), v))
    except UsageError as error:
        raise PeerFault("the parts of the capsule add up to infinity") from error
    # (4)
    if not right.equals_public(secp256k1.mul_public(s, origin.point)):
        raise PeerFault("the parts do not open this capsule: another key's, or too few fragments")
    return seed.to_secret()


def _total(points: Sequence[SecretPoint]) -> SecretPoint:
    return points[0] if len(points) == 1 else secp256k1.total_to_secret(points)


def weights_at_zero(
    indices: Sequence[Scalar], factor: Scalar, randomness: Randomness
) -> list[Scalar]:
    """`factor` times Lagrange's weights at zero for secret indices, with a single inversion.

    With D_i = Π_{j ≠ i} (x_j − x_i), weight i is factor · Π_{j ≠ i} x_j · Π_{k ≠ i} D_k / Π D_k.
    """
    if len(indices) == 1:
        return [factor]
    tops, bottoms = [], []
    for i, x in enumerate(indices):
        others = [other for j, other in enumerate(indices) if j != i]
        minus = x.negate()
        first, *more = [other.add(minus) for other in others]
        tops.append(others)
        bottoms.append(first.mul(*more))
    inverse = bottoms[0].mul(*bottoms[1:]).invert(randomness).mul(factor)
    return [inverse.mul(*top, *bottoms[:i], *bottoms[i + 1 :]) for i, top in enumerate(tops)]
