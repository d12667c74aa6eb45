"""Key derivation: HKDF-SHA256 (RFC 5869), with a tag and framed context as `info`. No I/O."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tigertally.algebra.transcript import framed
from tigertally.base.errors import UsageError
from tigertally.base.secret import Secret

MAX_BYTES = 255 * 32  # RFC 5869 section 2.3


def derive(
    ikm: Secret | bytes,
    tag: bytes,
    *context: bytes,
    salt: bytes | Secret = b"",
    size: int = 32,
) -> Secret:
    """Derive a key for one purpose and context.

    Args:
        ikm: the input key; enough entropy to be a key, never a passphrase.
        tag: the purpose, from `algebra/tags.py`.
        context: what the key belongs to; framed, so that no two lists collide.
        salt: optional; may itself be secret.
        size: length of the result in bytes, 1 … 8160.
    """
    if not 1 <= size <= MAX_BYTES:
        raise UsageError(f"a derived key has 1 to {MAX_BYTES} bytes")
    salt_bytes = salt.to_secret_bytes() if isinstance(salt, Secret) else bytes(salt)
    hkdf = HKDF(SHA256(), size, salt_bytes, tag + framed(*context))
    out = bytearray(size)
    if isinstance(ikm, Secret):
        with ikm.exposed() as raw:
            hkdf.derive_into(raw, out)
    else:
        hkdf.derive_into(ikm, out)
    return Secret(out)
