"""The sender's signature inside the plaintext: content ‖ sender's key ‖ signature.

docs/protocols/delegation-files.md, "The sender". The content is hashed as an RFC 6962 tree
of 64 KiB pieces while it passes: constant memory. No I/O but the streams that the caller gives.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

from tigertally.algebra import tags
from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import Hash, Signature
from tigertally.crypto.merkle import RunningRoot
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.crypto.stream import CHUNK_BYTES

PIECE_BYTES = CHUNK_BYTES
TRAILER_BYTES = VerifyKey.SIZE + Signature.SIZE
_LEAF = b"\x00"  # RFC 6962 section 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the sender signs: this content, under this header, by this key."""

    header: Hash
    length: int
    root: Hash
    sender: VerifyKey


class ContentHash:
    """The root of what has passed so far."""

    __slots__ = ("_left", "_piece", "_tree", "length")

    def __init__(self) -> None:
        self.length = 0
        self._tree = RunningRoot()
        self._piece = hashlib.sha256(_LEAF)
        self._left = PIECE_BYTES  # of the piece under way

    def update(self, data: memoryview) -> None:
        """Add bytes."""
        self.length += len(data)
        at = 0
        while at < len(data):
            part = data[at : at + self._left]
            self._piece.update(part)
            self._left -= len(part)
            at += len(part)
            if not self._left:
                self._end_piece()

    def root(self) -> Hash:
        """The root of it all; the content is over."""
        if self._left < PIECE_BYTES:
            self._end_piece()
        return self._tree.root()

    def _end_piece(self) -> None:
        self._tree.append(self._piece.digest())
        self._piece = hashlib.sha256(_LEAF)
        self._left = PIECE_BYTES


class SigningSource:
    """Reads like the content, and ends with the sender's key and signature.

    Args:
        content: read to its end.
        header: the digest of the fixed header.
        key: the sender's; None writes no signature.
    """

    def __init__(self, content: BinaryIO, header: Hash, key: SigningKey | None) -> None:
        self._content = content
        self._header = header
        self._key = key
        self._hash = ContentHash()
        self._trailer: memoryview | None = None

    @property
    def length(self) -> int:
        """Bytes of content so far."""
        return self._hash.length

    def readinto(self, view: memoryview) -> int:
        """Fill `view` as far as one read goes; 0 at the very end."""
        if self._trailer is None:
            count: int = self._content.readinto(view)  # type: ignore[attr-defined]
            if count:
                self._hash.update(memoryview(view)[:count])
                return count
            self._trailer = memoryview(self._signed())
        count = min(len(view), len(self._trailer))
        view[:count] = self._trailer[:count]
        self._trailer = self._trailer[count:]
        return count

    def _signed(self) -> bytes:
        if self._key is None:
            return b""
        body = _statement(self._header, self._hash, self._key.public)
        return self._key.public + self._key.sign(tags.FILE_SIGNATURE, body)


class VerifyingSink:
    """Passes the content on to `sink`, and holds the last 96 bytes back: the signature.

    Args:
        sink: gets content only.
        header: the digest of the fixed header.
        signed: False passes everything on.
    """

    def __init__(self, sink: BinaryIO, header: Hash, *, signed: bool) -> None:
        self._sink = sink
        self._header = header
        self._hold = TRAILER_BYTES if signed else 0
        self._held = b""
        self._hash = ContentHash()

    @property
    def length(self) -> int:
        """Bytes of content so far."""
        return self._hash.length

    def write(self, view: memoryview) -> int:
        """Take plaintext; all of it is taken."""
        view = memoryview(view)
        total = len(self._held) + len(view)
        out = max(0, total - self._hold)
        first = min(out, len(self._held))
        self._pass(memoryview(self._held)[:first])
        rest = out - first
        self._pass(view[:rest])
        self._held = self._held[first:] + bytes(view[rest:])
        return len(view)

    def sender(self) -> VerifyKey | None:
        """Whose signature it is, verified; None where there is none. The content is over.

        Raises:
            InvalidSignature: the signature is not for this content and header.
        """
        if not self._hold:
            return None
        if len(self._held) < TRAILER_BYTES:
            raise InvalidSignature("the file is too short to hold its sender's signature")
        try:
            sender = VerifyKey(self._held[: VerifyKey.SIZE])
        except MalformedMessage as error:
            raise InvalidSignature("the file names no sender") from error
        signature = Signature(self._held[VerifyKey.SIZE :])
        body = _statement(self._header, self._hash, sender)
        try:
            sender.verify(tags.FILE_SIGNATURE, body, signature)
        except InvalidSignature as error:
            raise InvalidSignature("the sender did not sign this content for this label") from error
        return sender

    def _pass(self, data: memoryview) -> None:
        if not data:
            return
        self._hash.update(data)
        while data:
            count = self._sink.write(data)
            if not count:
                raise OSError("the output takes no more bytes")
            data = data[count:]


def _statement(header: Hash, content: ContentHash, sender: VerifyKey) -> bytes:
    return encode(
        Statement(header=header, length=content.length, root=content.root(), sender=sender)
    )
