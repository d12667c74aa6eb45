"""What a store of objects can do. Objects are named by lists of names, never by a joined string.

**Security:** a store is not trusted: whoever runs it may read, lose, swap and roll back objects. It
sees names and sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

Path = Sequence[str]


class ObjectStore(Protocol):
    """A place for objects. `url` is where it is, as its owner gave it."""

    url: str

    def put(self, path: Path) -> AbstractContextManager[BinaryIO]:
        """Write an object, which appears complete, or not at all, when the block ends.

        Raises:
            UsageError: there cannot be an object of this name.
        """
        ...

    def get(self, path: Path) -> BinaryIO:
        """Open an object for reading, from anywhere in it; close it afterwards.

        Raises:
            Unavailable: it is not there.
        """
        ...

    def range(self, path: Path, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start`; fewer at the end. Raises as `get`."""
        ...

    def list(self, path: Path) -> Iterator[tuple[str, ...]]:
        """The names of all objects below, in a fixed order; none where there is nothing."""
        ...

    def delete(self, path: Path) -> None:
        """Remove an object; nothing happens where there is none."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """A block in which nobody else finishes a write, where the store can promise that.

        Raises:
            Unavailable: somebody else is at it for too long.
        """
        ...

    def batch(self) -> AbstractContextManager[None]:
        """A block whose objects may all appear at its end: cheaper, and durable only then."""
        ...

    def url_of(self, path: Path) -> str:
        """Where an object is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a URL leads: an object, or all objects below `names`.

    `store` is the outermost one in which the URL names anything, so that places can be compared.
    """

    store: ObjectStore
    names: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its URL."""
        return self.store.url_of(self.names)

    def objects(self) -> Iterator[tuple[str, ...]]:
        """The objects below, by their names from here. See `ObjectStore.list`."""
        return (names[len(self.names) :] for names in self.store.list(self.names))

    def below(self, names: Path) -> Place:
        """A place below this one."""
        return Place(store=self.store, names=(*self.names, *names))

    def above(self, count: int) -> Place:
        """The place so many names above this one; 0 is itself."""
        return Place(store=self.store, names=self.names[: len(self.names) - count])

    def is_within(self, other: Place) -> bool:
        """Whether it is the other place, or below it."""
        same = self.store.url == other.store.url
        return same and self.names[: len(other.names)] == other.names
