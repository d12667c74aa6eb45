"""What an owner remembers: versions of its labels' keys, who may write, which stores it uses.

Rows of the profile's sealed store. A card that was given out is never forgotten: what its writers
wrote stays theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tigertally.crypto.signatures import VerifyKey
from tigertally.delegation.messages.labels import LabelId
from tigertally.storage.sealed import SealedStore
from tigertally.storage.table import RAW, Marks, Table, fixed, joined, number

_VERSIONS = Table("label_versions", fixed(LabelId), number(8))  # the newest
_WRITERS = Marks("label_writers", joined(fixed(LabelId), fixed(VerifyKey)))
_STORES = Marks("data_stores", RAW)  # URLs


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """One owner's rows."""

    rows: SealedStore

    def version(self, label: LabelId) -> int:
        """The newest version of a label's key; 1 where it was never replaced."""
        with self.rows.reading() as reader:
            return _VERSIONS.get(reader, label) or 1

    def raise_version(self, label: LabelId) -> int:
        """Give a label's next writes a new key, and say its version. What is there stays as it is.

        Cards that were given out before name the old version until they expire.
        """
        with self.rows.transaction() as tx:
            version = (_VERSIONS.get(tx, label) or 1) + 1
            _VERSIONS.put(tx, label, version)
        return version

    def writers(self, labels: Iterable[LabelId]) -> tuple[VerifyKey, ...]:
        """Who was given a card for one of these labels."""
        with self.rows.reading() as reader:
            return tuple(key for label in labels for _, key in _WRITERS.keys(reader, prefix=label))

    def add_writers(self, label: LabelId, writers: Iterable[VerifyKey]) -> None:
        """Remember that these may write below a label; before the card leaves."""
        with self.rows.transaction() as tx:
            for writer in writers:
                _WRITERS.put(tx, (label, writer))

    def stores(self) -> tuple[str, ...]:
        """The stores that this owner has written to."""
        with self.rows.reading() as reader:
            return tuple(url.decode() for url in _STORES.keys(reader))

    def add_store(self, url: str) -> None:
        """Remember a store, so that what is read there is asked for by its whole path."""
        with self.rows.reading() as reader:
            if _STORES.has(reader, url.encode()):
                return
        with self.rows.transaction() as tx:
            _STORES.put(tx, url.encode())
