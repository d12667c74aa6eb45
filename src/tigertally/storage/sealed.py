"""The sealed view: values are encrypted and bound to their place before a store sees them.

AES-256-GCM; the associated data is a tag, the table and the key, so that a row that was changed,
swapped with another or moved to another place does not open. Table names and keys stay in the
clear: put nothing secret into them.

**Security:** rows are authentic, not fresh: an old state of the whole file opens just as well.
Freshness comes from cosigned checkpoints. One key seals at most 2³² rows (random nonces).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import cast

from cryptography.exceptions import InvalidTag

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed
from tigertally.base.errors import Corrupt, UsageError
from tigertally.base.secret import Secret
from tigertally.crypto import aead
from tigertally.storage.store import Reader, Store, Transaction


class RowSealer:
    """Seals and opens rows under one key.

    Args:
        key: 32 bytes; not needed afterwards.

    **Security:** the cipher keeps its own copy of the key while this object lives.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: Secret) -> None:
        self._cipher = aead.cipher(key)

    def seal(self, table: str, key: bytes, value: bytes | Secret) -> bytes:
        """The value as it may be stored under this table and key, 28 bytes longer."""
        nonce = os.urandom(aead.NONCE_BYTES)
        if isinstance(value, Secret):
            with value.exposed() as raw:
                return nonce + self._cipher.encrypt(nonce, raw, _place(table, key))
        return nonce + self._cipher.encrypt(nonce, value, _place(table, key))

    def open(self, table: str, key: bytes, sealed: bytes) -> bytes:
        """The value that was sealed for this table and key.

        Raises:
            Corrupt: it was not, or not under this key, or is damaged.
        """
        nonce, body = sealed[: aead.NONCE_BYTES], sealed[aead.NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, _place(table, key))
        except (InvalidTag, ValueError) as error:
            raise _does_not_open(table, key) from error

    def open_secret(self, table: str, key: bytes, sealed: bytes) -> Secret:
        """As `open`, into memory that is wiped."""
        if len(sealed) < aead.OVERHEAD:
            raise _does_not_open(table, key)
        view = memoryview(sealed)
        plaintext = bytearray(len(sealed) - aead.OVERHEAD)
        nonce, body = view[: aead.NONCE_BYTES], view[aead.NONCE_BYTES :]
        try:
            self._cipher.decrypt_into(nonce, body, _place(table, key), plaintext)
        except InvalidTag as error:
            raise _does_not_open(table, key) from error
        return Secret(plaintext)

    def __repr__(self) -> str:
        return "RowSealer()"


class SealedReader:
    """Looks at sealed rows through an open reader or transaction.

    Args:
        inner: the open reader or transaction.
        sealer: opens the rows.
        note: told of rows that cannot be read where that stops nobody (`storage/damage.py`);
            without it such a row stops whoever comes across it.
    """

    def __init__(
        self, inner: Reader, sealer: RowSealer, note: Callable[[Corrupt], None] | None = None
    ) -> None:
        self._inner = inner
        self._sealer = sealer
        self._note = note

    def get(self, table: str, key: bytes) -> bytes | None:
        """See `Reader.get`; `Corrupt` also when the row does not open."""
        sealed = self._inner.get(table, key)
        return None if sealed is None else self._sealer.open(table, key, sealed)

    def get_secret(self, table: str, key: bytes) -> Secret | None:
        """As `get`, into memory that is wiped."""
        sealed = self._inner.get(table, key)
        return None if sealed is None else self._sealer.open_secret(table, key, sealed)

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader.scan`; rows are opened one by one as they are taken."""
        found = self._inner.scan(table, prefix=prefix, after=after, limit=limit)
        return ((key, self._sealer.open(table, key, sealed)) for key, sealed in found)

    def each(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes | Corrupt]]:
        """As `scan`, but a row that does not open comes as its error."""
        found = self._inner.scan(table, prefix=prefix, after=after, limit=limit)
        return ((key, self._opened(table, key, sealed)) for key, sealed in found)

    def _opened(self, table: str, key: bytes, sealed: bytes) -> bytes | Corrupt:
        try:
            return self._sealer.open(table, key, sealed)
        except Corrupt as damage:
            return damage

    def set_aside(self, damage: Corrupt) -> None:
        """Note a row that cannot be read, and go on without it; raise where nobody takes notes."""
        if self._note is None or not damage.table:
            raise damage
        self._note(damage)


class SealedTransaction(SealedReader):
    """A view over an open transaction, so that sealed rows and plain ones commit together.

    Args:
        inner: the open transaction; over a plain reader `put` and `delete` are `UsageError`.
        sealer: seals and opens the rows.
        note: see `SealedReader`.
    """

    def __init__(
        self,
        inner: Transaction | Reader,
        sealer: RowSealer,
        note: Callable[[Corrupt], None] | None = None,
    ) -> None:
        super().__init__(inner, sealer, note)
        writes = hasattr(inner, "put") and hasattr(inner, "delete")
        self._writer = cast(Transaction, inner) if writes else None

    def put(self, table: str, key: bytes, value: bytes | Secret) -> None:
        """See `Transaction.put`; takes a secret without making `bytes` of it."""
        sealed = self._sealer.seal(table, key, value)
        self._writable().put(table, key, sealed)

    def delete(self, table: str, key: bytes) -> None:
        """See `Transaction.delete`."""
        self._writable().delete(table, key)

    def nested(self) -> AbstractContextManager[None]:
        """See `Transaction.nested`."""
        return self._writable().nested()

    def _writable(self) -> Transaction:
        if self._writer is None:
            raise UsageError("this view only reads")
        return self._writer


class SealedStore:
    """A store whose every row is sealed.

    Args:
        store: where the sealed rows go; closed with this one.
        key: 32 bytes.
    """

    def __init__(self, store: Store, key: Secret) -> None:
        self._store = store
        self._sealer = RowSealer(key)

    @contextmanager
    def transaction(self) -> Iterator[SealedTransaction]:
        """See `Store.transaction`."""
        with self._store.transaction() as inner:
            yield SealedTransaction(inner, self._sealer)

    @contextmanager
    def reading(self) -> Iterator[SealedReader]:
        """See `Store.reading`."""
        with self._store.reading() as inner:
            yield SealedReader(inner, self._sealer)

    def scrub(self) -> bool:
        """See `Store.scrub`."""
        return self._store.scrub()

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()


def _place(table: str, key: bytes) -> bytes:
    return tags.ROW_SEAL + framed(table.encode(), key)


def _does_not_open(table: str, key: bytes) -> Corrupt:
    why = "does not open: damaged, moved or of another key"
    return Corrupt(f"row {key.hex()} of table {table!r} {why}", table=table, key=key)
