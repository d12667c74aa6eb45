"""Ed25519 signatures (RFC 8032) over a tag and exact bytes.

No I/O. Every signature is over `tag ‖ body`, where the tag comes from `algebra/tags.py`: a
signature made for one purpose can never be shown for another.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Self

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.bindings import crypto_core_ed25519_is_valid_point

from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import Fingerprint, FixedBytes, Signature
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret

_SEED_BYTES = 32
_CACHED_KEYS = 4096  # a roster of 255 holders and a few thousand requesters
_CACHED_SIGNATURES = 4096  # found good lately: the same verdicts come with every sync
_CACHED_MESSAGE_BYTES = 4096  # longer messages are verified anew, so the cache has 16 MiB at most


@lru_cache(maxsize=_CACHED_KEYS)
def _checked(raw: bytes) -> Ed25519PublicKey:
    if not crypto_core_ed25519_is_valid_point(raw):
        raise MalformedMessage("not a public signing key: not in the Ed25519 group")
    return Ed25519PublicKey.from_public_bytes(raw)


def _verify(raw: bytes, signature: bytes, message: bytes) -> None:
    _checked(raw).verify(signature, message)


_verify_once = lru_cache(maxsize=_CACHED_SIGNATURES)(_verify)  # remembers no failure: they raise


class VerifyKey(FixedBytes):
    """A public signing key, 32 bytes.

    Raises:
        MalformedMessage: wrong length, not canonical, off the curve, of small order or outside
            the main subgroup.

    **Security:** OpenSSL accepts a signature on *any* message under a small-order key; that is
    why such keys cannot be built here.
    """

    SIZE = 32

    def __new__(cls, value: bytes) -> Self:
        self = super().__new__(cls, value)
        _checked(bytes(self))
        return self

    @property
    def fingerprint(self) -> Fingerprint:
        """SHA-256 of the key: what people compare."""
        return Fingerprint(hashlib.sha256(self).digest())

    def verify(self, tag: bytes, body: bytes, signature: Signature, *, signer: str = "") -> None:
        """Check a signature over `tag ‖ body`.

        Args:
            tag: the purpose, from `algebra/tags.py`.
            body: the exact bytes that travelled.
            signature: 64 bytes.
            signer: the name to blame, where the caller knows one.

        Raises:
            InvalidSignature: it does not verify. `sure` is False: whoever relayed the message
                may have broken it.

        **Security:** what was found good is not computed again for the very same key, signature
        and message, compared byte for byte.
        """
        message = tag + body
        check = _verify_once if len(message) <= _CACHED_MESSAGE_BYTES else _verify
        try:
            check(bytes(self), bytes(signature), message)
        except exceptions.InvalidSignature as error:
            culprits = (signer,) if signer else ()
            raise InvalidSignature("the signature does not verify", culprits=culprits) from error


class SigningKey:
    """A secret signing key, made from a 32-byte seed.

    **Security:** OpenSSL keeps its own copy of the key while this object lives.
    """

    __slots__ = ("_key", "public", "seed")

    def __init__(self, seed: Secret) -> None:
        if len(seed) != _SEED_BYTES:
            raise MalformedMessage(f"a signing key's seed is {_SEED_BYTES} bytes")
        with seed.exposed() as raw:
            self._key = Ed25519PrivateKey.from_private_bytes(raw)
        self.seed = seed
        self.public = VerifyKey(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, randomness: Randomness) -> SigningKey:
        """A fresh key."""
        return cls(Secret.random(randomness, _SEED_BYTES))

    def sign(self, tag: bytes, body: bytes) -> Signature:
        """Sign `tag ‖ body`; deterministic, as RFC 8032 has it."""
        return Signature(self._key.sign(tag + body))

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public})"
