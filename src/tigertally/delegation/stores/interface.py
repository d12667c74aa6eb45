"""What a store of objects can do. Objects are named by lists of names, never by a joined string.

**Security:** a store is not trusted: whoever runs it may read, lose, swap and roll back objects. It
sees names and sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
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
