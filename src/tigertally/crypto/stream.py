"""One format for encrypted files of any size: chunked, authentic, bound to a context and a key.

Paper: Hoang, Reyhanitabar, Rogaway, Vizár, "Online authenticated encryption and its nonce-reuse
misuse-resistance" (CRYPTO 2015), section 7: STREAM. Constant memory, random access.

| bytes | what |
|---|---|
| 8 | `tallyst` and the format version 1 |
| 32 | salt: random, so that no two files share a key |
| 32 | context hash: SHA-256 over a tag and the context the file belongs to |
| 32 | key commitment: HKDF-SHA256(key, salt, context hash) |
| n | chunks: AES-256-GCM of 65,536 bytes each (the last one 0 … 65,536), mark of 16 bytes behind |

The key of the chunks is another HKDF-SHA256 of key, salt and context hash. The nonce of a chunk is
its number (11 bytes, big-endian) and a byte that is 1 for the last chunk, else 0. Only an empty
file has an empty last chunk.

**Security:** AES-GCM alone opens one ciphertext under several keys; the commitment, which is
checked first, rules that out. Plaintext reaches the sink chunk by chunk, each authentic, before the
end has been seen: write to `crypto.files.atomic_output`, or undo what was written on an error.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import InvalidSignature, UsageError
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead
from tigertally.crypto.kdf import derive

CHUNK_BYTES = 64 * 1024
MARK_BYTES = aead.MARK_BYTES
SEALED_CHUNK_BYTES = CHUNK_BYTES + MARK_BYTES
MAGIC = b"tallyst\x01"
HEADER_BYTES = len(MAGIC) + 3 * 32

_BATCH = 4  # chunks for each read and write: few system calls, and all buffers fit a level-2 cache

_PROBE_BYTES = 8 * 1024  # what is smaller takes one read

Progress = Callable[[int], None]
_Step = Callable[[bytes, memoryview, None, memoryview], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """Salt, context hash, key commitment: 32 bytes each."""

    salt: bytes
    context_hash: bytes
    commitment: bytes

    def to_bytes(self) -> bytes:
        return MAGIC + self.salt + self.context_hash + self.commitment

    @classmethod
    def from_bytes(cls, raw: bytes) -> _Header:
        if raw[: len(MAGIC)] != MAGIC:
            raise InvalidSignature("this is not an encrypted file of a known version")
        if len(raw) != HEADER_BYTES:
            raise InvalidSignature("the encrypted file is cut short")
        salt, context_hash, commitment = (raw[i : i + 32] for i in (8, 40, 72))
        return cls(salt=salt, context_hash=context_hash, commitment=commitment)


def encrypted_size(size: int) -> int:
    """The length of the stream for a plaintext of `size` bytes."""
    chunks = max(1, -(-size // CHUNK_BYTES))
    return HEADER_BYTES + size + chunks * MARK_BYTES


def encrypt_stream(
    key: Secret,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    context: bytes,
    randomness: Randomness,
    progress: Progress | None = None,
) -> int:
    """Encrypt all of `source` into `sink`.

    Args:
        key: 32 bytes; may encrypt any number of files.
        source: read to its end; a pipe will do.
        sink: gets header and chunks.
        context: what the file belongs to; decryption needs the same bytes.
        randomness: for the salt.
        progress: called with the number of plaintext bytes done so far, about every 256 KiB.

    Returns:
        The number of plaintext bytes.
    """
    salt = randomness.bytes(32)
    context_hash = bytes(tagged_hash(tags.FILE_CONTEXT, context))
    commitment = _commitment(key, salt, context_hash)
    header = _Header(salt=salt, context_hash=context_hash, commitment=commitment)
    _write_all(sink, memoryview(header.to_bytes()))
    step = aead.cipher(_chunk_key(key, header)).encrypt_into
    return _pump(source, sink, step, unit=CHUNK_BYTES, growth=MARK_BYTES, progress=progress)


def decrypt_stream(
    key: Secret,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    context: bytes,
    progress: Progress | None = None,
) -> int:
    """Decrypt all of `source` into `sink`; arguments as for `encrypt_stream`.

    Returns:
        The number of plaintext bytes.

    Raises:
        InvalidSignature: another key or context, or the file was cut, extended or altered.

    **Security:** on an error the sink holds an authentic beginning; throw it away.
    """
    raw = bytearray(HEADER_BYTES)
    header = _opened_header(key, bytes(raw[: _fill(source, memoryview(raw))]), context)
    step = aead.cipher(_chunk_key(key, header)).decrypt_into
    return _pump(source, sink, step, unit=SEALED_CHUNK_BYTES, growth=-MARK_BYTES, progress=progress)


class StreamReader:
    """Random access to the plaintext of an encrypted stream.

    Building it authenticates the header and the last chunk, so `size` is the true length; every
    read authenticates the chunks it touches. Not for several threads at once.

    Args:
        key: as for `encrypt_stream`.
        source: seekable.
        context: as for `encrypt_stream`.
        start: where in `source` the stream begins.
        end: where it ends; None is the end of `source`.

    Raises:
        InvalidSignature: as `decrypt_stream`; also from `read_at`.
    """

    def __init__(
        self,
        key: Secret,
        source: BinaryIO,
        *,
        context: bytes,
        start: int = 0,
        end: int | None = None,
    ) -> None:
        stop = source.seek(0, 2) if end is None else end
        self._source = source
        self._start = start + HEADER_BYTES
        source.seek(start)
        raw = source.read(max(0, min(HEADER_BYTES, stop - start)))
        header = _opened_header(key, raw, context)
        self._step = aead.cipher(_chunk_key(key, header)).decrypt_into
        self._sealed_size = stop - self._start
        self._last = max(0, -(-self._sealed_size // SEALED_CHUNK_BYTES) - 1)
        self.size = self._sealed_size - (self._last + 1) * MARK_BYTES
        self._cached = (-1, b"")
        self._chunk(self._last)

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` plaintext bytes from `offset`; fewer at the end, none beyond it.

        Raises:
            UsageError: a negative offset or size.
            InvalidSignature: a chunk was altered.
        """
        if offset < 0 or size < 0:
            raise UsageError("offset and size are not negative")
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        first, last = offset // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        base = first * CHUNK_BYTES
        found = b"".join(self._chunk(number) for number in range(first, last + 1))
        return found[offset - base : end - base]

    def _chunk(self, number: int) -> bytes:
        if self._cached[0] == number:
            return self._cached[1]
        at = number * SEALED_CHUNK_BYTES
        self._source.seek(self._start + at)
        sealed = bytearray(max(0, min(SEALED_CHUNK_BYTES, self._sealed_size - at)))
        filled = _fill(self._source, memoryview(sealed))
        out = bytearray(CHUNK_BYTES)
        size = _convert(
            self._step,
            memoryview(sealed)[:filled],
            memoryview(out),
            unit=SEALED_CHUNK_BYTES,
            growth=-MARK_BYTES,
            number=number,
            last=number == self._last,
        )
        self._cached = (number, bytes(memoryview(out)[:size]))
        return self._cached[1]


def _commitment(key: Secret, salt: bytes, context_hash: bytes) -> bytes:
    if len(key) != aead.KEY_BYTES:
        raise UsageError(f"the key of a file is {aead.KEY_BYTES} bytes")
    return derive(key, tags.FILE_COMMITMENT, salt, context_hash).to_secret_bytes()


def _chunk_key(key: Secret, header: _Header) -> Secret:
    return derive(key, tags.FILE_KEY, header.salt, header.context_hash)


def _opened_header(key: Secret, raw: bytes, context: bytes) -> _Header:
    header = _Header.from_bytes(raw)
    expected = _commitment(key, header.salt, header.context_hash)
    if not hmac.compare_digest(expected, header.commitment):
        raise InvalidSignature("the file was encrypted under another key, or its head is damaged")
    if header.context_hash != tagged_hash(tags.FILE_CONTEXT, context):
        raise InvalidSignature("the file belongs to another context")
    return header


def _pump(
    source: BinaryIO,
    sink: BinaryIO,
    step: _Step,
    *,
    unit: int,
    growth: int,
    progress: Progress | None,
) -> int:
    """Convert `source` to `sink`; what is small, without the buffers that large files need."""
    probe, out = bytearray(_PROBE_BYTES), bytearray(_PROBE_BYTES + MARK_BYTES)
    try:
        filled = _fill(source, memoryview(probe))
        if filled == _PROBE_BYTES:
            return _pump_batches(
                probe, source, sink, step, unit=unit, growth=growth, progress=progress
            )
        made = _convert(
            step,
            memoryview(probe)[:filled],
            memoryview(out),
            unit=unit,
            growth=growth,
            number=0,
            last=True,
        )
        _write_all(sink, memoryview(out)[:made])
        if progress is not None:
            progress(min(filled, made))
        return min(filled, made)
    finally:
        for buffer in (probe, out):
            buffer[:] = bytes(len(buffer))


def _pump_batches(
    begun: bytearray,
    source: BinaryIO,
    sink: BinaryIO,
    step: _Step,
    *,
    unit: int,
    growth: int,
    progress: Progress | None,
) -> int:
    """Convert what was `begun` to be read, and the rest, one batch read ahead to know the last."""
    buffers = [bytearray(_BATCH * unit), bytearray(_BATCH * unit)]
    current, ahead = (memoryview(buffer) for buffer in buffers)
    out = bytearray(_BATCH * (unit + growth))
    done = number = 0
    current[: len(begun)] = begun
    try:
        filled = len(begun) + _fill(source, current[len(begun) :])
        while True:
            following = _fill(source, ahead) if filled == len(current) else 0
            made = _convert(
                step,
                current[:filled],
                memoryview(out),
                unit=unit,
                growth=growth,
                number=number,
                last=following == 0,
            )
            _write_all(sink, memoryview(out)[:made])
            done += min(filled, made)  # the plaintext is the shorter one
            if progress is not None:
                progress(done)
            if following == 0:
                return done
            current, ahead, filled = ahead, current, following
            number += _BATCH
    finally:
        for buffer in (*buffers, out):
            buffer[:] = bytes(len(buffer))


def _convert(
    step: _Step,
    data: memoryview,
    out: memoryview,
    *,
    unit: int,
    growth: int,
    number: int,
    last: bool,
) -> int:
    """Encrypt or decrypt consecutive chunks, of which the first has `number`; bytes made."""
    chunks = max(1, -(-len(data) // unit))
    at = 0
    for i in range(chunks):
        piece = data[i * unit : (i + 1) * unit]
        end = at + len(piece) + growth
        final = last and i == chunks - 1
        nonce = ((number + i) << 8 | final).to_bytes(aead.NONCE_BYTES, "big")
        if end < at or (end == at and number + i > 0):
            raise InvalidSignature("the encrypted file is cut short")
        try:
            step(nonce, piece, None, out[at:end])
        except InvalidTag as error:
            raise InvalidSignature(
                f"chunk {number + i} of the encrypted file is damaged, out of place or cut"
            ) from error
        at = end
    return at


def _fill(source: BinaryIO, view: memoryview) -> int:
    """Read until `view` is full or `source` ends; the number of bytes read."""
    filled = 0
    while filled < len(view):
        count = source.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return filled


def _write_all(sink: BinaryIO, view: memoryview) -> None:
    while view:
        count = sink.write(view)
        if not count:
            raise OSError("the output takes no more bytes")
        view = view[count:]
