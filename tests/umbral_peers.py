"""umbral-pre and nucypher-core behind one face, bytes in and bytes out, to test against."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from allowed_skips import require_oracle

# The wheels that exist: the oldest Python without one.
NO_WHEEL_SINCE = {"umbral_pre": (3, 12), "nucypher_core": (3, 13)}

_KIT = b"MKit\x00\x03\x00\x00"  # a MessageKit: brand and version, then [capsule, ciphertext, nil]


class Peer:
    """One of the two; skips the test where it has no wheel."""

    def __init__(self, name: str) -> None:
        module = require_oracle(name, wheel=sys.version_info < NO_WHEEL_SINCE[name])
        self.kits: ModuleType | None = None
        if name == "nucypher_core":
            self.kits = module
            module = require_oracle("nucypher_core.umbral", wheel=True)
        self.umbral: Any = module

    def public(self, raw: bytes) -> Any:
        return self.umbral.PublicKey.from_compressed_bytes(raw)

    def secret(self, raw: bytes) -> Any:
        return self.umbral.SecretKey.from_be_bytes(raw)

    def encrypt(self, pk: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
        if self.kits is None:
            capsule, ciphertext = self.umbral.encrypt(self.public(pk), plaintext)
            return bytes(capsule), bytes(ciphertext)
        kit = bytes(self.kits.MessageKit(self.public(pk), plaintext, None))
        capsule, rest = kit[len(_KIT) + 1 :][:105], kit[len(_KIT) + 106 :]
        assert rest[0] == 0xC4
        assert rest[-1] == 0xC0
        return capsule, rest[2:-1]

    def decrypt_original(self, sk: bytes, capsule: bytes, ciphertext: bytes) -> bytes:
        if self.kits is None:
            parsed = self.umbral.Capsule.from_bytes(capsule)
            return bytes(self.umbral.decrypt_original(self.secret(sk), parsed, ciphertext))
        return bytes(self._kit(capsule, ciphertext).decrypt(self.secret(sk)))

    def decrypt_reencrypted(  # noqa: PLR0917 - as the wheel has it
        self,
        sk: bytes,
        delegating: bytes,
        capsule: bytes,
        verifying: bytes,
        cfrags: Sequence[bytes],
        ciphertext: bytes,
    ) -> bytes:
        """Verifies every cfrag, then decrypts."""
        secret, owner = self.secret(sk), self.public(delegating)
        parsed = self.umbral.Capsule.from_bytes(capsule)
        verified = [
            self.umbral.CapsuleFrag.from_bytes(raw).verify(
                parsed, self.public(verifying), owner, secret.public_key()
            )
            for raw in cfrags
        ]
        if self.kits is None:
            return bytes(
                self.umbral.decrypt_reencrypted(secret, owner, parsed, verified, ciphertext)
            )
        return bytes(self._kit(capsule, ciphertext).decrypt_reencrypted(secret, owner, verified))

    def generate(  # noqa: PLR0917 - as the wheel has it
        self, sk: bytes, receiving: bytes, signing: bytes, m: int, n: int, flags: tuple[bool, bool]
    ) -> list[bytes]:
        signer = self.umbral.Signer(self.secret(signing))
        kfrags = self.umbral.generate_kfrags(
            self.secret(sk), self.public(receiving), signer, m, n, *flags
        )
        return [bytes(kfrag) for kfrag in kfrags]

    def verify_kfrag(self, raw: bytes, verifying: bytes, *keys: bytes | None) -> Any:
        given = [None if key is None else self.public(key) for key in keys]
        return self.umbral.KeyFrag.from_bytes(raw).verify(self.public(verifying), *given)

    def verify_cfrag(self, raw: bytes, capsule: bytes, *keys: bytes) -> Any:
        parsed = self.umbral.Capsule.from_bytes(capsule)
        return self.umbral.CapsuleFrag.from_bytes(raw).verify(parsed, *map(self.public, keys))

    def reencrypt(self, capsule: bytes, kfrag: bytes) -> bytes:
        parsed = self.umbral.Capsule.from_bytes(capsule)
        return bytes(
            self.umbral.reencrypt(parsed, self.umbral.KeyFrag.from_bytes(kfrag).skip_verification())
        )

    def _kit(self, capsule: bytes, ciphertext: bytes) -> Any:
        assert self.kits is not None
        assert len(ciphertext) < 256
        raw = _KIT + b"\x93" + capsule + b"\xc4" + bytes([len(ciphertext)]) + ciphertext + b"\xc0"
        return self.kits.MessageKit.from_bytes(raw)
