"""What was computed lately, so that the next look at it costs nothing; bounded by number and bytes.

`functools.lru_cache` bounds the number only: whoever sends long messages would fill the memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key, the one used longest ago dropped first. Any thread may use it.

    Args:
        entries: at most so many.
        size: at most so many bytes, as their makers count them.
    """

    def __init__(self, *, entries: int, size: int) -> None:
        self._entries = entries
        self._size = size
        self._used = 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        """The value, if it is still there."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value of so many bytes; one that is too large for all of them is not kept."""
        if size > self._size:
            return
        with self._lock:
            _, before = self._values.pop(key, (None, 0))
            self._values[key] = (value, size)
            self._used += size - before
            while self._used > self._size or len(self._values) > self._entries:
                _, (_, dropped) = self._values.popitem(last=False)
                self._used -= dropped

    def __len__(self) -> int:
        return len(self._values)
