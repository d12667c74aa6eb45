"""Umbral: threshold proxy re-encryption over secp256k1, byte-compatible with umbral-pre 0.11.

Paper: Nuñez, "Umbral: a threshold proxy re-encryption scheme", 2018. An owner splits the right to
open its capsules into kfrags for n proxies; any m of them re-encrypt a capsule into cfrags, each
with a proof, and the recipient opens it. docs/protocols/umbral.md has the steps. No I/O.

**Security:** rests on discrete logarithms: not against quantum computers. m proxies that collude
with the recipient obtain the owner's key.
"""

from tigertally.schemes.umbral.capsule import Capsule, encapsulate, open_seed
from tigertally.schemes.umbral.capsule_fragment import (
    CapsuleFragment,
    VerifiedCapsuleFragment,
    reencrypt,
)
from tigertally.schemes.umbral.encryption import decrypt_original, decrypt_reencrypted, encrypt
from tigertally.schemes.umbral.key_fragment import (
    FragmentId,
    KeyFragment,
    VerifiedKeyFragment,
    generate_key_fragments,
)
from tigertally.schemes.umbral.keys import PublicKey, SecretKey, SecretKeyFactory, Signer
from tigertally.schemes.umbral.opening import open_reencrypted_seed

__all__ = [
    "Capsule",
    "CapsuleFragment",
    "FragmentId",
    "KeyFragment",
    "PublicKey",
    "SecretKey",
    "SecretKeyFactory",
    "Signer",
    "VerifiedCapsuleFragment",
    "VerifiedKeyFragment",
    "decrypt_original",
    "decrypt_reencrypted",
    "encapsulate",
    "encrypt",
    "generate_key_fragments",
    "open_reencrypted_seed",
    "open_seed",
    "reencrypt",
]
