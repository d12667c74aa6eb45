"""The audit log on a store: appended inside the transaction of what it tells about.

Plain rows, outside any seal, since a locked service must log too. The hashes of complete subtrees
are rows as well (`audit/nodes.py`): nothing is kept in memory, so a transaction that rolls back
takes its entry with it, a restart reads nothing, and two processes may share a log. A proof reads
O(log n) rows. A damaged row costs what it says and nothing else: what follows from other rows is
computed from them, and only an entry itself cannot be.

**Security:** a log proves tampering, it does not prevent it: what its rows say is believed only
against checkpoints that somebody else has kept (`audit/witness.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tigertally.audit.checkpoint import Checkpoint, SignedCheckpoint
from tigertally.audit.entry import AuditEntry
from tigertally.audit.nodes import (
    ENTRIES,
    HEAD,
    NODES,
    PEAKS_KEY,
    SIZE_KEY,
    StoredNodes,
    ignore_damage,
    node_key,
    number,
)
from tigertally.audit.note import check_key_name
from tigertally.base.errors import Corrupt, MalformedMessage, UsageError
from tigertally.base.ids import Hash, Name, Text
from tigertally.crypto import merkle
from tigertally.crypto.signatures import SigningKey
from tigertally.storage.store import Reader, Transaction, check_limit

_PAGE = 500  # entries held in memory at once


class AuditLog:
    """One service's log.

    Args:
        origin: names the log for ever; a key name (no spaces, no plus), best like a URL without
            its scheme.
        key: the service's identity; signs checkpoints.
    """

    def __init__(self, origin: str, key: SigningKey) -> None:
        self.origin = check_key_name(origin)
        self._key = key
        self._nodes = StoredNodes()

    def append(
        self,
        tx: Transaction,
        *,
        time: int,
        kind: str,
        actor: str,
        summary: str,
        detail: bytes = b"",
        note: Callable[[Corrupt], None] = ignore_damage,
    ) -> AuditEntry:
        """Add an entry inside the caller's open transaction: both commit, or neither does.

        Args:
            tx: the open transaction, not its sealed view.
            time: Unix seconds.
            kind, actor, summary, detail: see `AuditEntry`.
            note: told of the rows that say how long the log is where they are damaged. They follow
                from the others, and are written anew with the entry.

        Raises:
            MalformedMessage: a field is not of its kind.
            Corrupt: there is an entry behind the last one.
        """
        frontier = self._nodes.frontier(tx, note)
        entry = AuditEntry(
            index=frontier.size,
            time=time,
            kind=Name(kind),
            actor=Text(actor),
            summary=Text(summary),
            detail=detail,
        )
        if tx.get(ENTRIES, number(entry.index)) is not None:
            raise Corrupt("the audit log has an entry behind its end")
        raw = entry.to_bytes()
        tx.put(ENTRIES, number(entry.index), raw)
        grown, completed = frontier.with_leaf(merkle.leaf_hash(raw))
        for key, found in completed:
            tx.put(NODES, key, found)
        tx.put(HEAD, SIZE_KEY, number(grown.size))
        tx.put(HEAD, PEAKS_KEY, grown.to_bytes())
        return entry

    def is_said(self, reader: Reader) -> bool:
        """Do both rows that say how long the log is, and agree?"""
        return self._nodes.said(reader) is not None

    def size(self, reader: Reader) -> int:
        """How many entries there are."""
        return self._nodes.frontier(reader).size

    def root(self, reader: Reader, size: int | None = None) -> Hash:
        """The tree's root now, or when there were `size` entries."""
        frontier = self._nodes.frontier(reader)
        if size is None or size == frontier.size:
            return frontier.root()
        return merkle.root_of(_known(frontier.size, size), self._reading(reader))

    def checkpoint(self, reader: Reader) -> SignedCheckpoint:
        """Sign the log's present state.

        **Security:** inside a transaction that has appended, give it out only after the commit:
        a checkpoint of entries that were rolled back convicts this service of a fork.
        """
        frontier = self._nodes.frontier(reader)
        present = Checkpoint(origin=self.origin, size=frontier.size, root=frontier.root())
        return SignedCheckpoint.sign(present, self._key)

    def entries(
        self, reader: Reader, since: int = 0, limit: int | None = None
    ) -> Iterator[AuditEntry]:
        """The entries from number `since` on, at most `limit`, in order.

        Raises:
            UsageError: a negative number.
            Corrupt: one is missing or damaged.
        """
        check_limit(limit)
        if since < 0:
            raise UsageError("entries are numbered from 0")
        end = self.size(reader)
        if limit is not None:
            end = min(end, since + limit)
        while since < end:
            count = min(_PAGE, end - since)
            after = number(since - 1) if since else None
            page = dict(reader.scan(ENTRIES, after=after, limit=count))
            after = node_key(0, since - 1) if since else None
            leaves = dict(reader.scan(NODES, prefix=b"\x00", after=after, limit=count))
            for index in range(since, since + count):
                yield self._entry(reader, index, page.get(number(index)), leaves)
            since += count

    def _entry(
        self, reader: Reader, index: int, raw: bytes | None, leaves: Mapping[bytes, bytes]
    ) -> AuditEntry:
        """One entry, if it is what was appended."""
        key = number(index)
        if raw is None:
            raise Corrupt(f"the audit log has lost entry {index}", table=ENTRIES, key=key)
        leaf = merkle.leaf_hash(raw)
        # Its own hash is quick to compare. Where that differs, or is not there since the entry is
        # from before, the hashes above decide.
        if leaves.get(node_key(0, index)) != leaf and not self._nodes.is_leaf(reader, index, leaf):
            raise Corrupt(f"entry {index} of the audit log is damaged", table=ENTRIES, key=key)
        try:
            entry = AuditEntry.from_bytes(raw)
        except MalformedMessage as error:
            why = f"entry {index} of the audit log is damaged"
            raise Corrupt(why, table=ENTRIES, key=key) from error
        if entry.index != index:
            why = f"entry {index} of the audit log was moved"
            raise Corrupt(why, table=ENTRIES, key=key)
        return entry

    def inclusion_proof(
        self, reader: Reader, index: int, size: int | None = None
    ) -> tuple[Hash, ...]:
        """Shows that entry `index` is in the log of `size` entries (default: the present one)."""
        known = _known(self.size(reader), size)
        return merkle.inclusion_path(index, known, self._reading(reader))

    def consistency_proof(
        self, reader: Reader, old: int, new: int | None = None
    ) -> tuple[Hash, ...]:
        """Shows that the log of `old` entries begins that of `new` (default: the present one)."""
        known = _known(self.size(reader), new)
        return merkle.consistency_path(old, known, self._reading(reader))

    def check(self, reader: Reader) -> Hash:
        """Compute everything anew from the entries; the root.

        Raises:
            Corrupt: an entry or a hash is missing, damaged or does not fit the others.
        """
        tree = merkle.Tree()
        for entry in self.entries(reader):
            tree.append(entry.leaf)
        size, unfit = tree.size, Corrupt("the audit log's hashes do not fit its entries")
        if self._nodes.frontier(reader) != self._nodes.said(reader):
            raise Corrupt("the audit log does not know its size")
        for level in range(size.bit_length()):
            for index in range(size >> level):
                stored = reader.get(NODES, node_key(level, index))
                if stored != tree.node(level, index) and (level or stored is not None):
                    raise unfit
        if self.root(reader) != tree.root():
            raise unfit
        return tree.root()

    def mend(self, tx: Transaction, since: int, count: int) -> Mended:
        """Check some entries and all hashes that end with them, and write right what is wrong.

        Args:
            tx: an open transaction.
            since, count: which entries.

        Returns:
            The rows that were mended, and those that nothing can mend.
        """
        mended, lost = [], []
        frontier = self._nodes.frontier(tx)
        for key, right in ((SIZE_KEY, number(frontier.size)), (PEAKS_KEY, frontier.to_bytes())):
            if tx.get(HEAD, key) != right:
                tx.put(HEAD, key, right)
                mended.append((HEAD, key))
        for index in range(since, min(since + count, frontier.size)):
            try:
                mended += self._nodes.mend(tx, index)
                self._entry(tx, index, tx.get(ENTRIES, number(index)), {})
            except Corrupt as damage:
                lost.append(damage)
        return Mended(rows=tuple(mended), lost=tuple(lost))

    def _reading(self, reader: Reader) -> merkle.NodeReader:
        return lambda level, index: self._nodes.node(reader, level, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What a look at the log has written right (table, key), and what it could not."""

    rows: tuple[tuple[str, bytes], ...]
    lost: tuple[Corrupt, ...]


def _known(present: int, size: int | None) -> int:
    if size is None:
        return present
    if not 0 <= size <= present:
        raise UsageError(f"the log has {present} entries, not {size}")
    return size
