"""Single-proxy re-encryption on Umbral's capsules, and the rotation of capsules to a new key.

Source: equations 10 to 23, after Blaze, Bleumer and Strauss (1998). `share` is the ephemeral form
(docs/protocols/single-proxy.md); `rekey` the direct one, which `Rotation` uses
(docs/protocols/rotation.md). No I/O.

**Security:** rests on discrete logarithms: not against quantum computers. One proxy with one of
the two keys computes the other.
"""

from tigertally.schemes.single_pre.batch import (
    RotatedBatch,
    VerifiedBatch,
    prove_batch,
    verify_batch,
)
from tigertally.schemes.single_pre.keys import ReencryptionKey, rekey
from tigertally.schemes.single_pre.members import Place, RotatedCapsule, RotatedSet, RotationId
from tigertally.schemes.single_pre.opening import (
    MemberKeyFragment,
    open_member,
    open_reencrypted_member,
    reencrypt_member,
    verify_member_fragment,
)
from tigertally.schemes.single_pre.proof import ReencryptionProof
from tigertally.schemes.single_pre.rotation import Rotation, RotationTask, rotate, rotation_id
from tigertally.schemes.single_pre.sharing import (
    SealedKey,
    SharedCapsule,
    SharedKey,
    open_shared,
    reencrypt_shared,
    share,
)

__all__ = [
    "MemberKeyFragment",
    "Place",
    "ReencryptionKey",
    "ReencryptionProof",
    "RotatedBatch",
    "RotatedCapsule",
    "RotatedSet",
    "Rotation",
    "RotationId",
    "RotationTask",
    "SealedKey",
    "SharedCapsule",
    "SharedKey",
    "VerifiedBatch",
    "open_member",
    "open_reencrypted_member",
    "open_shared",
    "prove_batch",
    "reencrypt_member",
    "reencrypt_shared",
    "rekey",
    "rotate",
    "rotation_id",
    "share",
    "verify_batch",
    "verify_member_fragment",
]
