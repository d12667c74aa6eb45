"""A store on a disk that is full from the N-th write or flush on: whole transactions, or none.

Every N is tried, in a process of its own: the fault is injected below SQLite (`full_disk`). As a
program: `python test_full_store.py FOLDER` prints what it found as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sources import ROOT
from tigertally.base.errors import TigertallyError
from tigertally.storage.sql import SqlStore, SqlTransaction
from walks import sampled

if TYPE_CHECKING:
    from full_disk import FullDisk

ROWS = 700  # of 4 KiB: more than the page cache keeps, so that statements write too


def change(tx: SqlTransaction) -> None:
    """Two small rows around many large ones, some of them in parts that are taken back alone."""
    tx.put("t", b"left", b"new")
    for number in range(ROWS):
        with contextlib.suppress(TigertallyError), tx.nested():  # as handlers do
            tx.put("bulk", number.to_bytes(4, "big"), os.urandom(4000))
    with contextlib.suppress(TigertallyError):
        tx.put("t", b"right", b"new")


def seen(path: Path) -> tuple[bytes | None, bytes | None, int]:
    """What a store holds; opened for this look only."""
    store = SqlStore(path)
    with store.reading() as reader:
        found = (
            reader.get("t", b"left"),
            reader.get("t", b"right"),
            len(list(reader.scan("bulk"))),
        )
    store.close()
    return found


OLD, NEW = (b"old", b"old", 0), (b"new", b"new", ROWS)


def walk(folder: Path) -> dict[str, int]:
    """Try writes and flushes of one transaction as the first that fails."""
    from full_disk import FullDisk

    disk = FullDisk()
    counts: Counter[str] = Counter()
    one_try(folder, disk, None, counts)
    total = disk.taken
    last = range(total - 4, total + 1)
    for step in (*sampled(range(1, total - 4), 8, "a full store"), *last, total + 1):
        one_try(folder, disk, step, counts)
        counts["not struck"] += not disk.struck
    return counts


def one_try(folder: Path, disk: FullDisk, step: int | None, counts: Counter[str]) -> None:
    """One store on a disk that is full from this step on."""
    here, crashed = folder / "here", folder / "crashed"
    here.mkdir()
    store = SqlStore(here / "store.db")
    with store.transaction() as tx:
        tx.put("t", b"left", b"old")
        tx.put("t", b"right", b"old")
    error = ""
    try:
        with disk.full_from(step) if step else disk.counted(), store.transaction() as tx:
            change(tx)
    except TigertallyError as caught:
        error = type(caught).__name__
    counts[error or "made"] += 1
    assert seen(here / "store.db") == (OLD if error else NEW), (step, error)
    shutil.copytree(here, crashed)
    (crashed / "store.db-shm").unlink()
    after = seen(crashed / "store.db")  # as after a crash: the log is recovered
    assert after in ((OLD, NEW) if error else (NEW,)), (step, after)
    counts["recovered whole"] += bool(error) and after == NEW
    with store.transaction() as tx:
        tx.put("t", b"after", b"written")
    store.close()
    shutil.rmtree(here)
    shutil.rmtree(crashed)


def test_whatever_write_fails_a_transaction_is_there_as_a_whole_or_not_at_all(tmp_path):
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"made", "Unavailable", "recovered whole", "not struck"}, found
    assert (found["made"], found["not struck"]) == (2, 1), "the first and the last, step by step"
    assert found["Unavailable"] >= 13, "the control: the fault strikes"
    # The last flush of a commit: not made for those who live, whole for who comes after a crash.
    assert found["recovered whole"] >= 1


if __name__ == "__main__":
    print(json.dumps(walk(Path(sys.argv[1]))))
else:
    pytestmark = [pytest.mark.timeout(240), pytest.mark.walk]
