"""The stores that every conformance test runs over, and a child process that uses one of them.

As a program: `python store_kinds.py KIND PATH ACTION`, where KIND is `sql` or `sealed-sql`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tigertally.base.secret import Secret
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedStore
from tigertally.storage.sql import SqlStore
from tigertally.storage.store import Store

KEY = bytes(range(32))
WAIT = 30.0

KINDS: dict[str, Callable[[Path, float], Store]] = {
    "memory": lambda _, wait: MemoryStore(wait=wait),
    "sql": lambda path, wait: SqlStore(path, wait=wait),
    "sealed-memory": lambda _, wait: SealedStore(MemoryStore(wait=wait), Secret(KEY)),
    "sealed-sql": lambda path, wait: SealedStore(SqlStore(path, wait=wait), Secret(KEY)),
}
DURABLE = ("sql", "sealed-sql")


def open_store(kind: str, path: Path, *, wait: float = WAIT) -> Store:
    return KINDS[kind](path, wait)


def start(kind: str, path: Path, action: str) -> subprocess.Popen[str]:
    """Run one action of this file in a process of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, kind, str(path), action],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _hold(store: Store) -> None:
    """Change rows, then stop inside the transaction until killed."""
    with store.transaction() as tx:
        tx.put("t", b"old", b"changed")
        tx.put("t", b"new", b"added")
        for i in range(2000):  # more than the page cache keeps: some pages reach the log early
            tx.put("bulk", i.to_bytes(4, "big"), os.urandom(2000))
        tx.delete("t", b"gone")
        _say("inside")
        sys.stdin.read()


def _commit(store: Store) -> None:
    """Commit, say so, and wait to be killed without closing anything."""
    with store.transaction() as tx:
        tx.put("t", b"new", b"added")
    _say("committed")
    sys.stdin.read()


def _count(store: Store) -> None:
    """Write two equal numbers a transaction, for ever; say each number after its commit."""
    number = 0
    while True:
        number += 1
        with store.transaction() as tx:
            tx.put("t", b"left", b"%d" % number)
            tx.put("t", b"right", b"%d" % number)
        _say(str(number))


def _add(store: Store) -> None:
    """Add 50 to a shared number, one by one."""
    for _ in range(50):
        with store.transaction() as tx:
            tx.put("t", b"sum", b"%d" % (int(tx.get("t", b"sum") or b"0") + 1))


def _fill(store: Store) -> None:
    """Write until the file may not grow any more; the refusal must leave the store usable."""
    import resource
    import signal

    from tigertally.base.errors import Unavailable

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    try:
        with store.transaction() as tx:
            for i in range(1000):
                tx.put("bulk", i.to_bytes(4, "big"), os.urandom(2000))
    except Unavailable:
        _say("refused")
    with store.transaction() as tx:
        tx.put("t", b"after", b"written")
    _say("went on")


ACTIONS = {
    "hold": _hold,
    "commit": _commit,
    "count": _count,
    "add": _add,
    "fill": _fill,
    "open": lambda store: store.close(),
}

if __name__ == "__main__":
    ACTIONS[sys.argv[3]](open_store(sys.argv[1], Path(sys.argv[2])))
