"""A domain of real processes on real files, for integration and CLI tests.

`town` is the fixture: a fresh copy of a formed 2-of-3 domain (authority `hq`; holders `alice`,
`bob`, `carol`; requester `app`; keys `payroll` in suite pedersen-ed25519 and `vault` in
shamir-gf256), formed once per test process. The authority is up and unlocked. `locked_town` has it
up but locked; `nowhere` is an empty home on which anything may be built. What a test started ends
with it.

Commands and daemons are forks of a server that has loaded the program (`fork_server`), unless
`started_anew` is asked for: then Python starts from nothing. Passphrases are cheap to try
(`cheap_tally.py`), nothing else is.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import cpu_report
from fork_server import MAX_PACKET
from sources import ROOT
from terminal import Terminal
from tigertally.base.ids import Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.cli import processes
from tigertally.cli.processes import Outcome, own_environment, spawned
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.node.profile import create_profile
from tigertally.quorum.card import Role

PASSPHRASE = "correct horse battery"
HOLDERS = ("alice", "bob", "carol")
THRESHOLD = 2
SECONDS = 60.0  # nothing a test waits for takes longer
# Ports that the system gives to nobody by itself, so that an authority finds its own again.
_PORTS = range(20_000, 32_000)


class Command(processes.Command):
    """A running process of `tally`, as tests watch it."""

    def wait(self, seconds: float = SECONDS) -> Outcome:
        """Its outcome; `Unavailable` if it goes on for longer than a test waits."""
        return super().wait(seconds)

    def await_words(self, words: str, seconds: float = SECONDS) -> str:
        """Wait until it says something (a regular expression); the line it is in."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(f"^.*(?:{words}).*$", self.said(), re.MULTILINE)
            if found:
                return found[0]
            ended = self.ended()
            assert not ended or re.search(words, self.said(), re.MULTILINE), str(self.wait())
            assert time.monotonic() < deadline, f"never said {words!r}:\n{self.said()}"
            time.sleep(0.005)

    def kill(self) -> None:
        """`kill -9`."""
        self.stop(signal.SIGKILL)


def _ending_of(connection: socket.socket) -> processes.Ending:
    """How the end of a process is waited for that the fork server tells of."""

    def ending(seconds: float) -> int | None:
        connection.settimeout(max(seconds, 0.0001))
        try:
            packet = connection.recv(1000)
        except (TimeoutError, BlockingIOError):
            return None
        connection.close()
        return json.loads(packet)["code"] if packet else -signal.SIGKILL

    return ending


@dataclass
class OnTerminal:
    """A command at a terminal, and the person there."""

    terminal: Terminal
    command: Command

    def asked(self, question: str) -> str:
        """Wait for a question; all that is shown with it."""
        return self.terminal.await_text(re.escape(question) + r" \[y/N\] $")

    def answer(self, keys: str) -> Outcome:
        """Press keys and wait for the end; what was shown is the outcome's `err`."""
        self.terminal.type(keys)
        return self.wait()

    def wait(self) -> Outcome:
        """Its outcome; what was shown is its `err`, what went to a file is its `out`."""
        shown = self.terminal.read_to_end()
        assert "Traceback" not in shown, shown
        return replace(self.command.wait(), err=shown)


class ForkServer:
    """The process that forks; one per test process, started when first needed.

    `program` is the folder that the program is imported from: another one is another version of it.
    """

    def __init__(self, program: Path = ROOT / "src") -> None:
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="tally-forks-"))
        self.path = self.folder / "socket"
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "fork_server.py"), str(self.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=own_environment(PYTHONPATH=str(program)),
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n"
        cpu_report.SERVERS.add(self._process.pid)

    def fork(
        self,
        args: tuple[str, ...],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        terminal: Terminal | None = None,
    ) -> Command:
        """Start `tally ARGS`; on a terminal, but for standard output with `--json`."""
        out, err = log.with_suffix(".out"), log.with_suffix(".err")
        packet = {"args": args, "environment": dict(environment), "folder": str(folder)}
        raw = json.dumps(packet).encode()
        assert len(raw) < MAX_PACKET
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(str(self.path))
        nowhere = Path(os.devnull)
        with out.open("wb") as out_file, err.open("wb") as err_file, nowhere.open("rb") as nothing:
            files = [nothing.fileno(), out_file.fileno(), err_file.fileno()]
            if terminal is not None:
                ends = [terminal.far] * 3
                files = [ends[0], files[1] if "--json" in args else ends[1], ends[2]]
            socket.send_fds(connection, [raw], files)
        pid = json.loads(connection.recv(1000))["pid"]
        if terminal is not None:
            terminal.started()
        return Command(args=args, pid=pid, ending=_ending_of(connection), out=out, err=err)

    def close(self) -> None:
        """End it, and with it whatever it forked."""
        self._process.kill()
        self._process.wait()
        cpu_report.SERVERS.discard(self._process.pid)
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Town:
    """One home with its processes."""

    home: Path
    server: ForkServer
    port: int
    fingerprint: str = ""
    authority: Command | None = None
    commands: list[Command] = field(default_factory=list)
    terminals: list[Terminal] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def where(self) -> tuple[str, ...]:
        """The options that say where the authority is."""
        return ("--url", self.url, "--fingerprint", self.fingerprint)

    def environment(self, **changes: str | None) -> dict[str, str]:
        """What processes see; a change to None takes a variable away."""
        usual: dict[str, str | None] = {
            "PYTHONPATH": str(self.server.program),
            "TALLY_HOME": str(self.home),
            "TALLY_PASSPHRASE": PASSPHRASE,
            "COLUMNS": "100",
        }
        return own_environment(**{**usual, **changes})

    def start(
        self, *args: str | Path, started_anew: bool = False, **environment: str | None
    ) -> Command:
        """Start `tally ARGS`."""
        words = tuple(str(arg) for arg in args)
        log = self._log(words)
        folder = self.home.parent
        if started_anew:
            command = _anew(words, self.environment(**environment), folder, log)
        else:
            command = self.server.fork(words, self.environment(**environment), folder, log)
        self.commands.append(command)
        return command

    def _log(self, words: tuple[str, ...]) -> Path:
        logs = self.home.parent / "logs"
        logs.mkdir(exist_ok=True)
        return logs / f"{next(self._numbers):03}-{'-'.join(Path(word).name for word in words[:2])}"

    def at_terminal(
        self,
        *args: str | Path,
        columns: int = 100,
        rows: int = 50,
        **environment: str | None,
    ) -> OnTerminal:
        """Start `tally ARGS` at a terminal of its own; with `--json` only standard output is not.

        It does not say how wide it is by COLUMNS: the terminal itself does.
        """
        terminal = Terminal(columns, rows)
        self.terminals.append(terminal)
        environment = {"COLUMNS": None, "TERM": "xterm", "NO_COLOR": "1", **environment}
        words = tuple(str(arg) for arg in args)
        folder = self.home.parent
        command = self.server.fork(
            words, self.environment(**environment), folder, self._log(words), terminal
        )
        self.commands.append(command)
        return OnTerminal(terminal, command)

    def run(self, *args: str | Path, code: int = 0, **environment: str | None) -> Outcome:
        """Run `tally ARGS` to its end and expect this exit code."""
        outcome = self.start(*args, **environment).wait()
        assert outcome.code == code, str(outcome)
        assert "Traceback" not in outcome.err, outcome.err
        return outcome

    def json(self, *args: str | Path, code: int = 0, **environment: str | None) -> Any:
        """Run `tally ARGS --json`; its document."""
        return self.run(*args, "--json", code=code, **environment).document()

    def make_authority(self, *, threshold: int = THRESHOLD, unlock: int = 1) -> str:
        """A new domain's authority, up; returns the PIN."""
        made = self.json(
            *("authority", "init", "--profile", "hq", "--listen", f"127.0.0.1:{self.port}"),
            *("--threshold", str(threshold), "--unlock", str(unlock)),
        )
        self.fingerprint = made["fingerprint"]
        self.authority_up()
        return str(made["pin"])

    def authority_up(self, *, started_anew: bool = False, **environment: str) -> Command:
        """Start the authority; it comes up locked if it has a domain."""
        args = ("authority", "run", "--profile", "hq")
        self.authority = self.start(*args, started_anew=started_anew, **environment)
        self.authority.await_ready()
        return self.authority

    def authority_down(self) -> None:
        """Stop it as a service manager would."""
        assert self.authority is not None
        outcome = self.authority.stop()
        assert outcome.code == 0, str(outcome)
        self.authority = None

    def holder_up(self, name: str, *, started_anew: bool = False) -> Command:
        """Start a holder's daemon."""
        args = ("holder", "run", "--profile", name)
        command = self.start(*args, started_anew=started_anew)
        command.await_ready()
        return command

    def person(self, name: str, role: Role = Role.HOLDER) -> None:
        """A profile with a passphrase that is cheap to try; it has not enrolled yet."""
        create_profile(
            self.home,
            Name(name),
            role=role,
            member=Name(name),
            passphrase=Secret(PASSPHRASE.encode()),
            randomness=SystemRandomness(),
            now=int(time.time()),
            parameters=FOR_TESTS_ONLY,
        ).close()

    def enrol(self, name: str, role: Role = Role.HOLDER, *, by: tuple[str, ...]) -> Any:
        """Ask, have it approved by these, and finish."""
        if not (self.home / name).exists():
            self.person(name, role)
        enrol = (role.value, "enrol", "--profile", name, *self.where)
        asked = self.json(*enrol, "--no-wait")
        self.approve(asked["proposal"], *by)
        return self.json(*enrol)

    def approve(self, proposal: str, *by: str) -> Any:
        """Several approve, one after the other; what the last one was told."""
        for name in by:
            told = self.json("holder", "approve", proposal, "--profile", name)
        return told

    def form(self) -> None:
        """The 2-of-3 domain with its requester."""
        founder, *others = HOLDERS
        self.person(founder)
        pin = self.make_authority()
        self.run("holder", "enrol", "--profile", founder, *self.where, "--pin", pin)
        for number, name in enumerate(others, start=1):
            self.enrol(name, by=HOLDERS[:number][:THRESHOLD])
        self.enrol("app", Role.REQUESTER, by=HOLDERS[:THRESHOLD])

    def create(self, key: str, *options: str) -> None:
        """Make a key; all holders have it."""
        asked = self.json("key", "create", key, "--profile", "alice", "--no-wait", *options)
        self.approve(asked["proposal"], "bob")
        self.sync()
        self.await_active(key)

    def await_active(self, key: str) -> None:
        """Sync until a key is active; the one-shot child needs a moment."""
        deadline = time.monotonic() + SECONDS
        while self.json("key", "show", key, "--profile", "alice")["state"] != "active":
            assert time.monotonic() < deadline, f"{key} does not become active"
            self.sync()

    def sync(self, *names: str) -> None:
        """These holders sync, all by default."""
        for name in names or HOLDERS:
            self.run("holder", "sync", "--profile", name)

    def unlock(self, by: str = "alice") -> None:
        """A holder unlocks the authority."""
        self.run("holder", "unlock", "--profile", by)

    def asked(self, kind: str = "custody.release", holder: str = "alice", number: int = 1) -> Any:
        """The open proposals of one kind, once there are this many."""
        deadline = time.monotonic() + SECONDS
        while True:
            inbox = self.json("holder", "inbox", "--profile", holder)
            found = [one for one in inbox if one["kind"] == kind]
            if len(found) >= number:
                return found
            assert time.monotonic() < deadline, f"no {kind} in the inbox"

    def release(
        self, *args: str | Path, by: tuple[str, ...] = ("alice", "bob"), code: int = 0
    ) -> Any:
        """Run a command that waits for a release, approved by these; its document."""
        working = self.start(*args, "--wait", "50", "--json")
        (proposal,) = self.asked()
        self.approve(proposal["id"], *by)
        self.sync(*by)
        outcome = working.wait()
        assert outcome.code == code, str(outcome)
        return outcome.document()

    def releases(self, *commands: tuple[str | Path, ...]) -> list[Outcome]:
        """How several commands that wait for releases end; alice and bob approve them all."""
        running = [self.start(*words, "--wait", "55", "--json") for words in commands]
        for one in self.asked(number=len(commands)):
            self.approve(one["id"], "alice", "bob")
        self.sync("alice")
        return [command.wait() for command in running]

    def get(
        self, key: str, out: Path, *options: str, by: tuple[str, ...] = ("alice", "bob")
    ) -> Any:
        """`key get`, approved."""
        words = ("key", "get", key, "--profile", "app", "--reason", f"for {out.name}")
        return self.release(*words, "--out", out, *options, by=by)

    def state(self) -> dict[str, Any]:
        """What must not change when something is refused."""
        status = self.json("authority", "status", "--profile", "hq")
        keys = self.json("key", "list", "--profile", "app")
        tallies = self.json("tally", "list", "--profile", "alice")
        return {
            "roster": status["roster_hash"],
            "state": status["state"],
            "keys": [(key["key"], key["version"], key["state"], key["epoch"]) for key in keys],
            "proposals": [(one["id"], one["state"], one["approvals"]) for one in tallies],
        }

    def end(self) -> None:
        """End every process of this home."""
        for command in self.commands:
            command.send(signal.SIGTERM)
        for command in self.commands:
            command.stop()
        for terminal in self.terminals:
            terminal.close()


def _anew(
    words: tuple[str, ...], environment: Mapping[str, str], folder: Path, log: Path
) -> Command:
    started = spawned(
        (str(ROOT / "tests" / "cheap_tally.py"),),
        words,
        environment=environment,
        out=log.with_suffix(".out"),
        err=log.with_suffix(".err"),
        folder=folder,
    )
    return Command(**vars(started))


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A TCP port of ours: whoever has the UDP port of the same number has it."""
    order = list(_PORTS)
    offset = int.from_bytes(os.urandom(4)) % len(order)
    for port in order[offset:] + order[:offset]:
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        with mark:
            yield port
        return
    raise RuntimeError("no free port")


@pytest.fixture(scope="session")
def fork_server(no_process_left_over: str) -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def formed(
    fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, int, str]]:
    """The formed domain, stopped: its home, its port, its fingerprint."""
    with reserved_port() as port:
        town = Town(tmp_path_factory.mktemp("formed") / "home", fork_server, port)
        try:
            town.form()
            town.create("payroll")
            town.create("vault", "--suite", "shamir-gf256")
            town.authority_down()
        finally:
            town.end()
        yield town.home, port, town.fingerprint


def _copy(formed: tuple[Path, int, str], server: ForkServer, path: Path) -> Town:
    home, port, fingerprint = formed
    shutil.copytree(home, path / "home")
    return Town(path / "home", server, port, fingerprint)


@pytest.fixture
def stopped_town(
    formed: tuple[Path, int, str], fork_server: ForkServer, tmp_path: Path
) -> Iterator[Town]:
    town = _copy(formed, fork_server, tmp_path)
    yield town
    town.end()


@pytest.fixture
def locked_town(stopped_town: Town) -> Town:
    stopped_town.authority_up()
    return stopped_town


@pytest.fixture
def town(locked_town: Town) -> Town:
    locked_town.unlock()
    return locked_town


@pytest.fixture
def nowhere(fork_server: ForkServer, tmp_path: Path) -> Iterator[Town]:
    with reserved_port() as port:
        town = Town(tmp_path / "home", fork_server, port)
        yield town
        town.end()
