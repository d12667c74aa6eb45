"""An owner with capsules, and what a rotation makes of them; and ways to bend points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Point, PublicScalar, Scalar
from tigertally.base.ids import Hash
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey
from tigertally.schemes import single_pre, umbral

R = SeededRandomness("rotation rig")
FACTORY = umbral.SecretKeyFactory.random(R)
LABEL = Hash(b"label id".ljust(32, b"."))
OWNER, READER, SIGNING = (umbral.SecretKey.random(R) for _ in range(3))
A, B, V = (key.public_key() for key in (OWNER, READER, SIGNING))
GRANT = SigningKey.generate(R)  # the owner's, for one grant and proxy


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """A rotation with everything that led to it."""

    rotation: single_pre.Rotation
    inputs: Sequence[umbral.Capsule | single_pre.RotatedCapsule]
    batch: single_pre.RotatedBatch
    verified: single_pre.VerifiedBatch
    set: single_pre.RotatedSet
    members: tuple[single_pre.RotatedCapsule, ...]


def capsules(count: int, pk: umbral.PublicKey = A) -> tuple[list[umbral.Capsule], list[Secret]]:
    made = [umbral.encapsulate(pk, randomness=R) for _ in range(count)]
    return [capsule for capsule, _ in made], [seed for _, seed in made]


def rotated(rotation: single_pre.Rotation, inputs: Sequence, number: int = 1) -> Rotated:
    """The whole way, through bytes: proxy, owner, signature, members."""
    key = single_pre.ReencryptionKey.from_secret_bytes(rotation.key.to_secret_bytes())
    raw = single_pre.prove_batch(rotation.task.id, inputs, key, randomness=R).to_bytes()
    batch = single_pre.RotatedBatch.from_bytes(raw)
    verified = single_pre.verify_batch(rotation.task, inputs, batch)
    mine = verified.rotated_set(number)
    signature = mine.sign(GRANT)
    theirs = single_pre.RotatedSet.open(mine.to_bytes(), signature, GRANT.public, rotation.task.id)
    members = []
    for index, row in enumerate(verified.members):
        place = single_pre.Place.from_bytes(verified.place(number, index).to_bytes())
        members.append(single_pre.RotatedCapsule.from_bytes(row, place, theirs))
    return Rotated(
        rotation=rotation,
        inputs=inputs,
        batch=batch,
        verified=verified,
        set=theirs,
        members=tuple(members),
    )


def kfrags_under(
    rotation: single_pre.Rotation, m: int, n: int
) -> list[single_pre.MemberKeyFragment]:
    made = umbral.generate_key_fragments(
        rotation.target_sk, B, umbral.Signer(SIGNING), m, n, False, False, randomness=R
    )
    return [
        single_pre.MemberKeyFragment(fragment=kfrag, rotation=rotation.task.id) for kfrag in made
    ]


def answers(
    rotation: single_pre.Rotation,
    member: single_pre.RotatedCapsule,
    kfrags: Sequence[single_pre.MemberKeyFragment],
) -> list[umbral.VerifiedCapsuleFragment]:
    """What the proxies send, verified by the recipient."""
    found = []
    for kfrag in kfrags:
        raw = single_pre.reencrypt_member(member, kfrag, randomness=R).to_bytes()
        fragment = umbral.CapsuleFragment.from_bytes(raw)
        found.append(single_pre.verify_member_fragment(fragment, member, V, rotation.target_pk, B))
    return found


def minus(point: Point) -> Point:
    raw = point.to_bytes()
    return Point.from_bytes(bytes([raw[0] ^ 1]) + raw[1:])


def plus(*points: Point) -> Point:
    return secp256k1.total(points)


def some_point() -> Point:
    return secp256k1.mul_base(Scalar.random(R))


def bent(e: Point, v: Point, h: PublicScalar) -> tuple[Point, Point]:
    """E + D, V − h·D: passes the opening equation, opens to another seed."""
    d = some_point()
    return plus(e, d), plus(v, minus(secp256k1.mul_public(h, d)))


def number(scalar: Scalar) -> int:
    return int.from_bytes(scalar.to_secret_bytes(), "big")


def scalar(value: int) -> Scalar:
    return Scalar.from_secret_bytes((value % secp256k1.ORDER).to_bytes(32, "big"))
