"""Runs the ```console blocks of a page, one shell from top to bottom, and compares what is shown.

In a block a line after `$ ` is a command (a closing `\\` continues it), all other lines are what it
prints, both streams together. `...` stands for any text inside a line, and on a line of its own
for any lines; a number of seconds with two digits behind the point (`1.42`) for any such number. A
command with no lines below it may print anything. `# exit 4` behind a command is the exit code that
is expected instead of 0. Where a page shows `[y/N]` with an answer behind it, the command runs at a
terminal and the answer is typed there; otherwise there is none. A command that ends in `&` goes on
in the background; the lines below it are awaited before the next command.

The shell runs in an empty folder with its own TALLY_HOME, ports of the page are replaced by free
ones, and everything it started ends with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit (\d+)$")
_ANSWERED = re.compile(r"^.*\? \[y/N\] (\S+)$")
_PORT = re.compile(r"127\.0\.0\.1:(\d{4,5})")
_SECONDS = re.compile(r"(?<![\w.])\d+\.\d\d(?![\w.])")


# A page is run as a person would run it, not as a part of the make that runs the tests.
_OUTER_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of a page and what the page says it prints."""

    command: str
    expected: tuple[str, ...] = ()
    code: int = 0

    @property
    def answer(self) -> str | None:
        """What a person types at the terminal; None if the command needs none."""
        answers = [found[1] for line in self.expected if (found := _ANSWERED.match(line))]
        return answers[0] if answers else None

    @property
    def in_background(self) -> bool:
        return self.command.endswith("&") and not self.command.endswith("&&")


def steps_of(page: str) -> list[Step]:
    """The commands of all console blocks of a page, in order."""
    steps: list[Step] = []
    for block in _BLOCK.findall(page):
        lines = iter(block.splitlines())
        for line in lines:
            if not line.startswith("$ "):
                if not steps:
                    raise ValueError("a console block begins with a command")
                steps[-1] = Step(
                    command=steps[-1].command,
                    code=steps[-1].code,
                    expected=(*steps[-1].expected, line),
                )
                continue
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1].rstrip() + " " + next(lines).removeprefix("> ").strip()
            code = _EXIT.search(command)
            steps.append(
                Step(command=_EXIT.sub("", command).rstrip(), code=int(code[1]) if code else 0)
            )
    return steps


def matches(expected: tuple[str, ...], printed: str) -> bool:
    """Whether the page's lines describe what was printed; only spaces at line ends are forgiven."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r".*?".join(map(_pattern, line.rstrip().split("..."))) + r"\s*\n")
    text = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    return re.fullmatch("".join(parts), text) is not None


def _pattern(text: str) -> str:
    return r"\d+\.\d\d".join(map(re.escape, _SECONDS.split(text)))


@dataclass
class Shell:
    """One bash in a folder of its own. Use as a context manager: leaving it ends what it began.

    Args:
        fork_server: the socket of the server that runs `tally`; without it Python starts anew.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 90.0
    fork_server: Path | None = None

    def __enter__(self) -> Self:
        self._ports: dict[str, str] = {}
        self._background = 0
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.killpg(self._bash.pid, signal.SIGTERM)  # its own session: nothing else is in it
        time_left = time.monotonic() + 5
        while self._group_lives() and time.monotonic() < time_left:
            time.sleep(0.02)
        if self._group_lives():
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()

    def run(self, step: Step) -> None:
        """Run one step; `AssertionError` when it does something else than the page says."""
        if step.in_background:
            printed, code = self._start(step), step.code
        else:
            at_terminal = f"person {step.answer} " if step.answer else ""
            printed, code = self._call(self._with_free_ports(at_terminal + step.command))
        printed = self._with_page_ports(printed)
        assert code == step.code, f"$ {step.command}\nexit {code}, not {step.code}\n{printed}"
        if step.expected:
            wanted = "\n".join(step.expected)
            shown = f"$ {step.command}\n--- the page\n{wanted}\n--- printed\n{printed}"
            assert matches(step.expected, printed), shown

    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        commands = self.folder / ".bin"
        commands.mkdir(exist_ok=True)
        tally = commands / "tally"
        if self.fork_server is None:
            tally.write_text(
                f"#!{sys.executable}\nimport sys\nfrom tigertally.cli.main import main\n"
                "sys.argv[0] = 'tally'\nmain()\n"
            )
        else:
            client = Path(__file__).with_name("fork_client.py")
            words = (sys.executable, "-I", "-S", str(client), str(self.fork_server))
            tally.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        person = commands / "person"
        words = (sys.executable, str(Path(__file__).with_name("person.py")))
        person.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        for script in (tally, person):
            script.chmod(0o755)
        source = Path(__file__).parents[1] / "src"
        return {
            **{name: value for name, value in os.environ.items() if name not in _OUTER_MAKE},
            "HOME": str(home),
            "TALLY_HOME": str(home / ".tigertally"),
            "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(source),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "100",
            "NO_COLOR": "1",
            **self.environment,
        }

    def _call(self, command: str) -> tuple[str, int]:
        mark = secrets.token_hex(8)
        assert self._bash.stdin is not None
        # The exit code of the command, then the mark on a line of its own.
        self._bash.stdin.write(f"{command}\nprintf '\\n%s %d\\n' {mark} $?\n".encode())
        self._bash.stdin.flush()
        printed = self._read_until(re.compile(rb"\n" + mark.encode() + rb" (\d+)\n"), command)
        text, _, rest = printed.rpartition(f"\n{mark} ")
        return text, int(rest)

    def _read_until(self, end: re.Pattern[bytes], command: str) -> str:
        assert self._bash.stdout is not None
        out, deadline = b"", time.monotonic() + self.seconds
        while not end.search(out):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._bash.stdout], [], [], max(left, 0))
            chunk = os.read(self._bash.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                why = "the shell ended" if ready else f"no end after {self.seconds:.0f} s"
                raise AssertionError(f"$ {command}\n{why}\n{out.decode(errors='replace')}")
            out += chunk
        return out.decode(errors="replace")

    def _start(self, step: Step) -> str:
        self._background += 1
        log = self.folder / f".background-{self._background}"
        command = self._with_free_ports(step.command.rstrip("& "))
        _, code = self._call(f"{command} > '{log}' 2>&1 < /dev/null &")
        assert code == 0, step.command
        deadline = time.monotonic() + self.seconds
        while step.expected:
            printed = log.read_text(errors="replace") if log.exists() else ""
            if matches(step.expected, self._with_page_ports(printed)):
                return printed
            if time.monotonic() > deadline:
                return printed
            time.sleep(0.02)
        return ""

    def _with_free_ports(self, text: str) -> str:
        for port in _PORT.findall(text):
            if port not in self._ports:
                with socket.create_server(("127.0.0.1", 0)) as server:
                    self._ports[port] = str(server.getsockname()[1])
        return _PORT.sub(lambda found: f"127.0.0.1:{self._ports[found[1]]}", text)

    def _with_page_ports(self, text: str) -> str:
        for page, real in self._ports.items():
            text = text.replace(f"127.0.0.1:{real}", f"127.0.0.1:{page}")
        return text

    def _group_lives(self) -> bool:
        if self._bash.poll() is not None:
            with contextlib.suppress(ChildProcessError):  # orphans that came to us, see leftovers
                while os.waitpid(-self._bash.pid, os.WNOHANG)[0]:
                    pass
        try:
            os.killpg(self._bash.pid, 0)
        except ProcessLookupError:
            return False
        return True
