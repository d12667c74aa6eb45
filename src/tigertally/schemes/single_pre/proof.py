"""Proof that every capsule of a batch was re-encrypted with one committed key, for all at once.

docs/protocols/rotation.md, "Proving". No I/O. Nothing in a proof is secret; it and the outputs say
nothing about rk, but belong with the inputs, which the old key opens.

Method: Chaum and Pedersen's proof of equal logarithms, on a random weighted sum (small exponents;
Bellare, Garay, Rabin 1998), made non-interactive after Fiat and Shamir.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tigertally.algebra import secp256k1, tags
from tigertally.algebra.secp256k1 import Point, PublicScalar, Scalar
from tigertally.algebra.secp256k1_sums import weighted_total
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import MalformedMessage, PeerFault, UsageError
from tigertally.base.limits import MAX_ROTATION_BATCH
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.schemes.single_pre.keys import Pair, ReencryptionKey
from tigertally.schemes.umbral.hashing import U

PROOF_BYTES = 98
_WEIGHT_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReencryptionProof:
    """A proof as it came: not yet checked.

    Args:
        p: t·U for a fresh t. q: t·M for the weighted sum M of the inputs.
        z: t + c·rk.
    """

    p: Point
    q: Point
    z: PublicScalar

    def to_bytes(self) -> bytes:
        """P ‖ Q ‖ z, 98 bytes."""
        return self.p.to_bytes() + self.q.to_bytes() + self.z

    @classmethod
    def from_bytes(cls, raw: bytes) -> ReencryptionProof:
        """Parse what `to_bytes` wrote.

        Raises:
            MalformedMessage: another length, a point off the curve, or a scalar that is zero or
                not below the group order.
        """
        if len(raw) != PROOF_BYTES:
            raise MalformedMessage(f"a proof of re-encryption is {PROOF_BYTES} bytes")
        p, q = Point.from_bytes(raw[:33]), Point.from_bytes(raw[33:66])
        return cls(p=p, q=q, z=PublicScalar(raw[66:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is proven: log_U u1 = log_E E′ = log_V V′ for all pairs.

    Args:
        context: what the batch belongs to; a proof for another context does not hold.
        commitment: u1.
        inputs, outputs: pairs (E, V) and (E′, V′), in the same order.

    Raises:
        UsageError: nothing to prove, too much, or not as many outputs as inputs.
    """

    context: bytes
    commitment: Point
    inputs: Sequence[Pair]
    outputs: Sequence[Pair]

    def __post_init__(self) -> None:
        if not 1 <= len(self.inputs) <= MAX_ROTATION_BATCH:
            raise UsageError(f"a batch has 1 to {MAX_ROTATION_BATCH} capsules")
        if len(self.outputs) != len(self.inputs):
            raise UsageError("a batch has as many outputs as inputs")

    def seed(self) -> bytes:
        """(1) The hash of all of it, from which weights and challenge come."""
        return tagged_hash(
            tags.BATCH_WEIGHTS,
            self.context,
            self.commitment.to_bytes(),
            _joined(self.inputs),
            _joined(self.outputs),
        )


def prove(
    statement: Statement, key: ReencryptionKey, *, randomness: Randomness | None = None
) -> ReencryptionProof:
    """Prove that the outputs are rk times the inputs.

    **Security:** t·U and t·M in constant time; `randomness` is the operating system's by default,
    and the same t for two statements reveals rk. Of a wrong statement the proof does not hold.
    """
    seed = statement.seed()
    total = _weighted(weights(seed, len(statement.inputs)), statement.inputs)  # (2), (3)
    t = Scalar.random(randomness or SystemRandomness())
    p, q = secp256k1.mul(t, U), secp256k1.mul(t, total)
    c = _challenge(seed, p, q)
    return ReencryptionProof(p=p, q=q, z=key.scalar.mul(c).add(t).published())  # (4)


def verify(statement: Statement, proof: ReencryptionProof, *, proxy: str = "") -> None:
    """Check a proof; everything here is public.

    Args:
        proxy: the name to blame, where the caller knows who sent this.

    Raises:
        PeerFault: it does not hold. `sure` is False: a proof carries no signature of its proxy, so
            whoever relayed it may have broken it.
    """
    seed = statement.seed()
    w = weights(seed, len(statement.inputs))
    c = _challenge(seed, proof.p, proof.q)
    try:
        before, after = _weighted(w, statement.inputs), _weighted(w, statement.outputs)
        holds = _equal(proof.z, U, proof.p, c, statement.commitment) and _equal(  # (5)
            proof.z, before, proof.q, c, after
        )
    except UsageError:  # infinity, which the left sides and honest sums never are
        holds = False
    if not holds:
        culprits = (proxy,) if proxy else ()
        raise PeerFault("the proof of a re-encryption does not hold", culprits=culprits)


def weights(seed: bytes, pairs: int) -> list[PublicScalar]:
    """Two numbers 1 … 2¹²⁸ for each pair, from the hash of the whole statement."""
    stream = hashlib.shake_256(seed).digest(2 * pairs * _WEIGHT_BYTES)
    return [
        PublicScalar((int.from_bytes(stream[i : i + _WEIGHT_BYTES], "big") + 1).to_bytes(32, "big"))
        for i in range(0, len(stream), _WEIGHT_BYTES)
    ]


def _weighted(w: Sequence[PublicScalar], pairs: Sequence[Pair]) -> Point:
    return weighted_total(w, _flat(pairs))


def _equal(z: PublicScalar, base: Point, nonce: Point, c: PublicScalar, image: Point) -> bool:
    """z·base = nonce + c·image."""
    right = secp256k1.total((nonce, secp256k1.mul_public(c, image)))
    return secp256k1.mul_public(z, base) == right


def _challenge(seed: bytes, p: Point, q: Point) -> PublicScalar:
    digest = tagged_hash(tags.BATCH_CHALLENGE, seed, p.to_bytes(), q.to_bytes())
    return Scalar.from_digest(digest).published()


def _flat(pairs: Sequence[Pair]) -> list[Point]:
    return [point for pair in pairs for point in pair]


def _joined(pairs: Sequence[Pair]) -> bytes:
    return b"".join(point.to_bytes() for point in _flat(pairs))
