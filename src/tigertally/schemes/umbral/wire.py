"""MessagePack arrays of byte strings and booleans of fixed sizes: one form, byte for byte.

Format: the MessagePack specification (array, bin 8, boolean). No I/O. A reader of MessagePack
would take longer encodings of the same values and bytes behind them; a `Layout` takes exactly what
it writes, so that equal values have equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tigertally.base.errors import MalformedMessage

BOOLEAN = 0  # in a shape, in the place of a size
_FALSE, _TRUE = b"\xc2", b"\xc3"


class Layout:
    """Writes and reads one message.

    Args:
        name: what the message is, for the error.
        shape: a number for a byte string of this size, `BOOLEAN`, or a nested shape.
    """

    __slots__ = ("_kinds", "_name", "_pattern", "_template")

    def __init__(self, name: str, shape: Sequence[Any]) -> None:
        self._name = name
        kinds: list[int] = []
        parts = _parts(shape, kinds)
        self._kinds = tuple(kinds)
        self._template = b"".join(b"%b" if part is None else part for part in parts)
        sizes = iter(kinds)
        self._pattern = re.compile(
            b"".join(_group(next(sizes)) if part is None else re.escape(part) for part in parts),
            re.DOTALL,
        )

    def pack(self, *values: bytes | bool) -> bytes:
        """The message with these values in the order of the shape."""
        return self._template % tuple(
            value if isinstance(value, bytes) else _TRUE if value else _FALSE for value in values
        )

    def unpack(self, raw: bytes) -> tuple[Any, ...]:
        """The values of a message.

        Raises:
            MalformedMessage: anything but what `pack` writes.
        """
        found = self._pattern.fullmatch(raw)
        if found is None:
            raise MalformedMessage(f"not a {self._name}: another length or form")
        return tuple(
            value if kind else value == _TRUE
            for kind, value in zip(self._kinds, found.groups(), strict=True)
        )


def _parts(shape: Sequence[Any], kinds: list[int]) -> list[bytes | None]:
    """The constant bytes, and None where a value stands; the values' kinds go to `kinds`."""
    parts: list[bytes | None] = [bytes([0x90 | len(shape)])]
    for item in shape:
        if isinstance(item, int):
            kinds.append(item)
            parts += [b"\xc4" + bytes([item]), None] if item else [None]
        else:
            parts += _parts(item, kinds)
    return parts


def _group(kind: int) -> bytes:
    return b"(.{%d})" % kind if kind else b"([" + _FALSE + _TRUE + b"])"
