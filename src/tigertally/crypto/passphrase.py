"""Seal small things under a passphrase: Argon2id (RFC 9106), then AES-256-GCM.

No I/O. `sealed` = version 1 (1 byte) ‖ memory in KiB (4, big-endian) ‖ passes (4) ‖ lanes (1) ‖
salt (16) ‖ what `crypto/aead.py` makes. The header is associated data.

**Security:** as strong as the passphrase, at the named cost for each guess. A wrong passphrase and
a damaged file look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused, UsageError
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead

_VERSION = 1
_SALT_BYTES = 16
_HEADER_BYTES = 26

# A sealed file may come from elsewhere: its header must not make us allocate or compute at will.
MAX_MEMORY_KIB = 1024 * 1024  # 1 GiB
MAX_PASSES = 16
MAX_LANES = 16
MAX_WORK_KIB = 2 * MAX_MEMORY_KIB  # memory times passes; about five seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The cost of one guess: memory (KiB), passes over it, lanes (RFC 9106 section 3.1).

    Raises:
        MalformedMessage: outside what Argon2 allows or what we are willing to compute.
    """

    memory_kib: int
    passes: int
    lanes: int

    def __post_init__(self) -> None:
        sensible = (
            1 <= self.lanes <= MAX_LANES
            and 1 <= self.passes <= MAX_PASSES
            and 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB
            and self.memory_kib * self.passes <= MAX_WORK_KIB
        )
        if not sensible:
            raise MalformedMessage("the cost of the passphrase is out of bounds")

    def to_bytes(self) -> bytes:
        memory, passes = self.memory_kib.to_bytes(4, "big"), self.passes.to_bytes(4, "big")
        return memory + passes + self.lanes.to_bytes(1, "big")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        if len(raw) != 9:
            raise MalformedMessage("the cost of a passphrase is 9 bytes")
        memory, passes = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:8], "big")
        return cls(memory_kib=memory, passes=passes, lanes=raw[8])


# RFC 9106 section 4, second recommended option: 64 MiB, 3 passes, 4 lanes; about 0.15 s.
INTERACTIVE = Parameters(memory_kib=64 * 1024, passes=3, lanes=4)
# Worthless against guessing.
FOR_TESTS_ONLY = Parameters(memory_kib=8, passes=1, lanes=1)


def seal(
    passphrase: Secret,
    plaintext: bytes | Secret,
    *,
    aad: bytes,
    parameters: Parameters = INTERACTIVE,
) -> bytes:
    """Encrypt under a passphrase, bound to `aad`.

    Args:
        passphrase: the exact bytes typed (UTF-8, Unicode normal form C); not empty.
        plaintext: small; it is held in memory.
        aad: a tag and what the sealed bytes belong to.
        parameters: what one guess costs; kept in the header.

    Raises:
        UsageError: the passphrase is empty.
    """
    if len(passphrase) == 0:
        raise UsageError("the passphrase is empty")
    salt = SystemRandomness().bytes(_SALT_BYTES)
    header = bytes([_VERSION]) + parameters.to_bytes() + salt
    key = _stretched(passphrase, header)
    return header + aead.seal(key, plaintext, aad=_bound(header, aad))


def is_sealed(raw: bytes) -> bool:
    """Whether this is, or is the beginning of, what `seal` makes; a guess from its header."""
    header = raw[:_HEADER_BYTES]
    if len(header) < _HEADER_BYTES or header[0] != _VERSION:
        return False
    try:
        Parameters.from_bytes(header[1:-_SALT_BYTES])
    except MalformedMessage:
        return False
    return True


def open(passphrase: Secret, sealed: bytes, *, aad: bytes) -> Secret:  # noqa: A001 - called as passphrase.open
    """Decrypt what `seal` made.

    Raises:
        Refused: the passphrase is wrong (or the bytes are damaged, or belong elsewhere).
        MalformedMessage: these are not bytes that `seal` could have made.
    """
    header = sealed[:_HEADER_BYTES]
    if len(sealed) < _HEADER_BYTES + aead.OVERHEAD or header[0] != _VERSION:
        raise MalformedMessage("this is not something sealed under a passphrase")
    key = _stretched(passphrase, header)
    try:
        return aead.open(key, sealed[_HEADER_BYTES:], aad=_bound(header, aad))
    except InvalidSignature as error:
        raise Refused("wrong passphrase") from error


def _stretched(passphrase: Secret, header: bytes) -> Secret:
    parameters = Parameters.from_bytes(header[1:10])
    argon = Argon2id(
        salt=header[10:],
        length=aead.KEY_BYTES,
        iterations=parameters.passes,
        lanes=parameters.lanes,
        memory_cost=parameters.memory_kib,
    )
    key = bytearray(aead.KEY_BYTES)
    with passphrase.exposed() as raw:
        argon.derive_into(raw, key)  # type: ignore[arg-type]  # takes any buffer
    return Secret(key)


def _bound(header: bytes, aad: bytes) -> bytes:
    return tags.PASSPHRASE_SEAL + framed(header, aad)
