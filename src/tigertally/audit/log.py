"""The audit log on a store: appended inside the transaction of what it tells about.

Plain rows, outside any seal, since a locked service must log too. The hashes of complete subtrees
are rows as well: nothing is kept in memory, so a transaction that rolls back takes its entry with
it, a restart reads nothing, and two processes may share a log. A proof reads O(log n) rows.

**Security:** a log proves tampering, it does not prevent it: what its rows say is believed only
against checkpoints that somebody else has kept (`audit/witness.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from tigertally.audit.checkpoint import Checkpoint, SignedCheckpoint
from tigertally.audit.entry import AuditEntry
from tigertally.audit.note import check_key_name
from tigertally.base.errors import Corrupt, MalformedMessage, UsageError
from tigertally.base.ids import Hash, Name, Text
from tigertally.crypto import merkle
from tigertally.crypto.signatures import SigningKey
from tigertally.storage.store import Reader, Transaction, check_limit

ENTRIES = "audit"  # index (8 bytes) -> entry
NODES = "audit-nodes"  # level (1 byte, from 1), index (8 bytes) -> hash of a complete subtree
HEAD = "audit-head"  # one row: how many entries (8 bytes)

_SIZE_KEY = b"size"
_MAX_SIZE = 2**63
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

    def append(
        self,
        tx: Transaction,
        *,
        time: int,
        kind: str,
        actor: str,
        summary: str,
        detail: bytes = b"",
    ) -> AuditEntry:
        """Add an entry inside the caller's open transaction: both commit, or neither does.

        Args:
            tx: the open transaction, not its sealed view.
            time: Unix seconds.
            kind, actor, summary, detail: see `AuditEntry`.

        Raises:
            MalformedMessage: a field is not of its kind.
            Corrupt: the log's rows contradict each other.
        """
        index = self.size(tx)
        entry = AuditEntry(
            index=index,
            time=time,
            kind=Name(kind),
            actor=Text(actor),
            summary=Text(summary),
            detail=detail,
        )
        if tx.get(ENTRIES, _number(index)) is not None:
            raise Corrupt("the audit log has an entry behind its end")
        raw = entry.to_bytes()
        tx.put(ENTRIES, _number(index), raw)
        found, level = merkle.leaf_hash(raw), 0
        while index & 1:
            found = merkle.node_hash(_node(tx, level, index - 1), found)
            level, index = level + 1, index >> 1
            tx.put(NODES, bytes([level]) + _number(index), found)
        tx.put(HEAD, _SIZE_KEY, _number(entry.index + 1))
        return entry

    def size(self, reader: Reader) -> int:
        """How many entries there are."""
        raw = reader.get(HEAD, _SIZE_KEY)
        if raw is None:
            return 0
        size = int.from_bytes(raw, "big")
        if len(raw) != 8 or size > _MAX_SIZE:
            raise Corrupt("the audit log does not know its size")
        return size

    def root(self, reader: Reader, size: int | None = None) -> Hash:
        """The tree's root now, or when there were `size` entries."""
        known = self._known(reader, size)
        return merkle.root_of(known, _nodes_of(reader))

    def checkpoint(self, reader: Reader) -> SignedCheckpoint:
        """Sign the log's present state.

        **Security:** inside a transaction that has appended, give it out only after the commit:
        a checkpoint of entries that were rolled back convicts this service of a fork.
        """
        size = self.size(reader)
        present = Checkpoint(origin=self.origin, size=size, root=self.root(reader, size))
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
            after = _number(since - 1) if since else None
            page = list(reader.scan(ENTRIES, after=after, limit=count))
            if [key for key, _ in page] != [_number(since + i) for i in range(count)]:
                raise Corrupt("the audit log has lost entries")
            for _, raw in page:
                yield _parsed(raw, since)
                since += 1

    def inclusion_proof(
        self, reader: Reader, index: int, size: int | None = None
    ) -> tuple[Hash, ...]:
        """Shows that entry `index` is in the log of `size` entries (default: the present one)."""
        known = self._known(reader, size)
        return merkle.inclusion_path(index, known, _nodes_of(reader))

    def consistency_proof(
        self, reader: Reader, old: int, new: int | None = None
    ) -> tuple[Hash, ...]:
        """Shows that the log of `old` entries begins that of `new` (default: the present one)."""
        known = self._known(reader, new)
        return merkle.consistency_path(old, known, _nodes_of(reader))

    def check(self, reader: Reader) -> Hash:
        """Compute everything anew from the entries; the root.

        Raises:
            Corrupt: an entry or a hash is missing, damaged or does not fit the others.
        """
        tree = merkle.Tree()
        for entry in self.entries(reader):
            tree.append(entry.leaf)
        node = _nodes_of(reader)
        size = tree.size
        for level in range(1, size.bit_length()):
            if any(node(level, i) != tree.node(level, i) for i in range(size >> level)):
                raise Corrupt("the audit log's hashes do not fit its entries")
        return tree.root()

    def _known(self, reader: Reader, size: int | None) -> int:
        present = self.size(reader)
        if size is None:
            return present
        if not 0 <= size <= present:
            raise UsageError(f"the log has {present} entries, not {size}")
        return size


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _nodes_of(reader: Reader) -> merkle.NodeReader:
    return lambda level, index: _node(reader, level, index)


def _node(reader: Reader, level: int, index: int) -> bytes:
    if level == 0:
        entry = reader.get(ENTRIES, _number(index))
        if entry is None:
            raise Corrupt("the audit log has lost entries")
        return merkle.leaf_hash(entry)
    found = reader.get(NODES, bytes([level]) + _number(index))
    if found is None or len(found) != Hash.SIZE:
        raise Corrupt("the audit log has lost hashes")
    return found


def _parsed(raw: bytes, index: int) -> AuditEntry:
    try:
        entry = AuditEntry.from_bytes(raw)
    except MalformedMessage as error:
        raise Corrupt(f"entry {index} of the audit log is damaged") from error
    if entry.index != index:
        raise Corrupt(f"entry {index} of the audit log was moved")
    return entry
