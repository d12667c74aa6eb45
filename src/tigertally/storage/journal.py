"""Journals: what is under way, one row each, and how far it has come.

Each state is stored before the next step begins, so whoever was stopped anywhere reads where to go
on. That is what the crash tests stop at: every `move` of every journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from tigertally.base.errors import UsageError
from tigertally.storage.store import Reader, Transaction
from tigertally.storage.table import Table

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S", bound=Enum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal(Generic[K, V, S]):
    """What is under way in one table.

    Normal use: `begin`, then `move` after each step; `under_way` after a restart.

    Attributes:
        table: one row for each.
        follows: by state, which may follow. Whatever is not in it is the end: the row goes.
        state: how far a value of the table is.
        moved: the same value in another state.
        what: what is under way, for an error.
    """

    table: Table[K, V]
    follows: Mapping[S, frozenset[S]]
    state: Callable[[V], S]
    moved: Callable[[V, S], V]
    what: str

    def under_way(self, reader: Reader, key: K) -> V | None:
        """What is under way, if anything is."""
        return self.table.get(reader, key)

    def begin(self, tx: Transaction, key: K, value: V) -> None:
        """Store a first state. Raises `UsageError` if something is under way or this is an end."""
        if self.under_way(tx, key) is not None:
            raise UsageError(f"{self.what} is under way: go on with it, or drop it")
        if self.state(value) not in self.follows:
            raise UsageError(f"{self.what} cannot begin as {self.state(value).value}")
        self.table.put(tx, key, value)

    def move(self, tx: Transaction, key: K, target: S) -> bool:
        """Store that it has come this far; says whether it goes on.

        Raises:
            UsageError: nothing is under way, or this does not follow from where it is. Nothing
                has changed.
        """
        known = self.under_way(tx, key)
        if known is None or target not in self.follows[self.state(known)]:
            where = "there is none" if known is None else f"it is {self.state(known).value}"
            raise UsageError(f"{self.what} cannot become {target.value} now: {where}")
        if target in self.follows:
            self.table.put(tx, key, self.moved(known, target))
            return True
        self.table.drop(tx, key)
        return False
