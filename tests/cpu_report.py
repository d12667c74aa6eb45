"""Prints where a run's CPU time went: the total, and the most expensive files.

Counted are the test processes, the processes that they waited for, and the fork server with all
that it forked (`process_rig.ForkServer` names itself in `SERVERS`). A session's fixture, which many
files share, has a line of its own. `TALLY_CPU_REPORT=FILE` writes the seconds of every test as
JSON. Nothing is asserted: how long something takes says `bench`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

SERVERS: set[int] = set()
IMPORTS = "imports and collection"
CORES = 2  # what `make test` uses
MOST = 10
_TICK = os.sysconf("SC_CLK_TCK")


def spent() -> float:
    """CPU seconds so far: of this process, of those it waited for, of its fork servers."""
    return sum(os.times()[:4]) + sum(_of_process(pid) for pid in SERVERS)


def by_file(seconds: Counter[str]) -> Counter[str]:
    """The same, with the tests of a file together."""
    together: Counter[str] = Counter()
    for name, cost in seconds.items():
        together[name.partition("::")[0]] += cost
    return together


def lines(seconds: Counter[str], most: int = MOST) -> list[str]:
    """The report: what all of it and the most expensive files cost."""
    total = sum(seconds.values()) / 60
    head = f"CPU: {total:.1f} minutes, {total / CORES:.1f} per core of {CORES}"
    return [head, *(f"{cost:7.1f} s  {name}" for name, cost in by_file(seconds).most_common(most))]


def _of_process(pid: int) -> float:
    """Of one process and of its children that have ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # another system, or it is gone
        return 0.0
    return sum(int(ticks) for ticks in stat.rpartition(")")[2].split()[11:15]) / _TICK


class CpuReport:
    """A plugin; xdist's workers send what they counted to the first process, which prints."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._file = os.environ.pop("TALLY_CPU_REPORT", "")  # not for a pytest that a test starts
        self._booked = 0.0
        self._now_in = IMPORTS

    def _book(self, name: str) -> None:
        """All that was spent since the last time went into this."""
        now = spent()
        self.seconds[name] += now - self._booked
        self._booked = now

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        self._book(IMPORTS)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._now_in = item.nodeid
        result = yield
        self._book(self._now_in)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        if fixturedef.scope != "session":
            return (yield)
        self._book(self._now_in)
        result = yield
        self._book(f"fixture {fixturedef.argname}")
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.pluginmanager.hasplugin("dsession"):
            return  # the workers have told; here they would count once more, as children
        self._book("the end of the session")
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["cpu"] = dict(self.seconds)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        output: dict[str, dict[str, float]] = getattr(node, "workeroutput", None) or {}
        self.seconds.update(output.get("cpu", {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if hasattr(terminalreporter.config, "workerinput"):
            return
        terminalreporter.section("CPU time")
        for line in lines(self.seconds):
            terminalreporter.write_line(line)
        if self._file:
            Path(self._file).write_text(json.dumps(dict(self.seconds.most_common()), indent=0))
