"""`tally encrypt` and `decrypt` of 1 GiB against a bare loop of read, AES-GCM, write.

Ours is what the commands do once the key is there: header, stream, a file that appears only when
it is complete and on the disk (`crypto/files`). The bare loop is compared once with its file on
the disk too, and once when it has only written. Interleaved pairs, median ratios. Memory: the
growth of a fresh process over its idle state. Run: `python bench/bench_stream.py [MiB]`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tigertally.base.ids import DomainId, Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.files import atomic_output
from tigertally.crypto.stream import CHUNK_BYTES, MARK_BYTES
from tigertally.custody.files import FileHeader, decrypt_file, encrypt_file, read_header
from tigertally.custody.messages.kinds import KeyRef

KEY = bytes(range(32))
HEADER = FileHeader(domain=DomainId(bytes(32)), key=KeyRef(name=Name("bench"), version=1))
MIB = 1024 * 1024


def bare_encrypt(source: Path, sink: Path) -> None:
    aes = AESGCM(KEY)
    with source.open("rb") as src, sink.open("wb") as dst:
        number = 0
        while chunk := src.read(CHUNK_BYTES):
            dst.write(aes.encrypt(number.to_bytes(12, "big"), chunk, None))
            number += 1


def bare_decrypt(source: Path, sink: Path) -> None:
    aes = AESGCM(KEY)
    with source.open("rb") as src, sink.open("wb") as dst:
        number = 0
        while chunk := src.read(CHUNK_BYTES + MARK_BYTES):
            dst.write(aes.decrypt(number.to_bytes(12, "big"), chunk, None))
            number += 1


def our_encrypt(source: Path, sink: Path) -> None:
    with source.open("rb") as src, atomic_output(sink) as dst:
        encrypt_file(Secret(KEY), HEADER, src, dst, randomness=SystemRandomness())


def our_decrypt(source: Path, sink: Path) -> None:
    with source.open("rb") as src, atomic_output(sink) as dst:
        decrypt_file(Secret(KEY), read_header(src), src, dst)


def _seconds(work: Callable[[Path, Path], None], source: Path, sink: Path) -> tuple[float, float]:
    """Until the work is done, and until the file has reached the disk as well."""
    sink.unlink(missing_ok=True)
    os.sync()  # what others wrote is not ours to flush
    start = time.perf_counter()
    work(source, sink)
    done = time.perf_counter() - start
    with sink.open("rb") as written:
        os.fsync(written.fileno())  # ours is there already
    return done, time.perf_counter() - start


def _pairs(
    ours: Callable[[Path, Path], None],
    bare: Callable[[Path, Path], None],
    inputs: tuple[Path, Path],
    sink: Path,
    rounds: int,
) -> dict[str, float]:
    """Median seconds of ours and of the bare loop, and the medians of bare over ours."""
    _seconds(ours, inputs[0], sink)  # warm the page cache
    _seconds(bare, inputs[1], sink)
    mine, theirs = [], []
    for i in range(rounds):
        order = [(ours, inputs[0], mine), (bare, inputs[1], theirs)]
        for work, source, times in order if i % 2 == 0 else reversed(order):
            times.append(_seconds(work, source, sink))
    pairs = list(zip(mine, theirs, strict=True))
    return {
        "ours": statistics.median(flushed for _, flushed in mine),
        "bare": statistics.median(flushed for _, flushed in theirs),
        "ratio": statistics.median(b[1] / a[1] for a, b in pairs),
        "unflushed": statistics.median(b[0] / a[1] for a, b in pairs),
    }


def _memory_growth(verb: str, source: Path, sink: Path) -> float:
    """MiB of resident memory that encrypting or decrypting adds to an idle process."""
    command = [sys.executable, __file__, "--memory", verb, str(source), str(sink)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def _report_growth(verb: str, source: Path, sink: Path) -> None:
    work = {"encrypt": our_encrypt, "decrypt": our_decrypt}[verb]
    idle = _peak()
    work(source, sink)
    print((_peak() - idle) / 1024)


def _peak() -> int:
    """The most resident memory so far, KiB. (`ru_maxrss` would count the parent's, too.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def run(size_mib: int = 1024, rounds: int = 3) -> list[dict[str, object]]:
    """One row each for encryption and decryption of `size_mib` MiB."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as name:
        folder = Path(name)
        plain, sealed, bare_sealed, sink = (folder / n for n in ("p", "s", "b", "out"))
        block = os.urandom(MIB)
        with plain.open("wb") as file:
            for _ in range(size_mib):
                file.write(block)
        our_encrypt(plain, sealed)
        bare_encrypt(plain, bare_sealed)
        cases = [
            ("encrypt", our_encrypt, bare_encrypt, (plain, plain)),
            ("decrypt", our_decrypt, bare_decrypt, (sealed, bare_sealed)),
        ]
        for verb, ours, bare, inputs in cases:
            found = _pairs(ours, bare, inputs, sink, rounds)
            growth = _memory_growth(verb, inputs[0], sink)
            rows.append(
                {
                    "what": f"{verb} {size_mib} MiB",
                    "ours MiB/s": round(size_mib / found["ours"]),
                    "bare loop MiB/s": round(size_mib / found["bare"]),
                    "speed ratio (aim ≥ 0.8)": round(found["ratio"], 2),
                    "to a loop that leaves the file in memory": round(found["unflushed"], 2),
                    "memory growth MiB (aim < 32)": round(growth, 1),
                }
            )
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        _report_growth(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 1024):
            print(row)
