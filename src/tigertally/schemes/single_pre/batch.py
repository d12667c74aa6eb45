"""A batch of rotated capsules: made and proven by a proxy, checked for the owner.

docs/protocols/rotation.md, "Taking a batch". No I/O. Nothing secret but the proxy's key.

**Security:** inputs open under the old key: keep and log neither batches nor proofs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tigertally.algebra.secp256k1 import Point
from tigertally.base.errors import MalformedMessage, PeerFault, UsageError
from tigertally.base.limits import MAX_ROTATION_BATCH
from tigertally.base.randomness import Randomness
from tigertally.crypto import merkle
from tigertally.schemes.single_pre import members
from tigertally.schemes.single_pre import proof as proving
from tigertally.schemes.single_pre.keys import Pair, ReencryptionKey
from tigertally.schemes.single_pre.members import Place, RotatedCapsule, RotatedSet, RotationId
from tigertally.schemes.single_pre.proof import PROOF_BYTES, ReencryptionProof, Statement
from tigertally.schemes.single_pre.rotation import RotationTask, rotate
from tigertally.schemes.umbral import Capsule

_PAIR_BYTES = 66
Inputs = Sequence[Capsule | RotatedCapsule]  # of one kind: verify_batch sees to it
_VERIFIED = object()  # what only this module shows to VerifiedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedBatch:
    """What the rotating proxy sends, as it came: results in the order of the inputs, one proof."""

    outputs: tuple[Pair, ...]
    proof: ReencryptionProof

    def to_bytes(self) -> bytes:
        """The proof, then E′ ‖ V′ of every capsule."""
        points = (point.to_bytes() for pair in self.outputs for point in pair)
        return self.proof.to_bytes() + b"".join(points)

    @classmethod
    def from_bytes(cls, raw: bytes, *, most: int = MAX_ROTATION_BATCH) -> RotatedBatch:
        """Parse what `to_bytes` wrote.

        Args:
            most: how many capsules the proxy was given: of a longer answer no point is read.

        Raises:
            MalformedMessage: another length, more than a batch may have, a point off the curve, or
                a scalar that is zero or not below the group order.
        """
        count, left_over = divmod(len(raw) - PROOF_BYTES, _PAIR_BYTES)
        if left_over or not 1 <= count <= most:
            raise MalformedMessage(f"not a proof and 1 to {most} rotated pairs")
        starts = range(PROOF_BYTES, len(raw), _PAIR_BYTES)
        return cls(
            proof=ReencryptionProof.from_bytes(raw[:PROOF_BYTES]),
            outputs=tuple(
                (Point.from_bytes(raw[i : i + 33]), Point.from_bytes(raw[i + 33 : i + 66]))
                for i in starts
            ),
        )


class VerifiedBatch:
    """A batch whose proof holds: what goes into slots, and the set for the owner to sign.

    Only `verify_batch` makes one.
    """

    __slots__ = ("_rotation", "_tree", "members")

    def __init__(self, rotation: RotationId, rows: tuple[bytes, ...], *, proof: object) -> None:
        if proof is not _VERIFIED:
            raise UsageError("only verify_batch makes a verified batch")
        self._rotation = rotation
        self.members = rows  # each E′ ‖ V′ ‖ h ‖ s, in the order of the inputs
        self._tree = merkle.Tree()
        for row in rows:
            self._tree.append(members.leaf_of(row))

    def rotated_set(self, batch: int) -> RotatedSet:
        """The set to sign, as the rotation's batch of this number, from 1.

        **Security:** two batches of one rotation never have the same number.
        """
        return members.found_good(self._rotation, batch, self._tree)

    def place(self, batch: int, index: int) -> Place:
        """Where the member of this index stands in that set; it belongs beside the member."""
        return Place(batch=batch, index=index, path=self._tree.inclusion_proof(index))


def prove_batch(
    task_id: RotationId,
    inputs: Inputs,
    key: ReencryptionKey,
    *,
    randomness: Randomness | None = None,
) -> RotatedBatch:
    """Rotate a batch and prove it: the proxy's part.

    Args:
        task_id: the rotation's, as the owner named it.
        inputs: capsules, or members of the rotation before.
        randomness: the operating system's by default; the same twice reveals the key.

    Raises:
        UsageError: no inputs, too many, or something that is neither.
    """
    outputs = tuple(rotate(capsule, key) for capsule in inputs)
    statement = Statement(
        context=task_id, commitment=key.commitment(), inputs=_pairs(inputs), outputs=outputs
    )
    return RotatedBatch(outputs=outputs, proof=proving.prove(statement, key, randomness=randomness))


def verify_batch(
    task: RotationTask, inputs: Inputs, batch: RotatedBatch, *, proxy: str = ""
) -> VerifiedBatch:
    """Check what a proxy made of the owner's capsules.

    Args:
        task: of the owner's `Rotation`.
        inputs: the owner's own list, in the order in which it was given to the proxy. That nothing
            is missing from it is the caller's to know.
        proxy: the name to blame, where the caller knows who sent this.

    Raises:
        UsageError: the inputs are not what this rotation starts from.
        PeerFault: not as many results as inputs, or a proof that does not hold.
    """
    for capsule in inputs:  # (1)
        if isinstance(capsule, RotatedCapsule):
            fits = capsule.rotation == task.previous
        else:
            fits = isinstance(capsule, Capsule) and task.previous is None
        if not fits:
            raise UsageError("a rotation starts from capsules or from the rotation before")
    if len(batch.outputs) != len(inputs):  # (2)
        culprits = (proxy,) if proxy else ()
        raise PeerFault("not as many rotated capsules as there were", culprits=culprits)
    statement = Statement(
        context=task.id,
        commitment=task.commitment,
        inputs=_pairs(inputs),
        outputs=batch.outputs,
    )
    proving.verify(statement, batch.proof, proxy=proxy)  # (3)
    rows = (  # (4)
        members.member_bytes(*pair, capsule.h, capsule.s)
        for pair, capsule in zip(batch.outputs, inputs, strict=True)
    )
    return VerifiedBatch(task.id, tuple(rows), proof=_VERIFIED)  # (5)


def _pairs(inputs: Inputs) -> list[Pair]:
    return [(capsule.e, capsule.v) for capsule in inputs]
