"""Processes of `tally`: daemons that say `ready`, commands and what they print; all ended by pid.

For quickstart, the benchmarks and the tests. A command runs in a fork of this process, which has
loaded the program once (so forty of them take seconds), or as a program of its own. Nothing secret
is in the parent. Whatever ends the run, no process is left over.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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
_READY_SECONDS = 30.0
_STOP_SECONDS = 30.0
_LONGEST_SECONDS = 600.0  # of a command; those that wait for others end by themselves before
_PAUSE = 0.01
_TALLY = ("-m", "tigertally.cli.main")

Ending = Callable[[float], int | None]
"""Waits so many seconds for the end of a process: its exit code, or None while it runs."""


class StepFailed(TigertallyError):
    """A step of a run did not end as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"tally {' '.join(self.args)}: exit {self.code}\n{self.out}{self.err}"


@dataclass(kw_only=True)
class Command:
    """A process of `tally` and the files it writes to.

    Args:
        args: what it was started with.
        pid: its process id.
        ending: how its end is waited for.
        out: where its standard output goes.
        err: where its standard error goes; a daemon's may be the same file.
        since: how many bytes of `err` were there before it.
    """

    args: tuple[str, ...]
    pid: int
    ending: Ending
    out: Path
    err: Path
    since: int = 0
    _code: int | None = None

    def ended(self, seconds: float = 0.0) -> bool:
        """Return whether it has ended, or does within `seconds`."""
        if self._code is None:
            self._code = self.ending(seconds)
        return self._code is not None

    def wait(self, seconds: float = _LONGEST_SECONDS) -> Outcome:
        """Return its outcome.

        Raises:
            Unavailable: it goes on for longer than `seconds`.
        """
        if not self.ended(seconds) or self._code is None:
            raise Unavailable(f"still running: tally {' '.join(self.args)}\n{self.said()}")
        out = self.out.read_text(errors="replace")
        return Outcome(args=self.args, code=self._code, out=out, err=self.said())

    def said(self) -> str:
        """Return what it has written to standard error so far."""
        return self.err.read_bytes()[self.since :].decode(errors="replace")

    def await_ready(self) -> None:
        """Wait until a daemon says `ready`.

        Raises:
            Unavailable: it does not come up; says its last words.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            ended = self.ended()  # asked first: what it said before its end is there then
            if any(line.startswith("ready ") for line in self.said().splitlines()):
                return
            if ended or time.monotonic() >= deadline:
                raise Unavailable(f"{' '.join(self.args)} did not start: {self.said()[-300:]}")
            time.sleep(_PAUSE)

    def send(self, number: int) -> None:
        """Send it a signal, if it is still there: once waited for, its pid may be another's."""
        if not self.ended():
            with suppress(ProcessLookupError):  # another parent than us has waited for it just now
                os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> Outcome:
        """End it as a service manager would, by force if it does not go; its outcome."""
        self.send(number)
        if not self.ended(_STOP_SECONDS):
            self.send(signal.SIGKILL)
        return self.wait(_STOP_SECONDS)


def own_environment(**changes: str | None) -> dict[str, str]:
    """Return this process's environment without its person's settings; None takes a name away.

    PYTHONDONTWRITEBYTECODE stays behind too: without it daemons start twice as fast. The mark by
    which tests find their processes is passed on.
    """
    kept: dict[str, str | None] = {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith("TALLY_") or name == "TALLY_TEST_RUN")
        and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {name: value for name, value in {**kept, **changes}.items() if value is not None}


def spawned(
    program: tuple[str, ...],
    args: tuple[str, ...],
    *,
    environment: Mapping[str, str],
    out: Path,
    err: Path,
    folder: Path | None = None,
) -> Command:
    """Start a program of its own, which adds to these files and ends with this process.

    Args:
        program: Python's arguments that make it `tally`.
        args: the arguments of `tally`.
        environment: all of it.
        out: gets its standard output.
        err: gets its standard error; may be the same file.
        folder: where it runs; here if None.
    """
    with out.open("ab") as out_file, err.open("ab") as err_file:
        since = err_file.tell()
        process = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, *program, *args],
            stdin=subprocess.DEVNULL,
            stdout=out_file,
            stderr=err_file,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread of ours runs here
        )
    return Command(
        args=args, pid=process.pid, ending=_ending_of(process), out=out, err=err, since=since
    )


def forked(
    args: tuple[str, ...], *, environment: Mapping[str, str], out: Path, err: Path
) -> Command:
    """Start `tally ARGS` in a fork of this process, which must have no thread and no event loop."""
    with out.open("ab") as out_file, err.open("ab") as err_file:
        since = err_file.tell()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _become(list(args), out_file.fileno(), err_file.fileno(), environment)
    return Command(args=args, pid=pid, ending=_ending_of_child(pid), out=out, err=err, since=since)


def preload() -> None:
    """Load what the commands use, once for all forks."""
    for module in _COMMAND_MODULES:
        importlib.import_module(module)
    from tigertally.cli.main import preload as preload_command

    for name in COMMANDS:
        preload_command(name)


@dataclass(slots=True, kw_only=True)
class Processes:
    """A home with its profiles, and the processes on it; a context that ends them all.

    Args:
        home: becomes `TALLY_HOME`; daemons log there.
        passphrase: of everybody in it (they are made up; the passphrase is random).
        forks: commands are forks of this process, which must have no event loop then.
        daemons: those that run, by name.
    """

    home: Path
    passphrase: str
    forks: bool = True
    daemons: dict[str, Command] = field(default_factory=dict)
    _commands: dict[int, tuple[Command, ExitStack]] = field(default_factory=dict)

    def _environment(self) -> dict[str, str]:
        return own_environment(TALLY_HOME=str(self.home), TALLY_PASSPHRASE=self.passphrase)

    def launch(self, name: str, *args: str) -> Command:
        """Start a daemon as a program of its own; its `await_ready` waits for it."""
        log = self.home / f"{name}.log"
        started = spawned(_TALLY, args, environment=self._environment(), out=log, err=log)
        self.daemons[name] = started
        return started

    def fork(self, name: str, *args: str) -> Command:
        """Start a daemon in a fork; its `await_ready` waits for it."""
        log = self.home / f"{name}.log"
        started = forked(args, environment=self._environment(), out=log, err=log)
        self.daemons[name] = started
        return started

    def stop(self, name: str) -> None:
        """End a daemon."""
        self.daemons.pop(name).stop()

    def start(self, *args: str) -> Command:
        """Start a command."""
        files = ExitStack()
        out, err = _unnamed(files), _unnamed(files)
        if self.forks:
            started = forked(args, environment=self._environment(), out=out, err=err)
        else:
            started = spawned(_TALLY, args, environment=self._environment(), out=out, err=err)
        self._commands[started.pid] = started, files
        return started

    def finish(self, command: Command, *, code: int = 0) -> Outcome:
        """Wait for a command; afterwards what it printed is only in its outcome.

        Raises:
            StepFailed: it ended with another code than `code`.
        """
        outcome = command.wait()
        _, files = self._commands.pop(command.pid)
        files.close()
        if outcome.code != code:
            said = (outcome.err or outcome.out).strip().splitlines()
            last = said[-1].removeprefix("tally: ") if said else "no word"
            raise StepFailed(f"{' '.join(command.args[:2])} ended with {outcome.code}: {last}")
        return outcome

    def run(self, *args: str, code: int = 0) -> Outcome:
        """Run a command to its end. Raises as `finish`."""
        return self.finish(self.start(*args), code=code)

    def json(self, *args: str) -> Any:
        """Run a command and return its JSON document. Raises as `finish`."""
        return self.run(*args, "--json").document()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        running = [*(one for one, _ in self._commands.values()), *self.daemons.values()]
        for command in running:
            command.send(signal.SIGTERM)
        for command in running:
            command.stop()
        for _, files in self._commands.values():
            files.close()


def _unnamed(files: ExitStack) -> Path:
    """A file without a name: outputs (a PIN, say) are gone however this process ends."""
    return Path(f"/dev/fd/{files.enter_context(tempfile.TemporaryFile()).fileno()}")


def _ending_of(process: subprocess.Popen[bytes]) -> Ending:
    def ending(seconds: float) -> int | None:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    return ending


def _ending_of_child(pid: int) -> Ending:
    def ending(seconds: float) -> int | None:
        deadline = time.monotonic() + seconds
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_PAUSE)

    return ending


def _become(args: list[str], out: int, err: int, environment: Mapping[str, str]) -> None:
    """In the forked child: be `tally ARGS`, and never come back."""
    code = 1
    try:
        end_with_parent()
        os.setsid()
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
