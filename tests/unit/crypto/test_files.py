from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tigertally.base.errors import UsageError
from tigertally.crypto import files
from tigertally.crypto.files import atomic_output, check_output, write_file


@pytest.fixture(params=["as this system does it", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory where files have a hidden name until finished, or none where that works."""
    if request.param == "named":
        monkeypatch.setattr(files, "create_nameless", lambda folder: None)
    return tmp_path


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_appears_complete_with_its_mode_and_nothing_beside_it(folder: Path) -> None:
    target = folder / "out.bin"
    with atomic_output(target) as file:
        file.write(b"one ")
        assert not target.exists()
        file.write(b"two" * 100_000)
    assert target.read_bytes() == b"one " + b"two" * 100_000
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert _names(folder) == ["out.bin"]


def test_mode_does_not_follow_the_umask(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        write_file(folder / "public", b"x", 0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "public").stat().st_mode) == 0o644


def test_until_finished_nobody_else_can_read_it(folder: Path) -> None:
    with atomic_output(folder / "out", 0o644) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


def test_replaces_an_older_file_only_at_the_end(folder: Path) -> None:
    target = folder / "out"
    write_file(target, b"old")
    with atomic_output(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert _names(folder) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_on_any_failure_nothing_is_left_and_the_old_file_stays(
    folder: Path, error: type[BaseException]
) -> None:
    write_file(folder / "old", b"old")
    for name in ("old", "new"):
        with pytest.raises(error), atomic_output(folder / name) as file:
            file.write(b"half")
            file.flush()
            raise error
    assert _names(folder) == ["old"]
    assert (folder / "old").read_bytes() == b"old"


def test_a_failing_rename_leaves_nothing(folder: Path) -> None:
    target = folder / "out"
    with pytest.raises(OSError, match="irectory"), atomic_output(target) as file:
        file.write(b"x")
        target.mkdir()
        (target / "inside").touch()
    assert _names(folder) == ["out"]


def test_a_symbolic_link_is_replaced_not_followed(folder: Path) -> None:
    (folder / "victim").write_bytes(b"untouched")
    (folder / "link").symlink_to(folder / "victim")
    write_file(folder / "link", b"new")
    assert (folder / "victim").read_bytes() == b"untouched"
    assert not (folder / "link").is_symlink()


def test_long_names_and_odd_names(folder: Path) -> None:
    names = ["n" * 255, "é" * 127, ".hidden", "with space", "虎符" * 42]
    for name in names:
        write_file(folder / name, name.encode())
    assert _names(folder) == sorted(names)


def test_relative_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write_file("here", b"x")
    write_file(Path("there"), b"y")
    assert _names(folder) == ["here", "there"]


def test_impossible_targets_are_the_callers_mistake(folder: Path) -> None:
    (folder / "file").touch()
    for target in (folder, folder / "missing" / "x", folder / "file" / "x"):
        with pytest.raises(UsageError):
            write_file(target, b"x")
    assert _names(folder) == ["file"]


CHILD = """
import sys
from tigertally.crypto import files
if sys.argv[2] == "named":
    files.create_nameless = lambda folder: None
with files.atomic_output(sys.argv[1]) as file:
    file.write(b"half of the plaintext" * 1000)
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["as this system does it", "named"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_process_leaves_nothing_a_killed_one_no_name(
    tmp_path: Path, kind: str, how: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "out"), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    during = _names(tmp_path)
    assert kind != "named" or len(during) == 1  # positive control: there is something to clean up
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    # Nobody can clean up after SIGKILL; what has no name is gone all the same.
    assert _names(tmp_path) == (during if how is signal.SIGKILL else [])
    assert "out" not in during


def test_an_unfinished_file_has_at_most_a_hidden_name(folder: Path) -> None:
    with atomic_output(folder / "out") as file:
        names = _names(folder)
        assert len(names) == os.fstat(file.fileno()).st_nlink
        assert all(name.startswith(".out.") and name.endswith(".partial") for name in names)


def test_where_nothing_can_be_written_is_said_before(tmp_path):
    check_output(tmp_path / "out")
    for path in (tmp_path, tmp_path / "no" / "out"):
        with pytest.raises(UsageError, match="cannot write"):
            check_output(path)


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_devices_are_refused(name):
    with pytest.raises(UsageError, match="not a file"):
        check_output(name)


def test_a_pipe_is_refused_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for refuse in (check_output, lambda path: write_file(path, b"secret")):
        with pytest.raises(UsageError, match="not a file"):
            refuse(pipe)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
