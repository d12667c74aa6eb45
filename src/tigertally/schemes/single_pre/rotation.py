"""A rotation as its owner makes it, and what the proxy does with one capsule.

docs/protocols/rotation.md, "Deriving". No I/O. Secret: source, target and re-encryption key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from tigertally.algebra import tags
from tigertally.algebra.secp256k1 import Point
from tigertally.algebra.transcript import tagged_hash
from tigertally.base import codec
from tigertally.base.errors import UsageError
from tigertally.base.ids import Hash
from tigertally.base.randomness import Randomness
from tigertally.schemes.single_pre.keys import Pair, ReencryptionKey, rekey
from tigertally.schemes.single_pre.members import RotatedCapsule, RotationId
from tigertally.schemes.umbral import Capsule, PublicKey, SecretKey, SecretKeyFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationTask:
    """What a batch is checked against, nothing of it secret.

    Args:
        id: of this rotation.
        commitment: u1 = rk·U, as the owner computed it.
        previous: the rotation whose members are the inputs; None where capsules are.
    """

    id: RotationId
    commitment: Point
    previous: RotationId | None


class Rotation:
    """One rotation of a label's capsules, as its owner has it. It does not print.

    `first` starts from the key that the capsules were made for, `again` from the target of the
    rotation before. Nothing else makes one, so every target has one source.
    """

    __slots__ = ("key", "label_id", "origin_pk", "target_sk", "task")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        factory: SecretKeyFactory,
        label_id: Hash,
        origin_pk: PublicKey,
        source_sk: SecretKey,
        randomness: Randomness | None,
    ) -> None:
        source_pk = source_sk.public_key()
        purpose = codec.dumps([bytes(label_id), source_pk.to_bytes()])
        self.label_id = label_id
        self.origin_pk = origin_pk
        self.target_sk = factory.make_key(tags.ROTATION_KEY + purpose)  # (1)
        self.key: ReencryptionKey = rekey(source_sk, self.target_sk, randomness=randomness)  # (2)
        first = source_pk == origin_pk
        self.task = RotationTask(
            id=rotation_id(label_id, origin_pk, self.target_pk),
            commitment=self.key.commitment(),
            previous=None if first else rotation_id(label_id, origin_pk, source_pk),
        )

    @classmethod
    def first(
        cls,
        factory: SecretKeyFactory,
        label_id: Hash,
        source_sk: SecretKey,
        *,
        randomness: Randomness | None = None,
    ) -> Rotation:
        """Rotate the capsules that were made for `source_sk`.

        Args:
            factory: of the owner's current seed.
            label_id: of the label whose key this is.
            randomness: blinds an inversion; the operating system's by default.
        """
        return cls(factory, label_id, source_sk.public_key(), source_sk, randomness)

    @classmethod
    def again(
        cls,
        factory: SecretKeyFactory,
        before: Rotation,
        *,
        randomness: Randomness | None = None,
    ) -> Rotation:
        """Rotate the members of the rotation before; arguments as of `first`."""
        return cls(factory, before.label_id, before.origin_pk, before.target_sk, randomness)

    @property
    def target_pk(self) -> PublicKey:
        """εG: the key under which kfrags for the members are made. Never encrypt to it."""
        return self.target_sk.public_key()

    def __repr__(self) -> str:
        return f"Rotation(id={self.task.id}, secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("rotations are secret: they do not compare")

    def __reduce__(self) -> NoReturn:
        raise TypeError("rotations are secret: they do not pickle")


def rotation_id(label_id: Hash, origin_pk: PublicKey, target_pk: PublicKey) -> RotationId:
    """(3): the rotation that leads capsules of one label from their first key to this target."""
    keys = (origin_pk.to_bytes(), target_pk.to_bytes())
    return RotationId(tagged_hash(tags.ROTATION_ID, label_id, *keys))


def rotate(capsule: Capsule | RotatedCapsule, key: ReencryptionKey) -> Pair:
    """E′ = rk·E and V′ = rk·V, in constant time. Not yet proven, and no member of anything.

    Raises:
        UsageError: something else than a capsule or a member.
    """
    if type(capsule) not in {Capsule, RotatedCapsule}:
        raise UsageError("capsules and members are rotated, and nothing else")
    return key.applied((capsule.e, capsule.v))
