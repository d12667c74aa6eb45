"""What holds for every test: no silent skips in CI, no process left over, samples by a seed."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Generator, Iterator

import hypothesis
import pytest

import allowed_skips
import cpu_report
import leftovers
import walks
from process_rig import (  # noqa: F401 - fixtures, for every test that asks for them
    fork_server,
    formed,
    locked_town,
    nowhere,
    stopped_town,
    town,
)

# A run in the background of a shell ignores Ctrl-C, one under nohup the end of its terminal; what
# tests start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

REQUIRE_ALL = os.environ.get("TALLY_REQUIRE_ALL") == "1"

# In CI the examples are always the same ones: what fails there fails again from the log.
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, print_blob=True, database=None
)
hypothesis.settings.register_profile("dev", max_examples=40, deadline=None)
hypothesis.settings.register_profile(
    "walk", max_examples=walks.examples(100), deadline=None, print_blob=True
)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE")
    or ("walk" if walks.WHOLE else "ci" if REQUIRE_ALL else "dev")
)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(cpu_report.CpuReport(), "cpu_report")


def pytest_report_header() -> str:
    """The seed of samples; after a failure it is told once more (`-q` shows no header)."""
    return f"walks: {'whole' if walks.WHOLE else 'sampled'}, TALLY_WALK_SEED={walks.SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"the samples again: TALLY_WALK_SEED={walks.SEED}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A whole walk has its time."""
    if not walks.WHOLE:
        return
    for item in items:
        mark = item.get_closest_marker("timeout")
        usual = mark.args[0] if mark else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(usual * walks.MORE_TIME), append=False)


def _no_silent_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (REQUIRE_ALL and report.skipped) or hasattr(report, "wasxfail"):
        return
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = text.removeprefix("Skipped: ")
    if not allowed_skips.is_allowed(reason):
        report.outcome = "failed"
        report.longrepr = f"skipped although TALLY_REQUIRE_ALL=1: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_silent_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_silent_skip(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def no_process_left_over() -> Iterator[str]:
    """Every process a test starts carries the marker; none may be alive at the end."""
    marker = secrets.token_hex(8)
    os.environ[leftovers.MARKER] = marker
    if sys.platform != "linux":
        yield marker
        return
    leftovers.adopt_orphans()
    yield marker
    left = leftovers.wait_until_gone(marker)
    leftovers.kill(left)
    assert not left, f"tests left processes behind: {left}"
