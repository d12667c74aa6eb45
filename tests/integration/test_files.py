"""`tally encrypt` and `tally decrypt` on real files: any size, every kind of damage, every end."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

CHUNK = 65536
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5_000_000)
SEALED = CHUNK + 16  # a chunk on disk, with its tag


def command(what, source, out, reason="r"):
    words = (what, "--profile", "app", "--key", "payroll", "--reason", reason)
    return (*words, "--in", source, "--out", out)


@pytest.mark.slow
@pytest.mark.requirement("C5")
def test_files_of_all_sizes_come_back(town, tmp_path):
    sources = [tmp_path / f"{size}" for size in SIZES]
    for path, size in zip(sources, SIZES, strict=True):
        path.write_bytes(os.urandom(size))
    sealed = [path.with_suffix(".tally") for path in sources]
    opened = [path.with_suffix(".again") for path in sources]
    encrypt = [command("encrypt", a, b, a.name) for a, b in zip(sources, sealed, strict=True)]
    decrypt = [command("decrypt", a, b, a.name) for a, b in zip(sealed, opened, strict=True)]
    old_umask = os.umask(0)
    try:
        for outcome, size in zip(town.releases(*encrypt), SIZES, strict=True):
            assert outcome.code == 0, str(outcome)
            document = outcome.document()
            assert document["bytes"] == size
            assert document["seconds"] >= 0
        for outcome in town.releases(*decrypt):
            assert outcome.code == 0, str(outcome)
    finally:
        os.umask(old_umask)
    for source, hidden, again in zip(sources, sealed, opened, strict=True):
        assert again.read_bytes() == source.read_bytes()
        for made in (hidden, again):
            assert stat.S_IMODE(made.stat().st_mode) == 0o600
        assert len(source.read_bytes()) < 100 or source.read_bytes()[:32] not in hidden.read_bytes()
    expected = {path.name for path in (*sources, *sealed, *opened)} | {"home", "logs"}
    assert {path.name for path in tmp_path.iterdir()} == expected


def damaged(raw):
    """Name and bytes of everything that can happen to a file of four chunks."""
    last = len(raw) - (200_000 - 3 * CHUNK + 16)
    first, second, third = (last - number * SEALED for number in (3, 2, 1))
    flip = bytes([raw[second + 100] ^ 1])
    return {
        "cut inside a chunk": raw[: last - 1000],
        "cut between chunks": raw[:last],
        "cut by a byte": raw[:-1],
        "cut to its head": raw[:first],
        "swapped": raw[:first] + raw[second:third] + raw[first:second] + raw[third:],
        "doubled": raw[:second] + raw[first:second] + raw[second:],
        "flipped": raw[: second + 100] + flip + raw[second + 101 :],
        "flipped in the head": raw[:30] + bytes([raw[30] ^ 1]) + raw[31:],
        "appended": raw + b"x",
        "appended a chunk": raw + raw[third:last],
    }


@pytest.mark.slow
def test_a_damaged_file_is_refused_and_nothing_is_left(town, tmp_path):
    source, sealed = tmp_path / "source", tmp_path / "sealed"
    source.write_bytes(os.urandom(200_000))
    town.release(*command("encrypt", source, sealed))
    raw = sealed.read_bytes()
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "kept").write_text("what was there before")
    # One release serves all: a file that fails does not use the request up.
    waiting = town.json(*command("decrypt", sealed, outputs / "out"), "--no-wait")
    town.approve(waiting["proposal"], "bob", "carol")
    town.sync("bob")
    for name, content in damaged(raw).items():
        sealed.write_bytes(content)
        for out in ("out", "kept"):
            words = (*command("decrypt", sealed, outputs / out), "--force", "--wait", "9")
            told = town.json(*words, code=5)
            assert told["error"] in {"invalid-signature", "malformed"}, name
            left = {path.name: path.read_bytes() for path in outputs.iterdir()}
            assert left == {"kept": b"what was there before"}, name
    sealed.write_bytes(raw)
    town.run(*command("decrypt", sealed, outputs / "kept"), "--force", "--wait", "9")
    assert (outputs / "kept").read_bytes() == source.read_bytes()


def test_a_file_of_another_key_or_no_such_file(town, tmp_path):
    source, sealed, out = tmp_path / "source", tmp_path / "sealed", tmp_path / "out"
    source.write_bytes(b"text")
    town.release(*command("encrypt", source, sealed))
    other = ("decrypt", "--profile", "app", "--key", "vault", "--reason", "r")
    told = town.run(*other, "--in", sealed, "--out", out, code=2)
    assert "payroll" in told.err
    town.run(*command("decrypt", tmp_path / "nothing", out), code=2)
    town.run(*command("encrypt", tmp_path, out), code=2)
    town.run(*command("encrypt", source, tmp_path / "no" / "such"), "--no-wait", code=2)
    assert not out.exists()


@contextlib.contextmanager
def small_disk(path):
    """A file system of 300 kB; root on Linux only."""
    path.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    if mounted:
        mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(path)]
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_leaves_nothing(town, tmp_path):
    source, sealed = tmp_path / "source", tmp_path / "sealed"
    source.write_bytes(os.urandom(400_000))
    with small_disk(tmp_path / "small") as disk:
        working = town.start(*command("encrypt", source, disk / "out"), "--wait", "50", "--json")
        (one,) = town.asked()
        town.approve(one["id"], "alice", "bob")
        town.sync("alice")
        outcome = working.wait()
        assert outcome.code == 1, str(outcome)
        assert "No space left" in outcome.document()["message"]
        assert "free some space" in outcome.err
        assert outcome.err.count("tally: ") == 1
        assert list(disk.iterdir()) == []
        assert os.statvfs(disk).f_bfree > 60, "and the space is free again"
    town.run(*command("encrypt", source, disk / "out"), "--wait", "9")
    town.run(*command("encrypt", source, sealed), "--no-wait")
    assert (disk / "out").stat().st_size > 400_000, "the same command finishes elsewhere"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_in_the_middle_leaves_nothing(town, tmp_path, number):
    source, outputs = tmp_path / "source", tmp_path / "outputs"
    outputs.mkdir()
    with source.open("wb") as file:
        file.truncate(3_000_000_000)  # zeros that take no space
    working = town.start(*command("encrypt", source, outputs / "out"), "--wait", "50", "--json")
    (one,) = town.asked()
    town.approve(one["id"], "alice", "bob")
    town.sync("alice")
    deadline = time.monotonic() + 60
    while not working.ended() and reads(working.pid) < 20_000_000:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert not working.ended(), "it is in the middle"
    working.send(number)
    outcome = working.wait()
    assert outcome.code == (-9 if number == signal.SIGKILL else 128 + number), str(outcome)
    assert list(outputs.iterdir()) == []
    if number != signal.SIGKILL:
        assert outcome.err.count("tally: ") == 1
        assert outcome.document()["error"] == "interrupted"


def reads(pid):
    """Bytes a process has read so far."""
    with open(f"/proc/{pid}/io") as file:  # noqa: PTH123
        return int(file.readline().split()[1])
