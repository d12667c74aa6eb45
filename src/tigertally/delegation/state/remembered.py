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

_VERSIONS = "label_versions"  # label id -> newest version, 8 bytes
_WRITERS = "label_writers"  # label id ‖ key -> nothing
_STORES = "data_stores"  # URL -> nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """One owner's rows."""

    rows: SealedStore

    def version(self, label: LabelId) -> int:
        """The newest version of a label's key; 1 where it was never replaced."""
        with self.rows.reading() as reader:
            raw = reader.get(_VERSIONS, label)
        return 1 if raw is None else int.from_bytes(raw, "big")

    def raise_version(self, label: LabelId) -> int:
        """Give a label's next writes a new key, and say its version. What is there stays as it is.

        Cards that were given out before name the old version until they expire.
        """
        with self.rows.transaction() as tx:
            raw = tx.get(_VERSIONS, label)
            version = 2 if raw is None else int.from_bytes(raw, "big") + 1
            tx.put(_VERSIONS, label, version.to_bytes(8, "big"))
        return version

    def writers(self, labels: Iterable[LabelId]) -> tuple[VerifyKey, ...]:
        """Who was given a card for one of these labels."""
        with self.rows.reading() as reader:
            return tuple(
                VerifyKey(key[LabelId.SIZE :])
                for label in labels
                for key, _ in reader.scan(_WRITERS, prefix=label)
            )

    def add_writers(self, label: LabelId, writers: Iterable[VerifyKey]) -> None:
        """Remember that these may write below a label; before the card leaves."""
        with self.rows.transaction() as tx:
            for writer in writers:
                tx.put(_WRITERS, label + writer, b"")

    def stores(self) -> tuple[str, ...]:
        """The stores that this owner has written to."""
        with self.rows.reading() as reader:
            return tuple(key.decode() for key, _ in reader.scan(_STORES))

    def add_store(self, url: str) -> None:
        """Remember a store, so that what is read there is asked for by its whole path."""
        with self.rows.reading() as reader:
            if reader.get(_STORES, url.encode()) is not None:
                return
        with self.rows.transaction() as tx:
            tx.put(_STORES, url.encode(), b"")
