"""The store against plain sqlite3 with the same file settings; the audit log's own costs.

Interleaved pairs, median ratio. Transactions are durable (write-ahead log, synchronous=FULL) and
timed by the clock; single operations are timed by CPU, inside one transaction. Every put writes a
fresh value: SQLite leaves a page alone whose content would not change, and a commit that changed
no page writes and syncs nothing.
Run: `python bench/bench_storage.py`.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tigertally.audit.log import AuditLog
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey
from tigertally.storage.sealed import SealedStore
from tigertally.storage.sql import SqlStore
from tigertally.storage.store import Store

PAIRS = 7
TRANSACTIONS = 300
OPERATIONS = 3000
VALUE_BYTES = 300
KEYS = [i.to_bytes(8, "big") for i in range(OPERATIONS)]

CREATE = (
    "CREATE TABLE rows (table_name TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY (table_name, key))"
)
PUT = (
    "INSERT INTO rows VALUES (?, ?, ?)"
    " ON CONFLICT (table_name, key) DO UPDATE SET value = excluded.value"
)
GET = "SELECT value FROM rows WHERE table_name = ? AND key = ?"

Work = Callable[[], float]


def fresh_values(count: int) -> list[bytes]:
    return [os.urandom(VALUE_BYTES) for _ in range(count)]


def plain_database(path: Path) -> sqlite3.Cursor:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA secure_delete=ON",
        CREATE,
    ):
        connection.execute(statement)
    return connection.cursor()  # kept: making one for each statement costs a tenth more


def plain_transactions(cursor: sqlite3.Cursor) -> Work:
    def work() -> float:
        values = fresh_values(TRANSACTIONS)
        start = time.perf_counter()
        for key, value in zip(KEYS, values, strict=False):
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(PUT, ("bench", key, value))
            cursor.execute("COMMIT")
        return TRANSACTIONS / (time.perf_counter() - start)

    return work


def our_transactions(store: Store) -> Work:
    def work() -> float:
        values = fresh_values(TRANSACTIONS)
        start = time.perf_counter()
        for key, value in zip(KEYS, values, strict=False):
            with store.transaction() as tx:
                tx.put("bench", key, value)
        return TRANSACTIONS / (time.perf_counter() - start)

    return work


def plain_operations(cursor: sqlite3.Cursor, what: str) -> Work:
    def work() -> float:
        values = fresh_values(OPERATIONS)
        cursor.execute("BEGIN IMMEDIATE")
        start = time.process_time()
        if what == "put":
            for key, value in zip(KEYS, values, strict=True):
                cursor.execute(PUT, ("bench", key, value))
        else:
            for key in KEYS:
                cursor.execute(GET, ("bench", key)).fetchone()
        spent = time.process_time() - start
        cursor.execute("COMMIT")
        return spent / OPERATIONS * 1e6

    return work


def our_operations(store: Store, what: str) -> Work:
    def work() -> float:
        values = fresh_values(OPERATIONS)
        with store.transaction() as tx:
            start = time.process_time()
            if what == "put":
                for key, value in zip(KEYS, values, strict=True):
                    tx.put("bench", key, value)
            else:
                for key in KEYS:
                    tx.get("bench", key)
            return (time.process_time() - start) / OPERATIONS * 1e6

    return work


def compared(name: str, unit: str, ours: Work, peer: Work, note: str) -> dict[str, object]:
    ours(), peer()  # warm caches; not counted
    pairs = [(ours(), peer()) for _ in range(PAIRS)]
    return {
        "name": name,
        "ours": round(statistics.median(a for a, _ in pairs), 2),
        "peer": round(statistics.median(b for _, b in pairs), 2),
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        "unit": unit,
        "note": note,
    }


def alone(name: str, unit: str, value: float, note: str) -> dict[str, object]:
    return {
        "name": name,
        "ours": round(value, 2),
        "peer": None,
        "ratio": None,
        "unit": unit,
        "note": note,
    }


def storage(folder: Path) -> list[dict[str, object]]:
    plain = plain_database(folder / "plain.db")
    store = SqlStore(folder / "ours.db")
    sealed = SealedStore(SqlStore(folder / "sealed.db"), Secret(os.urandom(32)))
    found = []
    for name, ours in (("store", store), ("sealed store", sealed)):
        found.append(
            compared(
                f"{name}: durable transactions, one put each",
                "1/s",
                our_transactions(ours),
                plain_transactions(plain),
                "peer: plain sqlite3, same settings; higher is better",
            )
        )
        found += [
            compared(
                f"{name}: {what} of 300 bytes inside a transaction",
                "µs CPU",
                our_operations(ours, what),
                plain_operations(plain, what),
                "peer: plain sqlite3; lower is better",
            )
            for what in ("put", "get")
        ]
    plain.connection.close()
    store.close()
    sealed.close()
    return found


def median_of(times: int, work: Work) -> float:
    return statistics.median(work() for _ in range(times))


def audit(folder: Path) -> list[dict[str, object]]:
    store = SqlStore(folder / "audit.db")
    log = AuditLog("bench.example/log", SigningKey.generate(SeededRandomness("bench")))

    def append() -> float:
        with store.transaction() as tx:
            start = time.process_time()
            for number in range(500):
                log.append(tx, time=number, kind="bench", actor="bench", summary="an entry")
            return (time.process_time() - start) / 500 * 1e6

    def sign() -> float:
        with store.reading() as reader:
            start = time.process_time()
            for _ in range(200):
                log.checkpoint(reader)
            return (time.process_time() - start) / 200 * 1e6

    def prove() -> float:
        with store.reading() as reader:
            start = time.process_time()
            for old in range(1, 201):
                log.consistency_proof(reader, old)
            return (time.process_time() - start) / 200 * 1e6

    parts = (("append inside a transaction", append), ("signed checkpoint", sign))
    where = "median of 7; a log of 3,500 entries on SQLite"
    found = [
        alone(f"audit: {name}", "µs CPU", median_of(PAIRS, work), where)
        for name, work in (*parts, ("consistency proof", prove))
    ]
    store.close()
    return found


def opening(folder: Path) -> list[dict[str, object]]:
    path = folder / "opened.db"
    SqlStore(path).close()

    def work() -> float:
        start = time.perf_counter()
        SqlStore(path).close()
        return (time.perf_counter() - start) * 1e3

    spent = median_of(21, work)
    return [alone("store: open and close", "ms", spent, "median of 21; nothing to migrate")]


def run() -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return storage(folder) + audit(folder) + opening(folder)


if __name__ == "__main__":
    for row in run():
        print(row)
