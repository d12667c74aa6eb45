"""What Umbral hashes and how. The bytes are umbral-pre's; no tag of ours stands before them.

Every hash is SHA-256 of the purpose's length (4 bytes, big-endian), the purpose, and the values,
each of a fixed size. No I/O.
"""

from __future__ import annotations

import hashlib

from tigertally.algebra.secp256k1 import Point, PublicScalar, Scalar
from tigertally.base.secret import Secret

# RFC 9380, secp256k1_XMD:SHA-256_SSWU_RO_, message POINT_U, tag PARAMETERS. A test redoes it.
U = Point.from_bytes(
    bytes.fromhex("03079390d0fbe220fc34aab8ecbf49098098036820fadb98c03143e55db8ec73cd")
)

CAPSULE_POINTS = b"CAPSULE_POINTS"
SHARED_SECRET = b"SHARED_SECRET"
POLYNOMIAL_ARG = b"POLYNOMIAL_ARG"
CFRAG_VERIFICATION = b"CFRAG_VERIFICATION"
SECRET_DERIVATION = b"SECRET_DERIVATION/"
KEY_DERIVATION = b"KEY_DERIVATION/"
FACTORY_DERIVATION = b"FACTORY_DERIVATION/"


def _digest(purpose: bytes, parts: tuple[bytes, ...]) -> bytes:
    return hashlib.sha256(len(purpose).to_bytes(4, "big") + purpose + b"".join(parts)).digest()


def public_scalar(purpose: bytes, *parts: bytes) -> PublicScalar:
    """The hash of public values as a number 1 … n − 1."""
    return Scalar.from_digest(_digest(purpose, parts)).published()


def secret_scalar(purpose: bytes, *parts: bytes | Secret) -> Scalar:
    """The hash of values of which some are secret as a number 1 … n − 1."""
    state = hashlib.sha256(len(purpose).to_bytes(4, "big") + purpose)
    for part in parts:
        if isinstance(part, Secret):
            with part.exposed() as raw:
                state.update(raw)
        else:
            state.update(part)
    return Scalar.from_digest(state.digest())
