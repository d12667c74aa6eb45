"""Encrypting and decrypting bytes exactly as umbral-pre does, for interoperability. No I/O.

Formats of our own do not use this: they draw a key with `encapsulate` and open it with `open_seed`
or `open_reencrypted_seed`.
"""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.schemes.umbral import dem
from tigertally.schemes.umbral.capsule import Capsule, encapsulate, open_seed
from tigertally.schemes.umbral.capsule_fragment import VerifiedCapsuleFragment
from tigertally.schemes.umbral.keys import PublicKey, SecretKey
from tigertally.schemes.umbral.opening import open_reencrypted_seed


def encrypt(
    pk: PublicKey, plaintext: bytes, *, randomness: Randomness | None = None
) -> tuple[Capsule, bytes]:
    """Encrypt to a public key.

    Returns:
        The capsule and the ciphertext: 24 bytes of nonce, then 16 more than the plaintext.
    """
    source = randomness or SystemRandomness()
    capsule, seed = encapsulate(pk, randomness=source)
    aad = capsule.to_bytes_simple()
    return capsule, dem.seal(seed, plaintext, aad=aad, randomness=source)


def decrypt_original(sk: SecretKey, capsule: Capsule, ciphertext: bytes) -> bytes:
    """Decrypt with the key that the data was encrypted to.

    Raises:
        InvalidSignature: damaged, or another key's or capsule's.
    """
    return dem.open(open_seed(sk, capsule), ciphertext, aad=capsule.to_bytes_simple())


def decrypt_reencrypted(
    receiving_sk: SecretKey,
    delegating_pk: PublicKey,
    capsule: Capsule,
    verified_cfrags: Sequence[VerifiedCapsuleFragment],
    ciphertext: bytes,
) -> bytes:
    """Decrypt what an owner delegated, with the cfrags of at least m proxies.

    Raises:
        UsageError, PeerFault: as `open_reencrypted_seed`.
        InvalidSignature: the ciphertext is damaged or another capsule's.
    """
    seed = open_reencrypted_seed(receiving_sk, delegating_pk, capsule, verified_cfrags)
    return dem.open(seed, ciphertext, aad=capsule.to_bytes_simple())
