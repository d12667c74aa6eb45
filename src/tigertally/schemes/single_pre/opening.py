"""Members of a rotation: re-encrypted by Umbral's kfrags under its target, and opened.

docs/protocols/rotation.md, "Serving and opening". No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tigertally.algebra import secp256k1
from tigertally.base.errors import UsageError
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.schemes.single_pre.members import RotatedCapsule, RotationId
from tigertally.schemes.single_pre.rotation import Rotation
from tigertally.schemes.umbral import (
    CapsuleFragment,
    PublicKey,
    SecretKey,
    VerifiedCapsuleFragment,
    VerifiedKeyFragment,
)
from tigertally.schemes.umbral.capsule_fragment import reencrypt_points
from tigertally.schemes.umbral.opening import checked_seed, combined


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemberKeyFragment:
    """(1) A kfrag that splits a rotation's target: it serves members of that rotation only.

    `umbral.reencrypt` does not take one, and `reencrypt_member` takes nothing else.

    **Security:** what a fragment was made for must come with it, from its owner.
    """

    fragment: VerifiedKeyFragment
    rotation: RotationId


def reencrypt_member(
    member: RotatedCapsule, kfrag: MemberKeyFragment, *, randomness: Randomness | None = None
) -> VerifiedCapsuleFragment:
    """Re-encrypt a member with one proxy's fragment, and prove it, as Umbral does: step (2).

    Raises:
        UsageError: the fragment belongs to another rotation, or this is no member.

    **Security:** as `umbral.reencrypt`.
    """
    kinds = type(member), type(kfrag)
    if kinds != (RotatedCapsule, MemberKeyFragment) or member.rotation != kfrag.rotation:
        raise UsageError("a rotation's key fragment serves members of that rotation only")
    return reencrypt_points((member.e, member.v), kfrag.fragment, randomness=randomness)


def verify_member_fragment(
    fragment: CapsuleFragment,
    member: RotatedCapsule,
    verifying_pk: PublicKey,
    target_pk: PublicKey,
    receiving_pk: PublicKey,
    *,
    proxy: str = "",
) -> VerifiedCapsuleFragment:
    """(3) Check a cfrag of a member; arguments and errors as of `CapsuleFragment.verify`.

    Args:
        target_pk: the rotation's target εG, in the place of the owner's key.
    """
    keys = (verifying_pk, target_pk, receiving_pk)
    return fragment.verify_points((member.e, member.v), *keys, proxy=proxy)


def open_reencrypted_member(
    receiving_sk: SecretKey,
    origin_pk: PublicKey,
    member: RotatedCapsule,
    verified_cfrags: Sequence[VerifiedCapsuleFragment],
    *,
    randomness: Randomness | None = None,
) -> Secret:
    """(4) The seed of a member that m proxies re-encrypted for this recipient; 33 bytes.

    Args:
        origin_pk: A_origin, the key that the first capsule was made for.

    Raises:
        UsageError, PeerFault: as `umbral.open_reencrypted_seed`.
    """
    e, v = combined(receiving_sk, verified_cfrags, randomness=randomness)
    return checked_seed(e, v, s=member.s, h=member.h, origin=origin_pk)


def open_member(rotation: Rotation, member: RotatedCapsule) -> Secret:
    """(5) The seed of a member, for its owner; 33 bytes.

    Raises:
        UsageError: the member belongs to another rotation.
        PeerFault: the member does not open; it names nobody.
    """
    if member.rotation != rotation.task.id:
        raise UsageError("the rotated capsule belongs to another rotation")
    target = rotation.target_sk.scalar
    e, v = (secp256k1.mul_to_secret(target, point) for point in (member.e, member.v))
    return checked_seed(e, v, s=member.s, h=member.h, origin=rotation.origin_pk)
