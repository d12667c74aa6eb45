r"""Files encrypted under a custody key: a header that names the key, then one `crypto/stream`.

    "TALLYF1\n" ‖ u16 length ‖ CBOR [domain, [key name, key version]] ‖ stream

The stream's key is HKDF of the final key; its context is the header, so no header can be put on
another stream. The page `docs/protocols/stream-format.md` has the bytes. No I/O but the two
streams that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import DomainId
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.kdf import derive
from tigertally.crypto.stream import decrypt_stream, encrypt_stream
from tigertally.custody.messages.kinds import KeyRef

MAGIC = b"TALLYF1\n"
_MAX_HEADER = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """Which key opens the file."""

    domain: DomainId
    key: KeyRef


def read_header(source: BinaryIO) -> FileHeader:
    """Read the head of an encrypted file, and leave `source` behind it.

    Raises:
        MalformedMessage: the file was not made by `tally encrypt`, or its head is damaged.
    """
    if source.read(len(MAGIC)) != MAGIC:
        raise MalformedMessage("this is not a file made by tally encrypt")
    size = int.from_bytes(source.read(2), "big")
    raw = source.read(size)
    try:
        return decode(FileHeader, raw, max_bytes=_MAX_HEADER)
    except MalformedMessage as error:
        raise MalformedMessage("the head of this encrypted file is damaged") from error


def encrypt_file(
    final: Secret,
    header: FileHeader,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    randomness: Randomness,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Encrypt all of `source` into `sink`; returns the bytes of plaintext."""
    raw = encode(header)
    sink.write(MAGIC + len(raw).to_bytes(2, "big") + raw)
    with derive(final, tags.FILE_ENCRYPTION, raw) as key:
        return encrypt_stream(
            key, source, sink, context=raw, randomness=randomness, progress=progress
        )


def decrypt_file(
    final: Secret,
    header: FileHeader,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Decrypt what follows the header; returns the bytes of plaintext.

    Raises:
        InvalidSignature: cut, changed, appended to, or another key. What was written to `sink` by
            then is worth nothing: write to a file that appears only at the end.
    """
    raw = encode(header)
    with derive(final, tags.FILE_ENCRYPTION, raw) as key:
        return decrypt_stream(key, source, sink, context=raw, progress=progress)
