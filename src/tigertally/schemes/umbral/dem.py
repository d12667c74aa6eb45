"""The data encapsulation of umbral-pre: XChaCha20-Poly1305 under a key derived from the seed.

For interoperability with that library; formats of our own use `encapsulate` and `open_seed`.
No I/O. `ciphertext` = nonce (24 bytes) ‖ XChaCha20-Poly1305 ciphertext ‖ mark (16 bytes).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings
from nacl.exceptions import CryptoError

from tigertally.base.errors import InvalidSignature
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret

NONCE_BYTES = 24
MARK_BYTES = 16


def seal(seed: Secret, plaintext: bytes, *, aad: bytes, randomness: Randomness) -> bytes:
    """Encrypt under the key of this seed; 40 bytes longer."""
    nonce = randomness.bytes(NONCE_BYTES)
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        plaintext, aad, nonce, _key(seed)
    )


def open(seed: Secret, ciphertext: bytes, *, aad: bytes) -> bytes:  # noqa: A001 - called as dem.open
    """Decrypt what `seal` made.

    Raises:
        InvalidSignature: too short, damaged, another seed or another `aad`.
    """
    if len(ciphertext) < NONCE_BYTES + MARK_BYTES:
        raise InvalidSignature("the ciphertext does not open: too short")
    nonce, sealed = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, _key(seed))
    except CryptoError as error:
        raise InvalidSignature("the ciphertext does not open with this key and capsule") from error


def _key(seed: Secret) -> bytes:
    with seed.exposed() as raw:
        return HKDF(SHA256(), 32, None, b"").derive(raw)
