"""Structurally valid messages of any kind, filled from a pool of values that mean something."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from tigertally.base.codec import decode, loads
from tigertally.base.errors import MalformedMessage

NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 255, 256, 2**31, 2**32, 2**63, 2**64 - 1])
TEXTS = st.sampled_from(["", "h1", "payroll", "a b", "\x1b[2J", "é", "x" * 501])


class Pool:
    """All byte strings, numbers and texts that occur in these messages, and whole messages."""

    def __init__(self, raws: Iterable[bytes]) -> None:
        self.bytes: set[bytes] = {b"", b"\x00" * 32}
        self.texts: set[str] = {"", "h1"}
        for raw in raws:
            self._take(raw)
        self._sorted = sorted(self.bytes, key=lambda raw: (len(raw), raw))
        self.of = cache(self._of)

    def _take(self, raw: bytes) -> None:
        try:
            self._walk(loads(raw))
        except MalformedMessage:
            return

    def _walk(self, value: Any) -> None:
        if isinstance(value, bytes):
            if value not in self.bytes:
                self.bytes.add(value)
                self._take(value)
        elif isinstance(value, str):
            self.texts.add(value)
        elif isinstance(value, list):
            for item in value:
                self._walk(item)
        elif isinstance(value, dict):
            self._walk(list(value.values()))

    def _of(self, kind: Any) -> st.SearchStrategy[Any]:
        """Plain CBOR values of a field type (encode them with `codec.dumps`)."""
        origin, args = get_origin(kind), get_args(kind)
        if is_dataclass(kind):
            hints = get_type_hints(kind)
            return st.tuples(*(self.of(hints[f.name]) for f in fields(kind))).map(list)
        if origin is tuple:
            if len(args) == 2 and args[1] is Ellipsis:
                return st.lists(self.of(args[0]), max_size=3)
            return st.tuples(*map(self.of, args)).map(list)
        if origin in (Union, types.UnionType):
            inner = next(arg for arg in args if arg is not types.NoneType)
            return st.none() | self.of(inner)
        return self._plain(kind)

    def _plain(self, kind: Any) -> st.SearchStrategy[Any]:
        if issubclass(kind, Enum):
            return st.sampled_from([one.value for one in kind])
        if kind is bool:
            return st.booleans()
        if issubclass(kind, int):
            return NUMBERS
        if issubclass(kind, str):
            return st.sampled_from(sorted(self.texts)) | TEXTS
        size = getattr(kind, "SIZE", None)
        fitting = [raw for raw in self._sorted if size is None or len(raw) == size]
        made = st.binary(max_size=40) if size is None else st.binary(min_size=size, max_size=size)
        return (st.sampled_from(fitting) | made) if fitting else made


def parses(kind: type, raw: bytes) -> bool:
    """Is this a message of this kind? Anything but `MalformedMessage` is a bug."""
    try:
        decode(kind, raw)
    except MalformedMessage:
        return False
    return True
