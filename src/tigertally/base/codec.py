"""Deterministic CBOR for frozen dataclasses: one definition, the encoder is derived from it.

A message is a CBOR array of its fields in order (RFC 8949 section 4.2.1, core deterministic
encoding). Bytes that are not exactly what we would have written are `MalformedMessage`: so a hash
or signature over received bytes speaks of one value only.

Field types: `bool`, `int` (0 … 2⁶⁴ − 1), `bytes`, `str`, subclasses of the last three that check
themselves when built, enums with text values, nested dataclasses, `tuple[X, ...]`,
`tuple[X, Y]`, `X | None`, and `Wire`, a plain CBOR value.

Items are counted before any is built: an empty map has one byte on the wire and 64 in memory. How
many a message has at most follows from its type; one of variable length may say it by a class
variable `MOST_ITEMS`, and a caller may allow fewer.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import cbor2

from tigertally.base.errors import MalformedMessage
from tigertally.base.limits import (
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_DEPTH,
    MAX_MESSAGE_ITEMS,
    UNCOUNTED_ITEMS,
)

T = TypeVar("T")

# A plain CBOR value: what is left once tags, floats and indefinite lengths are refused.
Wire = Any

_MAX_INT = 2**64 - 1
_KNOWN_TAGS = (*range(0, 6), *range(25, 38), 43000, 258, 260, 261, 1004, 100, 256, 55799)


def _refuse_tag(*_: object) -> object:
    raise MalformedMessage("CBOR tags are not part of any message")


_REFUSE_TAGS = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)


def dumps(value: Wire) -> bytes:
    """Encode a plain value (numbers, text, bytes, lists, maps with text keys, None)."""
    return cbor2.dumps(value, canonical=True)


def loads(
    raw: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES, max_items: int = MAX_MESSAGE_ITEMS
) -> Wire:
    """Decode a plain value; only the bytes `dumps` would have made are accepted.

    Raises:
        MalformedMessage: too long, too many items, not CBOR, not deterministic, or left-over bytes.
    """
    if len(raw) > max_bytes:
        raise MalformedMessage(f"message of {len(raw)} bytes, at most {max_bytes} are allowed")
    most = max(max_items, UNCOUNTED_ITEMS)
    # Every item has a byte at least, so a short message cannot have too many.
    value = _built(raw) if len(raw) <= most or _counted(raw, most) else _BAD
    if value is _BAD:  # raised here, so that the error holds nothing of what was refused
        raise MalformedMessage("not deterministic CBOR")
    return value


def check_items(raw: bytes, most: int) -> None:
    """Refuse bytes with more items than this, before anything is built of them.

    Raises:
        MalformedMessage: they have more, or are not one whole item.
    """
    if not _counted(raw, most):
        raise MalformedMessage("not deterministic CBOR")


_BAD = object()


def _counted(raw: bytes, most: int) -> bool:
    """Walk over the heads of all items; is it one whole item?

    What an array or map claims to have counts at once, so the walk is never longer than `most`.

    Raises:
        MalformedMessage: more than `most` items.
    """
    left, total, at, end = 1, 1, 0, len(raw)
    while left:
        if at >= end:
            return False
        head = raw[at]
        kind, value = head >> 5, head & 31
        at += 1
        if value >= 24:
            if value > 27:  # reserved, or of indefinite length
                return False
            width = 1 << (value - 24)
            value = int.from_bytes(raw[at : at + width], "big")
            at += width
        left -= 1
        if kind in (2, 3):  # a string: what is in it is no item
            at += value
        elif kind in (4, 5):
            inside = value if kind == 4 else 2 * value
            left, total = left + inside, total + inside
            if total > most:
                raise MalformedMessage(f"a message of this kind has at most {most} items")
        elif kind == 6:
            return False
    return at == end


def _built(raw: bytes) -> Wire:
    """The value, or `_BAD`."""
    try:
        value = cbor2.loads(
            raw,
            tag_hook=_refuse_tag,
            semantic_decoders=_REFUSE_TAGS,
            max_depth=MAX_MESSAGE_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        plain = _plain(value)
        canonical = cbor2.dumps(value, canonical=True) if plain else b""
    except (
        MalformedMessage,
        cbor2.CBORError,
        ValueError,
        TypeError,
        RecursionError,
        OverflowError,
    ):
        return _BAD
    return value if plain and canonical == raw else _BAD


def _plain(value: Wire) -> bool:
    kind = type(value)
    if kind in (bytes, str, bool) or value is None:
        return True
    if kind is int:
        return -_MAX_INT <= int(value) <= _MAX_INT
    if kind is list:
        return all(_plain(item) for item in value)
    if kind is dict:
        return all(type(key) is str and _plain(item) for key, item in value.items())
    return False


def encode(message: object) -> bytes:
    """The bytes of a message (a dataclass built from the field types above)."""
    return cbor2.dumps(to_wire(message), canonical=True)


def decode(
    kind: type[T],
    raw: bytes,
    *,
    max_bytes: int = MAX_MESSAGE_BYTES,
    max_items: int | None = None,
) -> T:
    """Parse exactly one message of this kind.

    Args:
        max_items: at most so many, if the kind itself allows more.

    Raises:
        MalformedMessage: anything but the bytes that `encode` writes for some such message.
    """
    most = most_items(cast(Any, kind))
    most = most if max_items is None else min(max_items, most)
    return from_wire(kind, loads(raw, max_bytes=max_bytes, max_items=most))


@cache
def most_items(kind: Any) -> int:
    """The most items that a message of this kind has, itself included."""
    return getattr(kind, "MOST_ITEMS", None) or min(MAX_MESSAGE_ITEMS, _most_items(kind, ()))


def _most_items(kind: Any, above: tuple[Any, ...]) -> int:
    own: int | None = getattr(kind, "MOST_ITEMS", None)
    if own is not None:
        return own
    origin, args = get_origin(kind), get_args(kind)
    # Of variable length, anything at all, or a message that may hold one of its own kind.
    if (origin is tuple and args[1:] == (Ellipsis,)) or kind is Any or kind in above:
        return MAX_MESSAGE_ITEMS
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        inner = tuple(hints[field.name] for field in fields(kind))
        return 1 + sum(_most_items(one, (*above, kind)) for one in inner)
    if origin in (Union, types.UnionType):
        return max(_most_items(one, above) for one in args)
    return 1 + sum(_most_items(one, above) for one in (args if origin is tuple else ()))


def to_wire(value: object) -> Wire:
    """A message as a plain value."""
    kind: Any = type(value)
    writer: Callable[[Any], Wire] = _writer(kind)
    return writer(value)


@cache
def _writer(kind: Any) -> Callable[[Any], Wire]:
    """How values of exactly this type are written."""
    if is_dataclass(kind):
        names = tuple(field.name for field in fields(kind))
        return lambda value: [to_wire(getattr(value, name)) for name in names]
    if kind in (bytes, bool, int, str, types.NoneType):
        return lambda value: value
    if issubclass(kind, Enum):
        return lambda value: value.value
    for plain in (bytes, int, str):
        if issubclass(kind, plain):
            return plain
    if issubclass(kind, tuple | list):
        return lambda value: [to_wire(item) for item in value]
    if issubclass(kind, dict):
        return lambda value: {str(key): to_wire(item) for key, item in value.items()}
    raise TypeError(f"{kind.__name__} cannot travel")


def from_wire(kind: type[T], value: Wire) -> T:
    """A plain value as a message of this kind; raises `MalformedMessage`."""
    any_kind: Any = kind
    reader: Callable[[Wire], T] = _reader(any_kind)
    return reader(value)


@cache
def _reader(kind: Any) -> Callable[[Wire], Any]:
    if is_dataclass(kind):
        return _dataclass_reader(kind)
    origin = get_origin(kind)
    if origin is tuple:
        return _tuple_reader(get_args(kind))
    if origin in (Union, types.UnionType):
        return _optional_reader(get_args(kind))
    if kind is Any:
        return lambda value: value
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_reader(kind)
    for plain in (bool, bytes, str, int):
        if isinstance(kind, type) and issubclass(kind, plain):
            return _plain_reader(kind, plain)
    raise TypeError(f"{kind} is not a field type of a message")


def _plain_reader(kind: type, plain: type) -> Callable[[Wire], Any]:
    def read(value: Wire) -> Any:
        if type(value) is not plain or (type(value) is int and not 0 <= value <= _MAX_INT):
            raise MalformedMessage(f"expected {kind.__name__}")
        return value if kind is plain else kind(value)

    return read


def _enum_reader(kind: type[Enum]) -> Callable[[Wire], Any]:
    def read(value: Wire) -> Any:
        if type(value) is not str:
            raise MalformedMessage(f"expected {kind.__name__}")
        try:
            return kind(value)
        except ValueError as error:
            raise MalformedMessage(f"no such {kind.__name__}") from error

    return read


def _optional_reader(args: tuple[Any, ...]) -> Callable[[Wire], Any]:
    inner = [arg for arg in args if arg is not types.NoneType]
    if len(inner) != 1 or len(args) != 2:
        raise TypeError("only X | None can travel")
    read_inner = _reader(inner[0])
    return lambda value: None if value is None else read_inner(value)


def _tuple_reader(args: tuple[Any, ...]) -> Callable[[Wire], Any]:
    if len(args) == 2 and args[1] is Ellipsis:
        read_item = _reader(args[0])

        def read_many(value: Wire) -> Any:
            if type(value) is not list:
                raise MalformedMessage("expected a list")
            return tuple(read_item(item) for item in value)

        return read_many
    readers = [_reader(arg) for arg in args]

    def read_exactly(value: Wire) -> Any:
        if type(value) is not list or len(value) != len(readers):
            raise MalformedMessage(f"expected a list of {len(readers)}")
        return tuple(read(item) for read, item in zip(readers, value, strict=True))

    return read_exactly


def _dataclass_reader(kind: Any) -> Callable[[Wire], Any]:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    readers: list[Callable[[Wire], Any]] = []

    def read(value: Wire) -> Any:
        if not readers:  # filled late, so that a message may refer to itself
            readers.extend(_reader(hints[name]) for name in names)
        if type(value) is not list or len(value) != len(names):
            raise MalformedMessage(f"{kind.__name__} has {len(names)} fields")
        parts = {n: r(item) for n, r, item in zip(names, readers, value, strict=True)}
        return kind(**parts)

    return read
