"""The hash tree of a log on its store: every hash is checked before anything is signed over it.

Rows are kept twice over in the sense that each hash follows from those below it and goes into the
one above it, and each leaf from its entry. So one damaged row is found, and what it was is computed
from the others. A wrong hash under a signature would convict an honest service of a fork.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from tigertally.base.errors import Corrupt
from tigertally.base.ids import Hash
from tigertally.crypto import merkle
from tigertally.storage.store import Reader, Transaction

ENTRIES = "audit"  # index (8 bytes) -> entry
NODES = "audit-nodes"  # level (1 byte), index (8 bytes) -> hash of a complete subtree, 0 of a leaf
HEAD = "audit-head"  # how many entries (8 bytes); and the roots of the complete subtrees

SIZE_KEY = b"size"
PEAKS_KEY = b"peaks"
MAX_SIZE = 2**63
_CHECK_BYTES = 8
_MOST_CHECKED = 4096  # hashes remembered as checked: of the way to the root of any log


def number(value: int) -> bytes:
    """A row key."""
    return value.to_bytes(8, "big")


def node_key(level: int, index: int) -> bytes:
    """Where the hash of a complete subtree stands."""
    return bytes([level]) + number(index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Everything that a log's next entry and its root need: the roots of the complete subtrees.

    `peaks` are one per bit of `size`, the largest first.
    """

    size: int
    peaks: tuple[bytes, ...]

    def root(self) -> Hash:
        """The root of the whole tree."""
        if not self.peaks:
            return merkle.EMPTY_ROOT
        *rest, result = self.peaks
        for peak in reversed(rest):
            result = merkle.node_hash(peak, result)
        return Hash(result)

    def with_leaf(self, leaf: Hash) -> tuple[Frontier, list[tuple[bytes, bytes]]]:
        """With one more leaf; and the rows of all subtrees that it completes."""
        peaks, index, level, found = list(self.peaks), self.size, 0, bytes(leaf)
        rows = [(node_key(0, index), found)]
        while index & 1:
            found = merkle.node_hash(peaks.pop(), found)
            level, index = level + 1, index >> 1
            rows.append((node_key(level, index), found))
        return Frontier(size=self.size + 1, peaks=(*peaks, found)), rows

    def to_bytes(self) -> bytes:
        """A row, with a checksum: nothing else says what it should be."""
        body = number(self.size) + b"".join(self.peaks)
        return body + hashlib.sha256(body).digest()[:_CHECK_BYTES]

    @classmethod
    def from_bytes(cls, raw: bytes | None) -> Frontier | None:
        """From a row; None if it is damaged or was never written."""
        if raw is None or len(raw) < 8 + _CHECK_BYTES:
            return None
        body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        size = int.from_bytes(body[:8], "big")
        whole = len(body) == 8 + size.bit_count() * Hash.SIZE
        if not whole or hashlib.sha256(body).digest()[:_CHECK_BYTES] != check:
            return None
        peaks = [body[i : i + Hash.SIZE] for i in range(8, len(body), Hash.SIZE)]
        return cls(size=size, peaks=tuple(peaks))


def peaks_of(size: int) -> list[tuple[int, int]]:
    """Level and index of each complete subtree of a tree, the largest first."""
    found, start = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def ignore_damage(_: Corrupt) -> None:
    """For who looks only: whoever writes next tells of it."""


class StoredNodes:
    """Reads hashes, and computes those whose rows are damaged."""

    def __init__(self) -> None:
        # What was checked is the value, not the row: after a rollback another may stand there.
        self._checked: dict[tuple[int, int, bytes], None] = {}

    def frontier(self, reader: Reader, note: Callable[[Corrupt], None] = ignore_damage) -> Frontier:
        """The log as it stands; from its other rows where those that say it are damaged.

        Args:
            note: told which of them are.
        """
        agreed = self.said(reader)
        if agreed is not None:
            return agreed
        found = self._found(reader)
        for key, right in ((SIZE_KEY, number(found.size)), (PEAKS_KEY, found.to_bytes())):
            stored = reader.get(HEAD, key)
            # A log from before this row was kept has none; nor has one without entries.
            if stored != right and not (stored is None and (key == PEAKS_KEY or not found.size)):
                why = f"row {key.hex()} of table {HEAD!r} is damaged"
                note(Corrupt(why, table=HEAD, key=key))
        return found

    def _found(self, reader: Reader) -> Frontier:
        said = reader.get(HEAD, SIZE_KEY)
        known = Frontier.from_bytes(reader.get(HEAD, PEAKS_KEY))
        size = self._size(reader, said, known)
        if known is not None and known.size == size:
            return known
        peaks = tuple(self.node(reader, level, index) for level, index in peaks_of(size))
        return Frontier(size=size, peaks=peaks)

    def said(self, reader: Reader) -> Frontier | None:
        """What the two rows say that should say it; None where they differ or are damaged."""
        known = Frontier.from_bytes(reader.get(HEAD, PEAKS_KEY))
        agreed = known is not None and reader.get(HEAD, SIZE_KEY) == number(known.size)
        return known if agreed else None

    def mend(self, tx: Transaction, index: int) -> list[tuple[str, bytes]]:
        """Write right the hashes of all complete subtrees that end with this leaf.

        Returns:
            The rows that were wrong.
        """
        level, wrong = 0, []
        while True:
            key, right = node_key(level, index), self.node(tx, level, index)
            stored = tx.get(NODES, key)
            new = stored is None and level == 0  # of an entry from before leaves had rows
            if stored != right and (not new or self.fits_above(tx, 0, index, right)):
                tx.put(NODES, key, right)
                wrong += [] if new else [(NODES, key)]
            if not index & 1:
                return wrong
            level, index = level + 1, index >> 1

    def _size(self, reader: Reader, said: bytes | None, known: Frontier | None) -> int:
        """Where the entries end. Two rows say it; where they differ, the entries decide."""
        claims = [] if known is None else [known.size]
        claims += [0] if said is None else [int.from_bytes(said, "big")] if len(said) == 8 else []
        for size in claims:
            if size < MAX_SIZE and self._ends_at(reader, size):
                return size
        low, high = 0, 1
        while self._is_there(reader, high - 1):
            low, high = high, 2 * high
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if self._is_there(reader, middle - 1) else (low, middle)
        return low

    def _ends_at(self, reader: Reader, size: int) -> bool:
        before = size == 0 or self._is_there(reader, size - 1)
        return before and not self._is_there(reader, size)

    def _is_there(self, reader: Reader, index: int) -> bool:
        return any(
            reader.get(table, key) is not None
            for table, key in ((ENTRIES, number(index)), (NODES, node_key(0, index)))
        )

    def node(self, reader: Reader, level: int, index: int) -> bytes:
        """The hash of a complete subtree.

        Raises:
            Corrupt: it can neither be read nor computed.
        """
        stored = self._stored(reader, level, index)
        if stored is not None and (level, index, stored) in self._checked:
            return stored
        found = self._leaf(reader, index, stored) if level == 0 else None
        if found is None:
            found = self._inner(reader, level, index, stored)
        self._checked[level, index, found] = None
        while len(self._checked) > _MOST_CHECKED:
            del self._checked[next(iter(self._checked))]
        return found

    def is_leaf(self, reader: Reader, index: int, leaf: bytes) -> bool:
        """Is this the hash of that entry, for all that can be said?"""
        return leaf in (self._stored(reader, 0, index), self.node(reader, 0, index))

    def _stored(self, reader: Reader, level: int, index: int) -> bytes | None:
        found = reader.get(NODES, node_key(level, index))
        return found if found is not None and len(found) == Hash.SIZE else None

    def _below(self, reader: Reader, level: int, index: int) -> bytes | None:
        """What the rows right below say; None where one is missing."""
        if level == 0:
            entry = reader.get(ENTRIES, number(index))
            return None if entry is None else merkle.leaf_hash(entry)
        halves = []
        for child in (2 * index, 2 * index + 1):
            stored = self._stored(reader, level - 1, child)
            if stored is None and level == 1:  # entries of before have no row for their leaf
                stored = self._below(reader, 0, child)
            halves.append(stored)
        left, right = halves
        return None if left is None or right is None else merkle.node_hash(left, right)

    def _leaf(self, reader: Reader, index: int, stored: bytes | None) -> bytes:
        computed = self._below(reader, 0, index)
        if stored is None and computed is not None:  # from before leaves had rows
            return self._old_leaf(reader, index, computed)
        for one, other in ((stored, computed), (computed, stored)):
            if one is not None and (other in (None, one) or self.fits_above(reader, 0, index, one)):
                return one
        if stored is not None:
            return stored  # an entry is longer than its hash: more of it can be damaged
        raise Corrupt(f"the audit log has lost entry {index}", table=ENTRIES, key=number(index))

    def _old_leaf(self, reader: Reader, index: int, computed: bytes) -> bytes:
        """The hash of an entry, unless one of the pair was another when they were hashed."""
        if self.fits_above(reader, 0, index, computed) is False:
            parent = self._stored(reader, 1, index >> 1)
            if parent is not None and self.fits_above(reader, 1, index >> 1, parent):
                why = f"entry {index} of the audit log is damaged, or the one beside it"
                raise Corrupt(why, table=ENTRIES, key=number(index))
        return computed

    def _inner(self, reader: Reader, level: int, index: int, stored: bytes | None) -> bytes:
        if stored is not None:
            if self._below(reader, level, index) == stored:
                return stored
            if self.fits_above(reader, level, index, stored):
                return stored
        return merkle.node_hash(
            self.node(reader, level - 1, 2 * index), self.node(reader, level - 1, 2 * index + 1)
        )

    def fits_above(self, reader: Reader, level: int, index: int, found: bytes) -> bool | None:
        """Is this what the row above was made from, or what the row of peaks says?

        None where neither says anything.
        """
        above, beside = (level + 1, index >> 1), index ^ 1
        parent, sibling = self._stored(reader, *above), self._stored(reader, level, beside)
        if sibling is None and level == 0:
            sibling = self._below(reader, 0, beside)
        if parent is not None and sibling is not None:
            pair = (sibling, found) if index & 1 else (found, sibling)
            return merkle.node_hash(*pair) == parent
        known = Frontier.from_bytes(reader.get(HEAD, PEAKS_KEY))
        if known is None or (level, index) not in peaks_of(known.size):
            return None
        return known.peaks[peaks_of(known.size).index((level, index))] == found
