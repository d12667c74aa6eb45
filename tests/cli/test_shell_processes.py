"""The shell as a process: what it loads, how it asks on a terminal, how signals end it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sources import ROOT
from tigertally.base.ids import Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.cli.table import COMMANDS
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.node.profile import create_profile, open_profile
from tigertally.quorum.card import Role

TALLY = [sys.executable, "-m", "tigertally.cli.main"]

# What `tally --help` may load of our own, and what it must not load of others.
OUR_MODULES = {
    "tigertally",
    "tigertally.base",
    "tigertally.base.errors",
    "tigertally.cli",
    "tigertally.cli.errors",
    "tigertally.cli.main",
    "tigertally.cli.output",
    "tigertally.cli.table",
}
HEAVY = {"aiohttp", "alembic", "asyncio", "cbor2", "cryptography", "nacl", "sqlalchemy", "ssl"}
LIST_MODULES = """
import sys
from tigertally.cli.main import run
code = run(sys.argv[1:])
sys.stderr.write("\\n".join(sys.modules))
sys.exit(code)
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TALLY_P")}
    source = str(ROOT / "src")
    return {**clean, "PYTHONPATH": source, "TALLY_HOME": str(home), "COLUMNS": "100", **more}


def modules_of(home: Path, *args: str, **more: str) -> set[str]:
    command = [sys.executable, "-c", LIST_MODULES, *args]
    done = subprocess.run(
        command, env=environment(home, **more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "tigertally"}


def test_help_loads_next_to_nothing(tmp_path):
    modules = modules_of(tmp_path, "--help")
    assert ours(modules) == OUR_MODULES
    assert not tops(modules) & HEAVY


def test_the_list_of_modules_sees_what_is_loaded(tmp_path):
    modules = modules_of(tmp_path, "version")
    assert {"cryptography", "nacl"} <= tops(modules)
    assert "tigertally.cli.version" in modules


def test_help_of_any_group_loads_no_work(tmp_path):
    there = [
        n for n, e in COMMANDS.items() if importlib.util.find_spec(e.module) and n != "version"
    ]
    program = "import sys; from tigertally.cli.main import load\n"
    program += f"for name in {there}: load(name)\n"
    program += "print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.split())
    assert {COMMANDS[name].module for name in there} <= modules
    assert not tops(modules) & (HEAVY - {"asyncio", "ssl"})


def completed(home: Path, words: str) -> list[str]:
    more = {"_TALLY_COMPLETE": "complete_bash", "COMP_WORDS": words}
    more["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    done = subprocess.run(
        TALLY, env=environment(home, **more), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def home(tmp_path):
    for name, role in {"alice": Role.HOLDER, "hq": Role.AUTHORITY}.items():
        create_profile(
            tmp_path / "home",
            Name(name),
            role=role,
            member=Name(name),
            passphrase=Secret(b"correct horse") if role is Role.HOLDER else None,
            randomness=SystemRandomness(),
            now=1_800_000_000,
            parameters=FOR_TESTS_ONLY,
        ).close()
    return tmp_path / "home"


def test_completion_of_commands_options_and_profiles(home):
    assert set(completed(home, "tally ")) >= set(COMMANDS)
    assert completed(home, "tally prof") == ["profile"]
    assert completed(home, "tally profile sh") == ["show"]
    assert completed(home, "tally profile show --js") == ["--json"]
    assert completed(home, "tally profile show --profile a") == ["alice"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_completion(tmp_path, shell):
    more = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [*TALLY, "--show-completion", shell],
        env=environment(tmp_path, **more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "_TALLY_COMPLETE" in done.stdout


# The first terminal that the leader of a session opens becomes its terminal.
TAKE_TERMINAL = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A process on a terminal of its own, and the person in front of it."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + 60
        while words not in self.seen:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._ours], [], [], max(0, left))
            assert ready, f"{words!r} did not come: {self.seen!r}"
            self.seen += self._read()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        while chunk := self._read():
            self.seen += chunk
        os.close(self._ours)
        return self.process.wait()

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode()
        except OSError:  # Linux says so when the other side is closed
            return ""


def change_at_terminal(home: Path) -> Terminal:
    return Terminal([*TALLY, "profile", "passphrase", "--profile", "alice"], environment(home))


def test_a_person_changes_the_passphrase_and_nothing_typed_is_shown(home):
    terminal = change_at_terminal(home)
    for question, answer in (
        ("Passphrase of profile alice: ", "correct horse"),
        ("New passphrase of profile alice: ", "battery staple"),
        ("The same again: ", "battery staple"),
    ):
        terminal.wait_for(question)
        terminal.type(answer + "\n")
    assert terminal.end() == 0, terminal.seen
    assert "profile alice has a new passphrase" in terminal.seen
    assert "horse" not in terminal.seen
    assert "battery" not in terminal.seen
    open_profile(home, Name("alice"), passphrase=lambda: Secret(b"battery staple")).close()


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2)], ids=["ctrl-c", "ctrl-d"])
def test_a_person_who_changes_their_mind(home, key, code):
    terminal = change_at_terminal(home)
    terminal.wait_for("Passphrase of profile alice: ")
    terminal.type(key)
    assert terminal.end() == code
    assert "Traceback" not in terminal.seen
    assert re.search(r"^tally: .*;", terminal.seen, re.MULTILINE)


def test_a_table_on_a_terminal(home):
    terminal = Terminal([*TALLY, "profile", "list"], environment(home))
    assert terminal.end() == 0
    assert "alice" in terminal.seen
    assert "─" in terminal.seen or "━" in terminal.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_with_one_line(home, number):
    pipe = home / "pipe"
    os.mkfifo(pipe)  # it waits here for its passphrase
    command = [*TALLY, "profile", "passphrase", "--profile", "alice", "--json"]
    process = subprocess.Popen(
        [*command, "--passphrase-file", str(pipe)],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    descriptor = os.open(pipe, os.O_WRONLY)  # opens only when the other side does
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    os.close(descriptor)
    assert process.returncode == 128 + number
    assert json.loads(out)["code"] == 128 + number
    assert err.startswith("tally: ")
    assert err.count("\n") == 1
