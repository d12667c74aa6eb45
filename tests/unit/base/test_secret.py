from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tigertally.base.errors import UsageError
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret, unlocked_count

RAW = b"correct horse battery staple 123"


def test_gives_its_bytes_only_inside_the_block() -> None:
    secret = Secret(RAW)
    with secret.exposed() as raw:
        assert raw == RAW
        assert raw.readonly
    with pytest.raises(ValueError, match="released"):
        raw.tobytes()


def test_wipes_the_bytearray_it_was_made_from_but_not_a_view() -> None:
    source = bytearray(RAW)
    view = memoryview(bytes(RAW))
    assert Secret(source).matches(RAW)
    assert source == bytes(len(RAW))
    assert Secret(view).matches(RAW)
    assert view == RAW


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 4096, 4097, 100_000])
def test_any_size(size: int) -> None:
    raw = SeededRandomness(size).bytes(size)
    secret = Secret(raw)
    assert len(secret) == size
    assert bool(secret) == (size > 0)
    assert secret.to_secret_bytes() == raw


def test_never_prints() -> None:
    secret = Secret(RAW)
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret])):
        assert "correct" not in text
        assert RAW.hex() not in text
        assert "Secret(32 bytes)" in text


def test_neither_pickles_nor_copies_nor_compares_nor_hashes() -> None:
    secret = Secret(RAW)
    attempts = [
        lambda: pickle.dumps(secret),
        lambda: copy.copy(secret),
        lambda: copy.deepcopy(secret),
        lambda: secret == secret,  # noqa: PLR0124
        lambda: secret != Secret(RAW),
        lambda: hash(secret),
        lambda: json.dumps(secret),
        lambda: bytes(secret),  # type: ignore[call-overload]
        lambda: list(secret),  # type: ignore[call-overload]
        lambda: secret[0],  # type: ignore[index]
        lambda: Secret("text"),  # type: ignore[arg-type]
    ]
    for attempt in attempts:
        with pytest.raises(TypeError):
            attempt()


def test_matches() -> None:
    secret = Secret(RAW)
    assert secret.matches(RAW)
    assert secret.matches(Secret(RAW))
    assert not secret.matches(RAW[:-1])
    assert not secret.matches(Secret(RAW[:-1] + b"4"))


def test_wiped_secrets_refuse_every_use() -> None:
    secret = Secret(RAW)
    with secret.exposed() as raw:
        secret.wipe()
        assert raw == bytes(len(RAW))
    secret.wipe()
    uses = [secret.to_secret_bytes, lambda: secret.matches(RAW), secret.exposed().__enter__]
    for use in uses:
        with pytest.raises(UsageError):
            use()
    assert repr(secret) == "Secret(32 bytes)"


def test_leaving_the_context_wipes() -> None:
    with Secret(RAW) as secret:
        assert secret.matches(RAW)
    with pytest.raises(UsageError):
        secret.to_secret_bytes()


def test_memory_is_used_again_only_after_the_last_look() -> None:
    first = Secret(RAW)
    with first.exposed() as raw:
        del first
        gc.collect()
        others = [Secret(bytes([i]) * 32) for i in range(200)]
        assert raw == RAW
    for i, other in enumerate(others):
        assert other.matches(bytes([i]) * 32)


def test_many_secrets_live_side_by_side() -> None:
    randomness = SeededRandomness("many")
    raws = [randomness.bytes(1 + i % 200) for i in range(2000)]
    secrets = [Secret(raw) for raw in raws]
    del secrets[::2]
    more = [Secret.random(SeededRandomness(i), 32) for i in range(1000)]
    assert all(s.matches(raw) for s, raw in zip(secrets, raws[1::2], strict=True))
    assert all(s.matches(SeededRandomness(i).bytes(32)) for i, s in enumerate(more))


def test_an_error_inside_the_block_is_not_hidden() -> None:
    secret = Secret(RAW)
    with pytest.raises(ZeroDivisionError), secret.exposed() as raw:
        kept = memoryview(raw)[1:]
        assert kept
        raise ZeroDivisionError


def test_a_forked_child_that_wipes_leaves_the_parents_secret_alone() -> None:
    script = """
import os
from tigertally.base.secret import Secret
secret = Secret(b"x" * 32)
child = os.fork()
if child == 0:
    secret.wipe()
    os._exit(0)
os.waitpid(child, 0)
print(secret.matches(b"x" * 32))
"""
    assert _python(script) == "True"


def test_counts_and_warns_once_where_memory_cannot_be_locked() -> None:
    script = """
import os, resource, warnings
from tigertally.base.secret import Secret, unlocked_count
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
if os.getuid() == 0:
    os.setuid(65534)  # root may lock without a limit
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    kept = [Secret(b"x"), Secret(b"y" * 5000)]
print(unlocked_count(), len(seen), kept[1].matches(b"y" * 5000))
"""
    assert _python(script) == "2 1 True"
    assert unlocked_count() >= 0


def _python(script: str) -> str:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


# A child makes a secret from two masks byte by byte, so that nothing else of it ever holds the
# secret in one piece; we look for it in the child's memory from outside.
CHILD = """
import sys
from tigertally.base.secret import Secret
left, right = (bytes.fromhex(text) for text in sys.argv[1:3])
raw = bytearray(32)
for i in range(32):
    raw[i] = left[i] ^ right[i]
secret = Secret(raw)
for line in sys.stdin:
    command = line.strip()
    if command == "wipe":
        secret.wipe()
    elif command == "drop":
        del secret
    elif command == "leak":
        kept = bytearray(secret.to_secret_bytes())
    print("done", flush=True)
"""


class _Child:
    def __init__(self) -> None:
        left, right = os.urandom(32), os.urandom(32)
        self.needle = bytes(a ^ b for a, b in zip(left, right, strict=True))
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, left.hex(), right.hex()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
        )

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def copies_in_memory(self) -> int:
        root = Path("/proc") / str(self.process.pid)
        found = 0
        with (root / "mem").open("rb", buffering=0) as memory:
            for line in (root / "maps").read_text().splitlines():
                span, rights, *_ = line.split()
                if "r" not in rights or "w" not in rights:
                    continue
                start, end = (int(part, 16) for part in span.split("-"))
                memory.seek(start)
                found += memory.read(end - start).count(self.needle)
        return found


@pytest.fixture
def child() -> Iterator[_Child]:
    made = _Child()
    try:
        yield made
    finally:
        assert made.process.stdin is not None
        assert made.process.stdout is not None
        made.process.stdin.close()
        made.process.stdout.close()
        made.process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")
@pytest.mark.parametrize("command", ["wipe", "drop"])
def test_wiping_removes_the_only_copy_from_memory(child: _Child, command: str) -> None:
    child.tell("look")
    assert child.copies_in_memory() == 1  # positive control: the search finds a live secret
    child.tell(command)
    assert child.copies_in_memory() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")
def test_a_copy_outside_survives_wiping_and_is_found(child: _Child) -> None:
    child.tell("leak")
    child.tell("wipe")
    assert child.copies_in_memory() >= 1
