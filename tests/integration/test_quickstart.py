"""Quickstart on real processes: what it says, and that nothing is left over however it ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest

import leftovers
from tigertally.cli.processes import Processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def processes():
    """Daemons and commands of tally that are ours."""
    marker = os.environ[leftovers.MARKER]
    programs = ("cheap_tally.py", "tigertally.cli.main")
    found = leftovers.find(marker).items()
    return {pid: words for pid, words in found if any(name in words for name in programs)}


def none_left():
    deadline = time.monotonic() + 20
    while (left := processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    leftovers.kill(left)
    return not left


def start(nowhere, tmp_path, *options):
    """Quickstart as a process of its own; its temporary files go to a folder that we look into."""
    temporary = tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {"TALLY_PASSPHRASE": None, "TALLY_HOME": None, "TMPDIR": str(temporary)}
    return nowhere.start("quickstart", "--json", *options, started_anew=True, **environment)


def test_it_does_the_main_job_with_my_file_and_keeps_all_on_request(nowhere, tmp_path):
    mine, folder = tmp_path / "mine", tmp_path / "folder"
    mine.write_bytes(os.urandom(200_000))
    content = mine.read_bytes()
    outcome = start(nowhere, tmp_path, "--file", mine, "--dir", folder, "--keep").wait(200)
    assert outcome.code == 0, str(outcome)
    document = outcome.document()
    assert document["ok"] is True
    assert Path(document["dir"]) == folder
    assert len(document["steps"]) >= 11
    said = [step["what"] for step in document["steps"]]
    order = ("encrypted", "vote it out", "joins", "restarted", "unlocks", "decrypted", "offline")
    places = [next(i for i, what in enumerate(said) if word in what) for word in order]
    assert places == sorted(places), "a holder goes and one comes before the file is decrypted"
    for step in document["steps"]:
        assert set(step) == {"capability", "what", "ok", "seconds"}
        assert step["ok"] is True
    assert none_left()
    assert mine.read_bytes() == content
    assert (folder / "records.again").read_bytes() == content
    assert content[:100] not in (folder / "records.tally").read_bytes()
    logs = [log.read_text("utf-8") for log in folder.glob("*.log")]
    assert any('"event": "waiting"' in log for log in logs)  # fina is waited for by its name
    assert not any('"event": "fault"' in log for log in logs), "nobody is at fault in a rehearsal"
    listed = nowhere.json("profile", "list", TALLY_HOME=str(folder))
    assert len(listed) == 8
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
    assert list((tmp_path / "temporary").iterdir()) == []
    again = start(nowhere, tmp_path, "--dir", folder).wait()
    assert again.code == 2, "it begins with nothing"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_it_leaves_nothing(nowhere, tmp_path, number):
    command = start(nowhere, tmp_path)
    command.await_words("three holders enrol")
    deadline = time.monotonic() + 60
    while len(processes()) < 3:  # itself, the authority, a holder
        assert time.monotonic() < deadline
        time.sleep(0.01)
    command.send(number)
    outcome = command.wait(30)
    assert none_left()
    if number == signal.SIGKILL:
        return  # its directory stays: nobody could remove it
    assert outcome.code == 128 + number, str(outcome)
    assert outcome.document()["error"] == "interrupted"
    assert outcome.err.count("tally: ") == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_when_a_daemon_dies_it_says_so_and_leaves_nothing(nowhere, tmp_path):
    command = start(nowhere, tmp_path)
    command.await_words("three holders enrol")
    (authority,) = [pid for pid, words in processes().items() if "authority run" in words]
    os.kill(authority, signal.SIGKILL)
    outcome = command.wait(100)
    assert none_left()
    assert outcome.code in {1, 4}, str(outcome)
    document = json.loads(outcome.out)
    assert document["ok"] is False
    assert document["steps"][-1]["ok"] is False
    assert "steps" in document
    assert outcome.err.count("tally: ") == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_file_that_is_not_there(nowhere, tmp_path):
    outcome = start(nowhere, tmp_path, "--file", tmp_path / "nothing").wait()
    assert outcome.code == 2, str(outcome)
    assert none_left()


def test_what_commands_print_has_no_name_on_the_disk(tmp_path, monkeypatch):
    """A PIN is among it: nothing may be left, however quickstart itself ends."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Processes(home=tmp_path / "home", passphrase="x", forks=False) as processes:
        command = processes.start("--version")
        assert command.wait().out.startswith("tally ")
        assert list(tmp_path.iterdir()) == []


def test_what_a_finished_command_printed_is_kept_no_longer(tmp_path):
    """However many commands are run, no file of theirs stays open."""
    with Processes(home=tmp_path, passphrase="x", forks=False) as processes:
        processes.run("--version")
        before = len(list(Path("/proc/self/fd").iterdir()))
        assert processes.run("--version").out.startswith("tally ")
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        processes.start("--version")
        assert len(list(Path("/proc/self/fd").iterdir())) > before, "or nothing is counted"
