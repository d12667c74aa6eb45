"""The all-or-nothing transform: with the DEK alone, nothing opens before all of it was read.

docs/protocols/delegation-files.md, "All or nothing". The stream has a random key k; behind it
stands k ⊕ HMAC(key from the DEK, the whole stream). No I/O but the streams that the caller gives.

**Security:** in the random oracle model, who has the DEK and all but b bits of the stream needs
work of 2^min(b, 128). Whoever read everything once may keep the 32 bytes of k.
"""

from __future__ import annotations

import hashlib
import hmac
import io
from typing import BinaryIO, cast

from tigertally.algebra import tags
from tigertally.base.errors import InvalidSignature, UsageError
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.kdf import derive
from tigertally.crypto.stream import (
    HEADER_BYTES,
    SEALED_CHUNK_BYTES,
    Progress,
    decrypt_stream,
    encrypt_stream,
)
from tigertally.delegation.messages.headers import Header

TAIL_BYTES = 32
_BATCH = 4 * SEALED_CHUNK_BYTES


def write(
    dek: Secret,
    header: Header,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    randomness: Randomness,
    progress: Progress | None = None,
) -> None:
    """Encrypt `source` under a random key, and put the hidden key behind it."""
    with Secret.random(randomness, TAIL_BYTES) as key:
        mac = _mac(dek, header)
        out = cast(BinaryIO, _MacSink(sink, mac))
        encrypt_stream(
            key, source, out, context=header.digest, randomness=randomness, progress=progress
        )
        with key.exposed() as raw:
            sink.write(_xor(raw, mac.digest()))


def read(
    dek: Secret,
    header: Header,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    progress: Progress | None = None,
) -> None:
    """Decrypt in two passes; `source` is at the stream, and seekable.

    Raises:
        InvalidSignature: any byte is missing or changed. Nothing reaches `sink` in the first pass.
        UsageError: `source` cannot be read twice.
    """
    if not source.seekable():
        raise UsageError("an all-or-nothing file is read twice: a pipe will not do")
    start = source.tell()
    end = source.seek(0, io.SEEK_END) - TAIL_BYTES
    if end - start < HEADER_BYTES:
        raise InvalidSignature("the encrypted file is cut short")
    source.seek(start)
    mac = _mac(dek, header)
    _absorb(source, end - start, mac)
    tail = source.read(TAIL_BYTES)
    if len(tail) != TAIL_BYTES:
        raise InvalidSignature("the encrypted file is cut short")
    source.seek(start)
    with Secret(bytearray(_xor(tail, mac.digest()))) as key:
        limited = cast(BinaryIO, _Limited(source, end - start))
        decrypt_stream(key, limited, sink, context=header.digest, progress=progress)


def _mac(dek: Secret, header: Header) -> hmac.HMAC:
    with derive(dek, tags.AONT_KEY, header.digest) as key, key.exposed() as view:
        raw = bytearray(view)  # hmac takes no view
        try:
            return hmac.new(raw, digestmod=hashlib.sha256)
        finally:
            raw[:] = bytes(len(raw))


def _absorb(source: BinaryIO, left: int, mac: hmac.HMAC) -> None:
    buffer = bytearray(min(_BATCH, left))
    view = memoryview(buffer)
    while left:
        count: int = source.readinto(view[: min(left, len(view))])  # type: ignore[attr-defined]
        if not count:
            raise InvalidSignature("the encrypted file is cut short")
        mac.update(view[:count])
        left -= count


def _xor(a: bytes | memoryview, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(b), "big")


class _MacSink:
    """Passes bytes on, and takes them into the MAC."""

    def __init__(self, sink: BinaryIO, mac: hmac.HMAC) -> None:
        self._sink = sink
        self._mac = mac

    def write(self, view: memoryview) -> int:
        count = self._sink.write(view)
        self._mac.update(view[:count])
        return count


class _Limited:
    """The next `left` bytes of a source."""

    def __init__(self, source: BinaryIO, left: int) -> None:
        self._source = source
        self._left = left

    def readinto(self, view: memoryview) -> int:
        count: int = self._source.readinto(view[: self._left])  # type: ignore[attr-defined]
        self._left -= count
        return count
