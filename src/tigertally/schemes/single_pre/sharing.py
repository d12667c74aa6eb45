"""The ephemeral form: share with a recipient's public key through one proxy, for one hop.

docs/protocols/single-proxy.md, "Sharing" (equations 10 to 19 of the source). No I/O. Secret: the
owner's, the recipient's and the ephemeral key, rk and the seed.

**Security:** the proxy together with the recipient computes the owner's key. Use Umbral for grants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NoReturn

from cryptography.exceptions import InvalidTag

from tigertally.algebra import secp256k1, tags
from tigertally.algebra.secp256k1 import Point, Scalar, SecretPoint
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, UsageError
from tigertally.base.ids import FixedBytes
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead, kdf
from tigertally.schemes.single_pre import proof as proving
from tigertally.schemes.single_pre.keys import ReencryptionKey
from tigertally.schemes.single_pre.proof import PROOF_BYTES, ReencryptionProof, Statement
from tigertally.schemes.umbral import Capsule, PublicKey, SecretKey
from tigertally.schemes.umbral.opening import checked_seed

SHARED_KEY_BYTES = 146
SHARED_CAPSULE_BYTES = 278
_NONCE = bytes(aead.NONCE_BYTES)  # every key of a box is used once


class SealedKey(FixedBytes):
    """X ‖ box: the ephemeral key and its commitment on their way to the recipient; 114 bytes."""

    SIZE: ClassVar[int] = 114


class SharedKey:
    """What the proxy gets: rk, and the sealed key that it passes on. It does not print."""

    __slots__ = ("key", "sealed")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, key: ReencryptionKey, sealed: SealedKey) -> None:
        self.key = key
        self.sealed = sealed

    @classmethod
    def from_secret_bytes(cls, raw: bytes) -> SharedKey:
        """Parse what `to_secret_bytes` wrote; `MalformedMessage` for anything else."""
        if len(raw) != SHARED_KEY_BYTES:
            raise MalformedMessage(f"a shared key is {SHARED_KEY_BYTES} bytes")
        return cls(ReencryptionKey.from_secret_bytes(raw[:32]), SealedKey(bytes(raw[32:])))

    def to_secret_bytes(self) -> bytes:
        """rk ‖ sealed key, 146 bytes. **Security:** a copy that Python cannot wipe."""
        return self.key.to_secret_bytes() + self.sealed

    def __repr__(self) -> str:
        return "SharedKey(secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("shared keys are secret: they do not compare")

    def __reduce__(self) -> NoReturn:
        raise TypeError("shared keys are secret: they do not pickle")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCapsule:
    """The proxy's answer, as it came: E′, V′, its proof and the sealed key. Nothing is secret."""

    e: Point
    v: Point
    proof: ReencryptionProof
    sealed: SealedKey

    def to_bytes(self) -> bytes:
        """E′ ‖ V′ ‖ proof ‖ sealed key, 278 bytes."""
        return self.e.to_bytes() + self.v.to_bytes() + self.proof.to_bytes() + self.sealed

    @classmethod
    def from_bytes(cls, raw: bytes) -> SharedCapsule:
        """Parse what `to_bytes` wrote.

        Raises:
            MalformedMessage: another length, a point off the curve, or a scalar that is zero or
                not below the group order.
        """
        if len(raw) != SHARED_CAPSULE_BYTES:
            raise MalformedMessage(f"a shared capsule is {SHARED_CAPSULE_BYTES} bytes")
        end = 66 + PROOF_BYTES
        return cls(
            e=Point.from_bytes(raw[:33]),
            v=Point.from_bytes(raw[33:66]),
            proof=ReencryptionProof.from_bytes(raw[66:end]),
            sealed=SealedKey(bytes(raw[end:])),
        )


def share(
    delegating_sk: SecretKey, receiving_pk: PublicKey, *, randomness: Randomness | None = None
) -> SharedKey:
    """A key with which one proxy re-encrypts the owner's capsules for one recipient.

    Args:
        randomness: the operating system's by default. The same bytes twice give the same key.

    **Security:** proxy and recipient together compute `delegating_sk`.
    """
    source = randomness or SystemRandomness()
    e = Scalar.random(source)  # (1)
    key = ReencryptionKey(delegating_sk.scalar.mul(e.invert(source)))
    x = Scalar.random(source)  # (2)
    precursor = secp256k1.mul_base(x)
    box_key = _box_key(
        secp256k1.mul_to_secret(x, receiving_pk.point),
        secp256k1.mul_to_secret(delegating_sk.scalar, receiving_pk.point),
        precursor,
        delegating_sk.public_key(),
        receiving_pk,
    )
    plaintext = bytearray(e.to_secret_bytes() + key.commitment().to_bytes())
    box = aead.cipher(box_key).encrypt(_NONCE, plaintext, tags.SHARE_SEAL)
    plaintext[:] = bytes(len(plaintext))
    return SharedKey(key, SealedKey(precursor.to_bytes() + box))  # (3)


def reencrypt_shared(
    capsule: Capsule, shared_key: SharedKey, *, randomness: Randomness | None = None
) -> SharedCapsule:
    """Re-encrypt a capsule for the recipient of a shared key, and prove it: steps (4) to (6).

    Raises:
        UsageError: something else than a capsule, rotated ones too.

    **Security:** four multiplications by the secrets rk and t, in constant time. The same
    `randomness` for two capsules reveals rk; it is the operating system's by default.
    """
    if type(capsule) is not Capsule:
        raise UsageError("a shared key re-encrypts capsules and nothing else")
    key, points = shared_key.key, (capsule.e, capsule.v)
    e, v = key.applied(points)
    statement = Statement(
        context=shared_key.sealed,
        commitment=key.commitment(),
        inputs=[points],
        outputs=[(e, v)],
    )
    proof = proving.prove(statement, key, randomness=randomness)
    return SharedCapsule(e=e, v=v, proof=proof, sealed=shared_key.sealed)


def open_shared(
    receiving_sk: SecretKey,
    delegating_pk: PublicKey,
    capsule: Capsule,
    shared: SharedCapsule,
    *,
    proxy: str = "",
) -> Secret:
    """The seed of a capsule that an owner shared; 33 bytes, as `umbral.open_seed` gives it.

    Args:
        capsule: the recipient's own copy, not one that came with the answer.
        proxy: the name to blame, where the caller knows who sent the answer.

    Raises:
        InvalidSignature: this owner sealed no such key for this recipient.
        PeerFault: the proxy's proof does not hold for this capsule (never `sure`: the owner may
            have sealed what does not fit its key), or (naming nobody) the key that the owner sealed
            does not belong to `delegating_pk`.
    """
    ephemeral, commitment = _unsealed(receiving_sk, delegating_pk, shared.sealed, proxy)  # (7)
    outputs = (shared.e, shared.v)
    statement = Statement(
        context=shared.sealed,
        commitment=commitment,
        inputs=[(capsule.e, capsule.v)],
        outputs=[outputs],
    )
    proving.verify(statement, shared.proof, proxy=proxy)  # (8)
    opened = [secp256k1.mul_to_secret(ephemeral, point) for point in outputs]  # (9)
    return checked_seed(opened[0], opened[1], s=capsule.s, h=capsule.h, origin=delegating_pk)


def _unsealed(
    receiving_sk: SecretKey, delegating_pk: PublicKey, sealed: SealedKey, proxy: str
) -> tuple[Scalar, Point]:
    """The ephemeral key and its commitment."""
    culprits = (proxy,) if proxy else ()
    plaintext = bytearray(len(sealed) - 33 - aead.MARK_BYTES)
    try:
        precursor = Point.from_bytes(sealed[:33])
        box_key = _box_key(
            secp256k1.mul_to_secret(receiving_sk.scalar, precursor),
            secp256k1.mul_to_secret(receiving_sk.scalar, delegating_pk.point),
            precursor,
            delegating_pk,
            receiving_sk.public_key(),
        )
        aead.cipher(box_key).decrypt_into(_NONCE, sealed[33:], tags.SHARE_SEAL, plaintext)
    except (MalformedMessage, InvalidTag) as error:
        raise InvalidSignature(
            "the sealed key is not from this owner for this recipient", culprits=culprits
        ) from error
    try:
        ephemeral = Scalar.from_secret_bytes(memoryview(plaintext)[:32])
        return ephemeral, Point.from_bytes(bytes(plaintext[32:]))
    except MalformedMessage as error:  # under the owner's key: the owner sealed nonsense
        raise PeerFault("the owner sealed no ephemeral key") from error
    finally:
        plaintext[:] = bytes(len(plaintext))


def _box_key(
    ephemeral: SecretPoint,
    static: SecretPoint,
    precursor: Point,
    delegating_pk: PublicKey,
    receiving_pk: PublicKey,
) -> Secret:
    """K = HKDF(x·B ‖ a·B; X, A, B)."""
    both = bytearray(66)
    with ephemeral.to_secret().exposed() as one, static.to_secret().exposed() as other:
        both[:33], both[33:] = one, other
    context = (precursor.to_bytes(), delegating_pk.to_bytes(), receiving_pk.to_bytes())
    return kdf.derive(Secret(both), tags.SHARE_SEAL, *context)
