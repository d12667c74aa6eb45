"""What waits for the writer thread: a few of each at a time, and holders first.

Who stands low may fill its own queue and nobody else's: what a holder asks is in the next
transaction, whatever requesters and strangers have asked before. Within a standing one key comes
after the other, and what one key asks stays in order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

from tigertally.transport.door import Standing

T = TypeVar("T")

# Of one transaction: a holder that has just missed one waits for these.
_MOST: Final = {Standing.HOLDER: 64, Standing.REQUESTER: 16, Standing.STRANGER: 4}


class _Lane(Generic[T]):
    """The keys of one standing, each with what it waits for."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, deque[T]] = OrderedDict()

    def put(self, key: bytes, item: T) -> None:
        self._waiting.setdefault(key, deque()).append(item)

    def take(self) -> T | None:
        """What the next key has waited for longest."""
        if not self._waiting:
            return None
        key, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[key] = items
        return item


class Queue(Generic[T]):
    """What waits, by who asks for it."""

    def __init__(self) -> None:
        self._lanes: dict[Standing, _Lane[T]] = {standing: _Lane() for standing in _MOST}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, item: T, *, standing: Standing, key: bytes) -> None:
        """Let this wait for its turn."""
        self._lanes[standing].put(key, item)
        self._count += 1

    def take(self) -> list[T]:
        """What the next transaction does, in this order."""
        taken: list[T] = []
        for standing, most in _MOST.items():
            for _ in range(most):
                item = self._lanes[standing].take()
                if item is None:
                    break
                taken.append(item)
        self._count -= len(taken)
        return taken
