"""AES-256-GCM for small things: a random nonce in front, context as associated data.

No I/O. Standard: NIST SP 800-38D. `sealed` = nonce (12 bytes) ‖ ciphertext ‖ mark (16 bytes).

**Security:** the nonce is random, so seal at most 2³² messages under one key. AES-GCM does not
commit to its key: where someone else chooses keys, use `crypto/stream.py`, which does.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tigertally.base.errors import InvalidSignature, UsageError
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret

KEY_BYTES = 32
NONCE_BYTES = 12
MARK_BYTES = 16
OVERHEAD = NONCE_BYTES + MARK_BYTES


def cipher(key: Secret) -> AESGCM:
    """The library's AES-256-GCM under `key`; keep it where many messages follow each other.

    **Security:** the library keeps its own copy of the key while the result lives.
    """
    if len(key) != KEY_BYTES:
        raise UsageError(f"an AES-256-GCM key is {KEY_BYTES} bytes")
    with key.exposed() as raw:
        return AESGCM(raw)


def seal(key: Secret, plaintext: bytes | Secret, *, aad: bytes) -> bytes:
    """Encrypt and authenticate `plaintext`, bound to `aad`; 28 bytes longer.

    Args:
        key: 32 bytes.
        plaintext: at most 2³¹ − 1 bytes.
        aad: a tag and whatever this message must not be moved away from.
    """
    nonce = SystemRandomness().bytes(NONCE_BYTES)
    if isinstance(plaintext, Secret):
        with plaintext.exposed() as raw:
            return nonce + cipher(key).encrypt(nonce, raw, aad)
    return nonce + cipher(key).encrypt(nonce, plaintext, aad)


def open(key: Secret, sealed: bytes, *, aad: bytes) -> Secret:  # noqa: A001 - called as aead.open
    """Decrypt what `seal` made under the same key and `aad`.

    Raises:
        InvalidSignature: too short, damaged, another key or another `aad`.
    """
    aes = cipher(key)
    if len(sealed) < OVERHEAD:
        raise InvalidSignature("the sealed bytes do not open: too short")
    plaintext = bytearray(len(sealed) - OVERHEAD)
    view = memoryview(sealed)
    try:
        aes.decrypt_into(view[:NONCE_BYTES], view[NONCE_BYTES:], aad, plaintext)
    except InvalidTag as error:
        raise InvalidSignature("the sealed bytes do not open with this key and context") from error
    return Secret(plaintext)


def seal_once(key: Secret, plaintext: bytes | Secret, *, aad: bytes) -> bytes:
    """Encrypt under a key that encrypts nothing else; 16 bytes longer, the nonce is zero.

    **Security:** two plaintexts under one key give both away: the key comes from fresh randomness
    and dies with this call or with the file it belongs to.
    """
    if isinstance(plaintext, Secret):
        with plaintext.exposed() as raw:
            return cipher(key).encrypt(bytes(NONCE_BYTES), raw, aad)
    return cipher(key).encrypt(bytes(NONCE_BYTES), plaintext, aad)


def open_once(key: Secret, sealed: bytes, *, aad: bytes) -> Secret:
    """Decrypt what `seal_once` made; raises as `open`."""
    return open(key, bytes(NONCE_BYTES) + sealed, aad=aad)
