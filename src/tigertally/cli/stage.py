"""A stage for quickstart: real daemons and commands, each a process of its own, ended for sure.

The authority is started as anyone would start it. A person's command and a holder's daemon run in
forked children of this process, which has loaded the program once: so forty commands take seconds.
Nothing secret is in the parent. Whatever ends the run, no process is left over and the directory
goes (unless kept).
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tigertally.base.errors import TigertallyError, Unavailable
from tigertally.base.process import end_with_parent
from tigertally.cli.table import COMMANDS

# What commands and holders' daemons use; loaded once here, so that the forked children need not.
_COMMAND_MODULES = (
    "tigertally.cli.authority",
    "tigertally.cli.audit",
    "tigertally.cli.files",
    "tigertally.cli.holder",
    "tigertally.cli.key",
    "tigertally.cli.requester",
    "tigertally.cli.roster",
    "tigertally.cli.tally",
    "tigertally.cli.verdict",
    "tigertally.crypto.files",
    "tigertally.custody.client.keys",
    "tigertally.custody.client.unlock",
    "tigertally.custody.client.requester",
    "tigertally.custody.files",
    "tigertally.node.daemon",
    "tigertally.node.connect",
    "tigertally.node.recovery",
    "tigertally.quorum.member.join",
)
_WAITS = re.compile(r"waiting for holders to approve ([0-9a-f]{64})")
_LONGEST_WORD = 4096  # bytes of standard error that are looked through
_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0


class StepFailed(TigertallyError):
    """A command of the rehearsal did not end as it should."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Its JSON document."""
        return json.loads(self.out)


@dataclass(slots=True)
class Running:
    """A command that is still running in a child of ours."""

    pid: int
    args: list[str]
    out: IO[bytes]
    err: IO[bytes]

    def wait(self) -> Outcome:
        """Wait for its end."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (self.out, self.err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
            stream.close()
        return Outcome(code, *texts)


class Fork:
    """A daemon that runs in a child of ours: as much of `subprocess.Popen` as a stage needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:  # once waited for, its number may be another's
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("a daemon", timeout or 0)
            time.sleep(0.01)
        return code


@dataclass(slots=True)
class Stage:
    """A directory with its profiles, and the processes on it.

    Args:
        home: becomes `TALLY_HOME`.
        passphrase: of all people on the stage (they are made up; the passphrase is random).
    """

    home: Path
    passphrase: str
    daemons: dict[str, subprocess.Popen[bytes] | Fork] = field(default_factory=dict)
    children: list[Running] = field(default_factory=list)
    _starts: dict[str, int] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What daemons and commands see."""
        return {
            **{name: value for name, value in os.environ.items() if _passed_on(name)},
            "TALLY_HOME": str(self.home),
            "TALLY_PASSPHRASE": self.passphrase,
        }

    def preload(self) -> None:
        """Load what the commands use, once for all of them."""
        for module in _COMMAND_MODULES:
            importlib.import_module(module)
        from tigertally.cli.main import preload

        for name in COMMANDS:
            preload(name)

    def daemon(self, name: str, *args: str) -> None:
        """Start a daemon and wait until it says `ready`.

        Raises:
            Unavailable: it did not come up; says what it said.
        """
        self.launch(name, *args)
        self.await_ready(name)

    def fork(self, name: str, *args: str) -> None:
        """Start a daemon in a forked child; `await_ready` waits for it."""
        with (self.home / f"{name}.log").open("ab") as sink:
            self._starts[name] = sink.tell()
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                os.setsid()
                _become(list(args), sink.fileno(), sink.fileno(), self.environment())
        self.daemons[name] = Fork(pid)

    def launch(self, name: str, *args: str) -> None:
        """Start a daemon as a program of its own; `await_ready` waits for it."""
        log = self.home / f"{name}.log"
        with log.open("ab") as sink:
            self._starts[name] = sink.tell()
            self.daemons[name] = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-m", "tigertally.cli.main", *args],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self.environment(),
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread of ours runs here
            )

    def await_ready(self, name: str) -> None:
        """Wait until a daemon says `ready`; `Unavailable` with its last words if it does not."""
        log, start = self.home / f"{name}.log", self._starts[name]
        deadline = time.monotonic() + _READY_SECONDS
        process = self.daemons[name]
        while time.monotonic() < deadline:
            said = log.read_bytes()[start:].decode(errors="replace")
            if any(line.startswith("ready ") for line in said.splitlines()):
                return
            if process.poll() is not None:
                break
            time.sleep(0.01)
        raise Unavailable(f"{name} did not start: {said.strip()[-300:]}")

    def stop(self, name: str) -> None:
        """End a daemon as a service manager would."""
        process = self.daemons.pop(name)
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self, *args: str) -> Running:
        """Start a command in a child of its own."""
        out = tempfile.TemporaryFile()  # noqa: SIM115  closed by Running.wait
        err = tempfile.TemporaryFile()  # noqa: SIM115  closed by Running.wait
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _become(list(args), out.fileno(), err.fileno(), self.environment())
        running = Running(pid, list(args), out, err)
        self.children.append(running)
        return running

    def asked(self, running: Running) -> str:
        """The id of the proposal that a command waits for.

        Raises:
            StepFailed: it ended without asking for anything.
        """
        while True:
            said = os.pread(running.err.fileno(), _LONGEST_WORD, 0).decode(errors="replace")
            if found := _WAITS.search(said):
                return found[1]
            if os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self.finish(running)
                raise StepFailed(f"tally {' '.join(running.args[:2])} asked for nothing")
            time.sleep(0.01)

    def finish(self, running: Running, *, code: int = 0) -> Outcome:
        """Wait for a command.

        Raises:
            StepFailed: it ended with another code than `code`.
        """
        outcome = running.wait()
        self.children.remove(running)
        if outcome.code != code:
            said = (outcome.err or outcome.out).strip().splitlines()
            last = said[-1].removeprefix("tally: ") if said else "no word"
            raise StepFailed(f"{' '.join(running.args[:2])} ended with {outcome.code}: {last}")
        return outcome

    def run(self, *args: str, code: int = 0) -> Outcome:
        """Run a command to its end."""
        return self.finish(self.start(*args), code=code)

    def json(self, *args: str) -> Any:
        """Run a command and read its JSON document."""
        return self.run(*args, "--json").document()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for running in self.children:
            if running.pid:
                os.kill(running.pid, signal.SIGTERM)
                running.wait()
        self.children.clear()
        for process in self.daemons.values():
            process.terminate()
        for name in list(self.daemons):
            self.stop(name)


def _passed_on(name: str) -> bool:
    """Nobody's own settings reach the stage, but the mark by which tests find their processes.

    PYTHONDONTWRITEBYTECODE stays behind too: without it daemons start twice as fast.
    """
    if name.startswith("TALLY_"):
        return name == "TALLY_TEST_RUN"
    return name != "PYTHONDONTWRITEBYTECODE"


def _become(args: list[str], out: int, err: int, environment: dict[str, str]) -> None:
    """In the forked child: be `tally ARGS`, and never come back."""
    code = 1
    try:
        end_with_parent()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.environ.clear()
        os.environ.update(environment)
        from tigertally.cli import output
        from tigertally.cli.main import run

        output.reset()
        code = run(args)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
