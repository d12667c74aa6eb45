"""Signature lines of signed notes: `— name base64(key id ‖ signature)`.

Standards: c2sp.org/signed-note, c2sp.org/tlog-cosignature (Ed25519 of both). No I/O. What is
signed is fixed by those texts and carries no tag of ours. It cannot be taken for anything else
that our keys sign: a note has no zero byte, each of our tags ends with one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import FixedBytes, Signature
from tigertally.crypto.signatures import SigningKey, VerifyKey

_DASH = "\N{EM DASH}"
_TIME_BYTES = 8
_MAX_TIME = 2**63 - 1  # tlog-cosignature
_NO_TAG = b""


class SignatureType(IntEnum):
    """The signature type bytes that we make and check; lines of other types are carried along."""

    ED25519 = 1
    COSIGNATURE_V1 = 4


class KeyId(FixedBytes):
    """Says which key, name and type a signature line is of. Short: an index, not a proof."""

    SIZE = 4


@lru_cache(maxsize=1024)  # the same few names stand in every checkpoint
def check_key_name(name: str) -> str:
    """The name, if it may stand in a signature line.

    Raises:
        MalformedMessage: empty, or with a space, a plus or a control character.
    """
    bad = any(c.isspace() or c == "+" or not is_allowed(c) for c in name)
    if not name or bad:
        raise MalformedMessage("a key name has no spaces, no plus and is not empty")
    return name


def is_allowed(character: str) -> bool:
    """Whether it may stand in a note, apart from the line ends: no control, encodable."""
    return character >= " " and not "\ud800" <= character <= "\udfff"


def key_id(name: str, key: VerifyKey, kind: SignatureType = SignatureType.ED25519) -> KeyId:
    """The first four bytes of SHA-256(name ‖ newline ‖ type ‖ key)."""
    content = name.encode() + b"\n" + bytes([kind]) + key
    return KeyId(hashlib.sha256(content).digest()[:4])


def verifier_key(name: str, key: VerifyKey, kind: SignatureType = SignatureType.ED25519) -> str:
    """The text by which other programs are told a key (`vkey`): name, id, type and key."""
    material = base64.b64encode(bytes([kind]) + key).decode()
    return f"{check_key_name(name)}+{key_id(name, key, kind).hex()}+{material}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line, of whatever type.

    Attributes:
        name: the key's name.
        key: its id.
        signature: at least one byte; what it means depends on the type behind the id.
    """

    name: str
    key: KeyId
    signature: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if not self.signature:
            raise MalformedMessage("a signature line needs a signature")

    def to_line(self) -> str:
        """The line, with its newline."""
        return f"{_DASH} {self.name} {base64.b64encode(self.key + self.signature).decode()}\n"

    @classmethod
    def from_line(cls, line: str) -> NoteSignature:
        """Parse a line without its newline; anything else is `MalformedMessage`."""
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != _DASH:
            raise MalformedMessage("a signature line is: dash, name, base64")
        raw = parse_base64(parts[2])
        return cls(name=parts[1], key=KeyId(raw[:4]), signature=raw[4:])


def parse_base64(text: str) -> bytes:
    """Decode exactly what an encoder writes: padded, no other characters, no spare bits."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedMessage("not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise MalformedMessage("not base64 as an encoder writes it")
    return raw


def sign(text: bytes, name: str, key: SigningKey) -> NoteSignature:
    """A log's own signature over its note text."""
    made = key.sign(_NO_TAG, text)
    return NoteSignature(name=name, key=key_id(name, key.public), signature=bytes(made))


def verify(text: bytes, lines: Sequence[NoteSignature], name: str, key: VerifyKey) -> None:
    """Check that this key signed the text. Lines of other keys are ignored.

    Raises:
        InvalidSignature: no line is of this key, or one of them is wrong.
    """
    for line in _lines_of(lines, name, key, SignatureType.ED25519):
        if len(line.signature) != Signature.SIZE:
            raise InvalidSignature("a note signature has the wrong length", culprits=(name,))
        key.verify(_NO_TAG, text, Signature(line.signature), signer=name)


def cosign(text: bytes, name: str, key: SigningKey, *, time: int) -> NoteSignature:
    """A witness's timestamped signature over a checkpoint's text.

    Args:
        text: the note text.
        name: the witness's name.
        key: used under this one name only, since what is signed does not hold the name.
        time: Unix seconds.

    **Security:** it states that the checkpoint is the newest, consistent one the witness has
    seen. Cosign what `Witness.advance` has taken, nothing else.
    """
    if not 0 <= time <= _MAX_TIME:
        raise MalformedMessage("the time of a cosignature is an unsigned 63-bit number")
    made = key.sign(_NO_TAG, _cosigned(text, time))
    return NoteSignature(
        name=name,
        key=key_id(name, key.public, SignatureType.COSIGNATURE_V1),
        signature=time.to_bytes(_TIME_BYTES, "big") + made,
    )


def verify_cosignature(
    text: bytes, lines: Sequence[NoteSignature], name: str, key: VerifyKey
) -> int:
    """Check that this witness cosigned the text; its newest time, in Unix seconds.

    Raises:
        InvalidSignature: no line is of this key, or one of them is wrong.
    """
    times = []
    for line in _lines_of(lines, name, key, SignatureType.COSIGNATURE_V1):
        time = int.from_bytes(line.signature[:_TIME_BYTES], "big")
        if len(line.signature) != _TIME_BYTES + Signature.SIZE or time > _MAX_TIME:
            raise InvalidSignature("a cosignature is a time and a signature", culprits=(name,))
        signature = Signature(line.signature[_TIME_BYTES:])
        key.verify(_NO_TAG, _cosigned(text, time), signature, signer=name)
        times.append(time)
    return max(times)


def _cosigned(text: bytes, time: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % time + text


def _lines_of(
    lines: Sequence[NoteSignature], name: str, key: VerifyKey, kind: SignatureType
) -> list[NoteSignature]:
    wanted = key_id(name, key, kind)
    found = [line for line in lines if line.name == name and line.key == wanted]
    if not found:
        raise InvalidSignature(f"there is no signature by {name} with that key")
    return found
