"""The identity file of a profile: who it is, in the clear, and its secrets, sealed.

The file is one CBOR record with a checksum, so that a damaged file and a wrong passphrase do not
look alike. The secrets stand in it as 192 bytes of fixed layout: so they go from the sealed file
into locked memory without a decoder making copies of them.

**Security:** the checksum is against accidents. Against changes by others the sealed secrets are
bound to everything in the clear: a changed file opens with no passphrase. A file that is not
sealed (daemons) is protected by its mode and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed, tagged_hash
from tigertally.base import codec
from tigertally.base.errors import Corrupt, MalformedMessage
from tigertally.base.ids import Fingerprint, Hash, Name
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto import hpke, passphrase
from tigertally.crypto.passphrase import Parameters
from tigertally.crypto.signatures import SigningKey
from tigertally.quorum.card import Role

_VERSION = 1
_SIZES = (32, hpke.PrivateKey.SEED_BYTES, 32, 32)  # signing, wrapping, store, device


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Everything secret that a profile has: two seeds, the key of its store, a device secret."""

    signing_seed: Secret
    wrapping_seed: Secret
    store_key: Secret
    device_secret: Secret

    @classmethod
    def generate(cls, randomness: Randomness) -> Self:
        """Fresh ones."""
        return cls.of([Secret.random(randomness, size) for size in _SIZES])

    @classmethod
    def of(cls, parts: list[Secret]) -> Self:
        """From the parts in their order in the file."""
        signing, wrapping, store, device = parts
        return cls(
            signing_seed=signing, wrapping_seed=wrapping, store_key=store, device_secret=device
        )

    def all(self) -> tuple[Secret, ...]:
        """The parts in their order in the file."""
        return (self.signing_seed, self.wrapping_seed, self.store_key, self.device_secret)

    def wipe(self) -> None:
        """Overwrite all of them."""
        for secret in self.all():
            secret.wipe()

    def to_secret(self) -> Secret:
        """The fixed layout, 192 bytes."""
        raw = bytearray()
        for secret in self.all():
            with secret.exposed() as view:
                raw += view
        return Secret(raw)

    @classmethod
    def from_secret(cls, packed: Secret) -> Self:
        """Take the fixed layout apart; raises `Corrupt` on any other length."""
        if len(packed) != sum(_SIZES):
            raise Corrupt("the identity file of the profile is damaged: secrets of a wrong length")
        parts, start = [], 0
        with packed.exposed() as raw:
            for size in _SIZES:
                parts.append(Secret(raw[start : start + size]))
                start += size
        return cls.of(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the identity file holds; `body` are the secrets, sealed or (daemons) in the clear."""

    role: Role
    member: Name
    fingerprint: Fingerprint
    created: int
    sealed: bool
    body: bytes

    def to_bytes(self) -> bytes:
        return codec.encode(_File(version=_VERSION, identity=self, checksum=_checksum(self)))

    @staticmethod
    def from_bytes(raw: bytes) -> Identity:
        """Parse the file.

        Raises:
            Corrupt: anything but what `to_bytes` writes.
        """
        try:
            file = codec.decode(_File, raw)
        except MalformedMessage as error:
            raise Corrupt("the identity file of the profile is damaged") from error
        if file.version != _VERSION:
            raise Corrupt(f"the identity file has version {file.version}: not one known here")
        if file.checksum != _checksum(file.identity):
            raise Corrupt("the identity file of the profile is damaged")
        return file.identity

    def __repr__(self) -> str:
        return f"Identity({self.role.value} {self.member}, {self.fingerprint})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The record on the disk."""

    version: int
    identity: Identity
    checksum: Hash


def seal_identity(
    secrets: Secrets,
    *,
    role: Role,
    member: Name,
    created: int,
    under: Secret | None,
    parameters: Parameters = passphrase.INTERACTIVE,
) -> Identity:
    """Make the identity of these secrets, sealed `under` a passphrase, or in the clear (None).

    **Security:** without a passphrase the result holds the secrets: write it with mode 0600 only.
    """
    fingerprint = SigningKey(secrets.signing_seed).public.fingerprint
    packed = secrets.to_secret()
    if under is None:
        body = packed.to_secret_bytes()
    else:
        aad = _aad(role, member, fingerprint, created)
        body = passphrase.seal(under, packed, aad=aad, parameters=parameters)
    return Identity(
        role=role,
        member=member,
        fingerprint=fingerprint,
        created=created,
        sealed=under is not None,
        body=body,
    )


def open_identity(identity: Identity, ask: Callable[[], Secret]) -> Secrets:
    """The secrets of an identity; `ask` gives the passphrase and is called only if there is one.

    Raises:
        Refused: wrong passphrase, or somebody changed the file.
        Corrupt: the secrets are not those of this fingerprint.
    """
    if identity.sealed:
        aad = _aad(identity.role, identity.member, identity.fingerprint, identity.created)
        try:
            packed = passphrase.open(ask(), identity.body, aad=aad)
        except MalformedMessage as error:
            raise Corrupt("the identity file of the profile is damaged") from error
    else:
        packed = Secret(identity.body)
    secrets = Secrets.from_secret(packed)
    if SigningKey(secrets.signing_seed).public.fingerprint != identity.fingerprint:
        raise Corrupt("the identity file of the profile names another key than it holds")
    return secrets


def _aad(role: Role, member: Name, fingerprint: Fingerprint, created: int) -> bytes:
    parts = (role.value.encode(), member.encode(), fingerprint, created.to_bytes(8, "big"))
    return tags.PROFILE_SEAL + framed(*parts)


def _checksum(identity: Identity) -> Hash:
    return tagged_hash(tags.PROFILE_CHECK, codec.encode(identity))
