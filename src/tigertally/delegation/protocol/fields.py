"""Fields of documents: one value, padded, to one unit of base64, and back.

docs/protocols/delegation-files.md, "Documents". No I/O.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, UsageError
from tigertally.base.randomness import Randomness
from tigertally.crypto.signatures import SigningKey
from tigertally.delegation.messages import headers
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.headers import Header
from tigertally.delegation.messages.labels import Label
from tigertally.delegation.messages.slots import SlotSet
from tigertally.delegation.messages.units import Unit
from tigertally.delegation.protocol import reading, writing
from tigertally.delegation.protocol.places import Place, normal

Value = Any  # what JSON can say

_BEGINNING = 12  # bytes of a unit that tell it from other text
_PAD = 32  # bytes: lengths of short secrets look alike
_LENGTH = 4
MAX_UNIT_BYTES = 1024 * 1024


def seal_field(
    levels: Sequence[Level],
    path: Label,
    value: Value,
    *,
    sender: SigningKey,
    written: int,
    randomness: Randomness,
) -> str:
    """One value as a unit.

    Args:
        levels: of the root, …, the subtree that holds the field.
        path: the document's label and the field's names.
        value: text, number, truth value, null, list, or an empty mapping.
        sender: signs.
        written: Unix seconds.
        randomness: for keys.

    Raises:
        UsageError: not such a value, or too long.
    """
    draft = writing.draft(
        levels, path, written=written, flags=0, randomness=randomness, kind=headers.FIELD
    )
    sink = io.BytesIO()
    with draft.dek:
        content = io.BytesIO(padded(value))
        writing.write_object(draft, content, sink, sender=sender, randomness=randomness)
    raw = encode(Unit(data=sink.getvalue(), slots=draft.slots))
    if len(raw) > MAX_UNIT_BYTES:
        raise UsageError("a value of a document is too long: write it as a file")
    return base64.b64encode(raw).decode()


def parse_unit(text: str) -> tuple[Header, io.BytesIO, SlotSet]:
    """A unit's header, its data behind the header, and its slots.

    Raises:
        MalformedMessage: this is no unit.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise MalformedMessage("a field of the document is damaged") from error
    if base64.b64encode(raw).decode() != text:
        raise MalformedMessage("a field of the document is damaged")
    unit = decode(Unit, raw, max_bytes=MAX_UNIT_BYTES)
    data = io.BytesIO(unit.data)
    header = reading.read_header(data)
    if unit.slots.file_id != header.fixed.file_id:
        raise InvalidSignature("a field and its key slots belong to different writes")
    return header, data, unit.slots


def padded(value: Value) -> bytes:
    """u32 length ‖ JSON ‖ zeros to a multiple of 32."""
    try:
        raw = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError("a value of a document is what JSON can say") from error
    body = len(raw).to_bytes(_LENGTH, "big") + raw
    return body + bytes(-len(body) % _PAD)


def unpadded(content: bytes) -> Value:
    """The value; raises `MalformedMessage` for anything but what `padded` makes."""
    size = int.from_bytes(content[:_LENGTH], "big")
    try:
        value = json.loads(content[_LENGTH : _LENGTH + size].decode())
        if padded(value) == content:
            return value
    except (ValueError, RecursionError, UsageError) as error:
        raise MalformedMessage("a field of the document holds no value") from error
    raise MalformedMessage("a field of the document holds no value")


def leaves(value: Value, place: Place = ()) -> Iterator[tuple[Place, Value]]:
    """Every leaf of a tree and where it is: scalars, lists, and mappings without content."""
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from leaves(below, (*place, normal(name)))
    else:
        yield place, value


def is_unit(text: str) -> bool:
    """Whether a text is a unit, though perhaps a damaged one, and no plain value: by how it begins.

    That is an array of two, bytes of more than 255, and a header's length below 65,537.
    """
    try:
        raw = base64.b64decode(text[:16], validate=True)
    except (ValueError, binascii.Error):
        return False
    longer = {0x59: 4, 0x5A: 6}.get(raw[1] if len(raw) == _BEGINNING else 0, 0)
    return bool(longer) and raw[0] == 0x82 and raw[longer : longer + 2] in (b"\0\0", b"\0\1")
