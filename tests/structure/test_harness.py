"""The test harness itself: skips are counted, leftovers are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import allowed_skips
import leftovers
import walks
from sources import ROOT, TESTS

SKIPS = f"""
import pytest, sys
sys.path.insert(0, {str(TESTS)!r})
import allowed_skips

def test_quietly_left_out():
    pytest.skip("no time today")

def test_oracle():
    allowed_skips.require_oracle("no_such_oracle", wheel=False)

@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    assert False
"""


def run_skips(folder: Path, *, require_all: str) -> str:
    (folder / "test_skips.py").write_text(SKIPS)
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text("utf-8"))
    (folder / "pytest.ini").write_text("[pytest]\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=folder,
        env={**os.environ, "TALLY_REQUIRE_ALL": require_all, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout


def test_a_skip_fails_when_everything_is_required(tmp_path):
    output = run_skips(tmp_path, require_all="1")
    assert "1 failed, 1 skipped, 1 xfailed" in output
    assert "skipped although TALLY_REQUIRE_ALL=1: no time today" in output
    assert f"TALLY_WALK_SEED={walks.SEED}" in output  # the same one in a process that it started


def test_a_skip_stays_a_skip_otherwise(tmp_path):
    assert "2 skipped, 1 xfailed" in run_skips(tmp_path, require_all="0")


def test_only_the_named_reasons_are_allowed():
    assert allowed_skips.is_allowed("no wheel for this Python: umbral-pre")
    assert allowed_skips.is_allowed("folder is not there: evidence")
    assert allowed_skips.is_allowed("folder is not there: suites")
    assert not allowed_skips.is_allowed("folder is not there: src")
    assert not allowed_skips.is_allowed("")
    with pytest.raises(ValueError, match="src"):
        allowed_skips.require_folder(ROOT, "src")


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_a_child_left_behind_is_found(no_process_left_over):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in leftovers.find(no_process_left_over)
    finally:
        child.kill()
        child.communicate()
    assert child.pid not in leftovers.wait_until_gone(no_process_left_over)


# Argument 1: whether to hide its environment, as our daemons do with PR_SET_DUMPABLE.
DAEMON = """
import ctypes, os, sys
if sys.argv[1] == "hide":
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print(os.getpid(), flush=True)
sys.stdin.read()
"""
# Starts the daemon without our marker, in a session of its own, and ends at once.
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, *sys.argv[1:]], start_new_session=True, env={})
"""


@linux
@pytest.mark.parametrize("mode", ["show", "hide"])
def test_an_orphan_without_the_marker_is_found(no_process_left_over, mode):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, "-c", DAEMON, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:  # leaving the block closes the daemon's input, which ends it
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        parent.wait()
        assert orphan in leftovers.find(no_process_left_over)
    assert orphan not in leftovers.wait_until_gone(no_process_left_over)
