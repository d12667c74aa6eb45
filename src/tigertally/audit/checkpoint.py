"""Checkpoints: a log's size and root, signed by its owner and cosigned by those who watch it.

Standards: c2sp.org/tlog-checkpoint over c2sp.org/signed-note, so that other programs can verify
and witness our logs. No I/O. The text is canonical: parsing and writing gives the same bytes.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from tigertally.audit import note
from tigertally.audit.note import NoteSignature
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Hash
from tigertally.base.limits import MAX_CHECKPOINT_BYTES
from tigertally.crypto.signatures import SigningKey, VerifyKey

_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log was at one moment.

    Attributes:
        origin: names the log for ever.
        size: how many entries.
        root: of the tree over them.
        extensions: further lines, opaque; ours has none.

    Raises:
        MalformedMessage: a field cannot stand in a note.
    """

    origin: str
    size: int
    root: Hash
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or not all(map(note.is_allowed, line)):
                raise MalformedMessage("a line of a checkpoint is text and not empty")
        if not 0 <= self.size < 2**64:
            raise MalformedMessage("the size of a log is an unsigned 64-bit number")

    def to_note_body(self) -> bytes:
        """The text that is signed, with its last newline."""
        root = base64.b64encode(self.root).decode()
        lines = (self.origin, str(self.size), root, *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def from_note_body(cls, text: str) -> Checkpoint:
        """Parse the text that is signed; anything else is `MalformedMessage`."""
        *lines, rest = text.split("\n")
        if rest or len(lines) < 3 or not _SIZE.fullmatch(lines[1]):
            raise MalformedMessage("a checkpoint is lines of origin, size and root")
        root = Hash(note.parse_base64(lines[2]))
        return cls(origin=lines[0], size=int(lines[1]), root=root, extensions=tuple(lines[3:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint as it travels: not to be believed before `verify`.

    Attributes:
        checkpoint: what is claimed.
        signatures: at least one line; those of unknown keys and types are carried along.
    """

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        if not self.signatures:
            raise MalformedMessage("a signed checkpoint needs a signature")

    @classmethod
    def sign(cls, checkpoint: Checkpoint, key: SigningKey) -> SignedCheckpoint:
        """Sign as the log; the key's name is the origin.

        **Security:** sign only what is committed. Two checkpoints that contradict each other
        convict the log's owner for ever.
        """
        made = note.sign(checkpoint.to_note_body(), checkpoint.origin, key)
        return cls(checkpoint=checkpoint, signatures=(made,))

    def cosigned(self, name: str, key: SigningKey, *, time: int) -> SignedCheckpoint:
        """With a witness's cosignature added; see `note.cosign` for what that states."""
        made = note.cosign(self.checkpoint.to_note_body(), name, key, time=time)
        return replace(self, signatures=(*self.signatures, made))

    def verify(self, key: VerifyKey, *, name: str | None = None) -> Checkpoint:
        """The checkpoint, if the log signed it.

        Args:
            key: the log's.
            name: the log's key name, where it is not the origin.

        Raises:
            InvalidSignature: it did not. `sure` is False: whoever relayed it may have broken it.
        """
        signer = self.checkpoint.origin if name is None else name
        note.verify(self.checkpoint.to_note_body(), self.signatures, signer, key)
        return self.checkpoint

    def verify_cosignature(self, name: str, key: VerifyKey) -> int:
        """When this witness cosigned, in Unix seconds (the newest, if it did so twice).

        Raises:
            InvalidSignature: it did not.
        """
        body = self.checkpoint.to_note_body()
        return note.verify_cosignature(body, self.signatures, name, key)

    def to_bytes(self) -> bytes:
        """The signed note, UTF-8."""
        lines = "".join(signature.to_line() for signature in self.signatures)
        return self.checkpoint.to_note_body() + b"\n" + lines.encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> SignedCheckpoint:
        """Parse what `to_bytes` writes.

        Raises:
            MalformedMessage: anything else.
        """
        if len(raw) > MAX_CHECKPOINT_BYTES:
            raise MalformedMessage(f"a checkpoint is at most {MAX_CHECKPOINT_BYTES} bytes")
        return _parsed(raw)

    def to_text(self) -> str:
        """The signed note as text."""
        return self.to_bytes().decode()

    @classmethod
    def from_text(cls, text: str) -> SignedCheckpoint:
        """Parse what `to_text` writes; anything else is `MalformedMessage`."""
        try:
            return cls.from_bytes(text.encode())
        except UnicodeEncodeError as error:
            raise MalformedMessage("a checkpoint is UTF-8 text") from error


@lru_cache(maxsize=64)  # a sync compares the newest one with itself more than once
def _parsed(raw: bytes) -> SignedCheckpoint:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage("a checkpoint is UTF-8 text") from error
    body, separator, signatures = text.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise MalformedMessage("a checkpoint is a text, an empty line and signature lines")
    lines = tuple(NoteSignature.from_line(line) for line in signatures[:-1].split("\n"))
    return SignedCheckpoint(checkpoint=Checkpoint.from_note_body(body + "\n"), signatures=lines)
