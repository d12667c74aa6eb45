"""Tables of values: the one place that says how keys and values stand in rows.

A table is its name, so whatever works on bare rows (counts them, seals them anew, mends them) takes
it where a store asks for a name. Every method takes the reader or the transaction first.

A row that cannot be read is damaged, not absent: who asks for it gets `Corrupt` with table and key.
Who reads many gets the others (`storage/damage.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, Protocol, Self, TypeVar

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage, UsageError
from tigertally.base.ids import FixedBytes, HolderIndex
from tigertally.base.recent import Recent
from tigertally.storage.damage import is_marked, marks, readable, set_aside
from tigertally.storage.store import Reader, Transaction

A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=FixedBytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form(Generic[A]):
    """How something stands in a row.

    Attributes:
        write: its bytes.
        read: from bytes; `MalformedMessage` if they are not of this form.
        name: what it is, for an error.
        size: how many bytes; 0 where that depends on what it is.
    """

    write: Callable[[A], bytes]
    read: Callable[[bytes], A]
    name: str
    size: int = 0


def message(kind: type[A]) -> Form[A]:
    """A message of the codec."""
    return Form(write=encode, read=lambda raw: decode(kind, raw), name=kind.__name__)


def fixed(kind: type[F]) -> Form[F]:
    """An id, a hash: bytes of one length."""
    return Form(write=bytes, read=kind, name=kind.__name__, size=kind.SIZE)


class Packed(Protocol):
    """What says its own bytes."""

    def to_bytes(self) -> bytes:
        """The bytes."""
        ...

    @classmethod
    def from_bytes(cls, raw: bytes, /) -> Self:
        """From these bytes."""
        ...


P = TypeVar("P", bound=Packed)


def packed(kind: type[P], *, size: int = 0) -> Form[P]:
    """What says its own bytes; `size` if they are always so many."""
    write, read = kind.to_bytes, kind.from_bytes
    return Form(write=write, read=read, name=kind.__name__, size=size)


def number(size: int) -> Form[int]:
    """A number of so many bytes; such keys stand in order."""

    def read(raw: bytes) -> int:
        if len(raw) != size:
            raise MalformedMessage(f"a number of {size} bytes")
        return int.from_bytes(raw, "big")

    return Form(write=lambda it: it.to_bytes(size, "big"), read=read, name="number", size=size)


RAW: Form[bytes] = Form(write=bytes, read=bytes, name="row")
HOLDER: Form[HolderIndex] = Form(
    write=lambda index: bytes([index]),
    read=lambda raw: HolderIndex(int.from_bytes(raw, "big")),
    name="HolderIndex",
    size=1,
)


def joined(first: Form[A], second: Form[B]) -> Form[tuple[A, B]]:
    """One behind the other; at most one of them may have no fixed length."""

    def read(raw: bytes) -> tuple[A, B]:
        at = first.size or max(0, len(raw) - second.size)
        return first.read(raw[:at]), second.read(raw[at:])

    return Form(
        write=lambda pair: first.write(pair[0]) + second.write(pair[1]),
        read=read,
        name=f"{first.name} and {second.name}",
        size=first.size + second.size if first.size and second.size else 0,
    )


TIME: Form[int] = number(8)


def sealed_in(names: Mapping[str, object]) -> tuple[str, ...]:
    """The sealed tables among what a module has defined, with their time indexes."""
    found = (one for one in names.values() if isinstance(one, Keyed) and one.sealed)
    return tuple(name for one in found for name in one.names())


class Keyed(str, Generic[K]):
    """What tables with values and tables without have in common.

    Attributes:
        sealed: it lies behind the barrier, and is sealed anew with it.
    """

    __slots__ = ("_key", "sealed")
    sealed: bool
    _key: Form[K]

    def names(self) -> tuple[str, ...]:
        """Its name, and the name of its time index if it has one."""
        return (str(self),)

    def place(self, key: K) -> bytes:
        """The key as it stands in the store."""
        return self._key.write(key)

    def drop(self, tx: Transaction, key: K) -> None:
        """Remove a row; nothing happens where there is none."""
        tx.delete(self, self.place(key))

    def keys(
        self,
        reader: Reader,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[K]:
        """The keys in order, also of rows that cannot be read; see `storage.damage.marks`."""
        for place in marks(reader, self, prefix=prefix, after=after, limit=limit):
            try:
                yield self._key_of(place)
            except Corrupt as damage:
                set_aside(reader, damage)

    def _key_of(self, place: bytes) -> K:
        try:
            return self._key.read(place)
        except (MalformedMessage, ValueError) as error:
            raise Corrupt.of_row(self, place, f"the key is no {self._key.name}") from error


class Marks(Keyed[K]):
    """A table whose rows say something by being there; a damaged one says so too."""

    __slots__ = ()

    def __new__(cls, name: str, keys: Form[K], *, sealed: bool = False) -> Self:
        made = super().__new__(cls, name)
        made.sealed, made._key = sealed, keys
        return made

    def put(self, tx: Transaction, key: K) -> None:
        """Set a mark."""
        tx.put(self, self.place(key), b"")

    def has(self, reader: Reader, key: K) -> bool:
        """Is it set?"""
        return is_marked(reader, self, self.place(key))


class Times(Marks[tuple[int, K]]):
    """A time index: marks of a time (Unix seconds) and a key, in the order of time."""

    __slots__ = ()

    def __new__(cls, name: str, keys: Form[K], *, sealed: bool = False) -> Self:
        return super().__new__(cls, name, joined(TIME, keys), sealed=sealed)

    def until(self, reader: Reader, time: int, *, limit: int) -> list[tuple[int, K]]:
        """What stands at `time` or before it among the first so many, oldest first."""
        # In order: the first that is later ends it, however many follow.
        return list(takewhile(lambda mark: mark[0] <= time, self.keys(reader, limit=limit)))


class Table(Keyed[K], Generic[K, V]):
    """A table with a value a row.

    Args:
        name: as the store knows it.
        keys: the form of its keys.
        value: the form of its values.
        sealed: see `Keyed`.
        ends: the name of its time index: `put` then takes the row's end, `drop_ended` removes it.
        cached: keeps values that were read lately, by the bytes of their rows.

    **Security:** never cache what holds a secret: the values stay in memory.
    """

    __slots__ = ("_cached", "_ends", "_value")
    _value: Form[V]
    _ends: Times[K] | None
    _cached: Recent[V] | None

    def __new__(
        cls,
        name: str,
        keys: Form[K],
        value: Form[V],
        *,
        sealed: bool = False,
        ends: str = "",
        cached: Recent[V] | None = None,
    ) -> Self:
        made = super().__new__(cls, name)
        made.sealed, made._key, made._value, made._cached = sealed, keys, value, cached
        made._ends = Times(ends, keys, sealed=sealed) if ends else None
        return made

    def names(self) -> tuple[str, ...]:
        """Its name, and the name of its time index if it has one."""
        return (str(self),) if self._ends is None else (str(self), str(self._ends))

    def get(self, reader: Reader, key: K) -> V | None:
        """The value, if there is a row. Raises `Corrupt` if it cannot be read."""
        place = self.place(key)
        row = reader.get(self, place)
        return None if row is None else self.parsed(place, row)

    def need(self, reader: Reader, key: K, absent: Exception) -> V:
        """The value; raises `absent` if there is no row. Raises `Corrupt` as `get`."""
        value = self.get(reader, key)
        if value is None:
            raise absent
        return value

    def has(self, reader: Reader, key: K) -> bool:
        """Is there a row? Raises `Corrupt` if it does not open."""
        return reader.get(self, self.place(key)) is not None

    def put(self, tx: Transaction, key: K, value: V, *, end: int | None = None) -> None:
        """Write a row; `end` (Unix seconds) puts it into the time index."""
        tx.put(self, self.place(key), self._value.write(value))
        if end is not None:
            self._index().put(tx, (end, key))

    def rows(
        self, reader: Reader, *, prefix: bytes = b"", after: bytes | None = None
    ) -> Iterator[tuple[K, V]]:
        """Keys and values in order; what cannot be read is noted and left out."""

        def read(place: bytes, row: bytes) -> tuple[K, V]:
            return self._key_of(place), self.parsed(place, row)

        return (both for _, both in readable(reader, self, read, prefix=prefix, after=after))

    def values(
        self, reader: Reader, *, prefix: bytes = b"", after: bytes | None = None
    ) -> Iterator[V]:
        """As `rows`, without the keys."""
        return (v for _, v in readable(reader, self, self.parsed, prefix=prefix, after=after))

    def drop_end(self, tx: Transaction, key: K, end: int) -> None:
        """Remove a row and what the time index says of it."""
        self.drop(tx, key)
        self._index().drop(tx, (end, key))

    def drop_ended(self, tx: Transaction, now: int, *, most: int) -> int:
        """Remove the rows that have ended by now, at most so many; returns how many."""
        dead = self._index().until(tx, now, limit=most)
        for end, key in dead:
            self.drop_end(tx, key, end)
        return len(dead)

    def _index(self) -> Times[K]:
        if self._ends is None:
            raise UsageError(f"the table {self} has no time index")
        return self._ends

    def parsed(self, place: bytes, row: bytes) -> V:
        """The value of a row. Raises `Corrupt`, with the place."""
        known = None if self._cached is None else self._cached.get(row)
        if known is None:
            try:
                known = self._value.read(row)
            except (MalformedMessage, ValueError) as error:
                why = f"a stored {self._value.name} cannot be read"
                raise Corrupt.of_row(self, place, why) from error
            if self._cached is not None:
                self._cached.put(row, known, len(row))
        return known


def from_time(time: int) -> bytes:
    """The place in front of everything in a time index from `time` (Unix seconds) on: `after`."""
    return TIME.write(time - 1) + b"\xff" * 32 if time > 0 else b""
