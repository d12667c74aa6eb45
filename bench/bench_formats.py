"""`tally write` and `read`: 1 GiB against a bare loop of the same steps; folders of small files.

The bare loop reads 64 KiB, hashes it as a leaf, seals or opens it with AES-GCM, writes it, and
flushes the file to the disk; ours does that too, and header, slots, tree, signature and key
derivation. Interleaved pairs, median ratios. Folders: files of 1 KiB, written and read with one
command's code, durable at the end. Run: `python bench/bench_formats.py [MiB [files]]`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.files import atomic_output
from tigertally.crypto.signatures import SigningKey
from tigertally.crypto.stream import CHUNK_BYTES, MARK_BYTES
from tigertally.delegation.client.files import read_file, write_file
from tigertally.delegation.client.folders import read_folder, write_folder
from tigertally.delegation.client.locating import locate
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages.labels import parse_label
from tigertally.delegation.state import Remembered
from tigertally.delegation.stores.open import open_store
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedStore

KEY = bytes(range(32))
MIB = 1024 * 1024
NOW = 1_800_000_000
Work = Callable[[], object]


def owner() -> Owner:
    rows = SealedStore(MemoryStore(), Secret(bytes(32)))
    key = SigningKey.generate(SystemRandomness())
    return Owner(Secret(bytes(range(32))), key, Remembered(rows=rows))


def bare(source: Path, sink: Path, *, seal: bool, whole: bool = False) -> None:
    aes, mac = AESGCM(KEY), hmac.new(KEY, digestmod="sha256")
    size = CHUNK_BYTES if seal else CHUNK_BYTES + MARK_BYTES
    with source.open("rb") as src, sink.open("wb") as dst:
        while whole and not seal and (chunk := src.read(size)):
            mac.update(chunk)
        src.seek(0)
        number = 0
        while chunk := src.read(size):
            nonce = number.to_bytes(12, "big")
            made = aes.encrypt(nonce, chunk, None) if seal else aes.decrypt(nonce, chunk, None)
            leaf = hashlib.sha256(b"\x00")
            leaf.update(chunk if seal else made)
            leaf.digest()
            if whole and seal:
                mac.update(made)
            dst.write(made)
            number += 1
        dst.flush()
        os.fsync(dst.fileno())


def _seconds(work: Work, *outputs: Path) -> float:
    for output in outputs:  # both begin with nothing: to free what was there takes time
        output.unlink(missing_ok=True)
    os.sync()  # what others wrote is not ours to flush
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _pairs(
    ours: tuple[Work, Path], peer: tuple[Work, Path], rounds: int
) -> tuple[float, float, float]:
    """Median seconds of both, and the median of peer over ours, after a warm-up of each."""
    _seconds(*ours), _seconds(*peer)
    mine, theirs = [], []
    for turn in range(rounds):
        for (work, output), times in ((ours, mine), (peer, theirs))[:: -1 if turn % 2 else 1]:
            times.append(_seconds(work, output))
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    return statistics.median(mine), statistics.median(theirs), statistics.median(ratios)


def large(folder: Path, size_mib: int, rounds: int) -> list[dict[str, object]]:
    """A large file, plain and all-or-nothing."""
    ann, store, path = owner(), open_store(str(folder / "store")), parse_label("a/b")
    plain, sealed, opened, out = (folder / n for n in ("plain", "sealed", "opened", "out"))
    ours = folder.joinpath("store", *path)
    source_of_bare = folder / "bare"
    block = os.urandom(MIB)
    with plain.open("wb") as file:
        for _ in range(size_mib):
            file.write(block)

    def write(whole: bool) -> None:
        with plain.open("rb") as source:
            levels = ann.levels(path[:-1])
            write_file(
                store, levels, path, source, sender=ann.signing_key, now=NOW, all_or_nothing=whole
            )

    def read() -> None:
        with atomic_output(out) as sink:
            read_file(store, ann, path, sink)

    rows: list[dict[str, object]] = []
    bare(plain, source_of_bare, seal=True)
    for whole in (False, True):
        kind = ", all or nothing" if whole else ""
        put = partial(write, whole)
        seal = partial(bare, plain, sealed, seal=True, whole=whole)
        unseal = partial(bare, source_of_bare, opened, seal=False, whole=whole)
        cases = [("write", (put, ours), (seal, sealed)), ("read", (read, out), (unseal, opened))]
        for verb, mine, peer in cases:
            seconds, loop, ratio = _pairs(mine, peer, rounds)
            rows.append(
                {
                    "what": f"{verb} {size_mib} MiB{kind}",
                    "ours": f"{size_mib / seconds:.0f} MiB/s",
                    "bare loop": f"{size_mib / loop:.0f} MiB/s",
                    "ratio": f"{ratio:.2f}",
                    "aim": "≥ 0.8",
                }
            )
    return rows


def small(folder: Path, count: int, depth: int) -> dict[str, object]:
    """A folder of many files, `depth` labels below the root."""
    ann, source = owner(), folder / "many"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    for number in range(count):
        (source / f"{number:05}").write_bytes(os.urandom(1024))
    store = open_store(str(folder / f"store{depth}"))
    label = parse_label("/".join(f"d{i}" for i in range(depth)))
    written = _seconds(lambda: write_folder(ann, store, source, label, now=NOW))
    location = locate(store.url_of(label), ann, [])
    opened = _seconds(lambda: read_folder(ann, location, folder / f"out{depth}"))
    return {
        "what": f"{count} files of 1 KiB, {depth + 1} key slots each",
        "ours": f"write {count / written:.0f}, read {count / opened:.0f} files/s",
    }


def run(size_mib: int = 1024, files: int = 10_000, rounds: int = 3) -> list[dict[str, object]]:
    """Rows for large files, for a folder of small ones, and for the same at greater depth."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as name:
        rows = large(Path(name), size_mib, rounds)
    for count, depth in ((files, 1), (files // 10, 1), (files // 10, 4), (files // 10, 16)):
        with tempfile.TemporaryDirectory(prefix="tally-bench-") as name:
            rows.append(small(Path(name), count, depth))
    return rows


if __name__ == "__main__":
    for row in run(*map(int, sys.argv[1:3])):
        print(row)
