"""Finds processes that tests started and left behind.

Two nets: a marker in the environment that every child inherits (also one that daemonised long
ago), and the family tree. A daemon that switched off ptrace hides its environment, so the test
process makes itself the reaper of orphans: whatever it started stays its descendant.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

MARKER = "TALLY_TEST_RUN"
_PR_SET_CHILD_SUBREAPER = 36
# Python starts this one for itself, once, and ends it when the interpreter ends.
_OWN_HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")


def adopt_orphans() -> None:
    """Make this process the reaper of its orphaned descendants (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def find(marker: str) -> dict[int, str]:
    """Living processes (pid and command line) that carry the marker or descend from us."""
    found: dict[int, str] = {}
    parents = _parents()
    for pid in parents:
        if pid == os.getpid() or not (_carries(pid, marker) or _descends(pid, parents)):
            continue
        command = _read(pid, "cmdline").replace(b"\0", b" ").strip()
        if command and not any(helper in command for helper in _OWN_HELPERS):
            found[pid] = command.decode(errors="replace")
    return found


def wait_until_gone(marker: str, *, seconds: float = 5.0) -> dict[int, str]:
    """What is still alive once everything had `seconds` to end."""
    deadline = time.monotonic() + seconds
    while (left := find(marker)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def kill(pids: dict[int, str]) -> None:
    """End exactly these processes."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _carries(pid: int, marker: str) -> bool:
    return f"{MARKER}={marker}".encode() in _read(pid, "environ").split(b"\0")


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid == os.getpid():
            return True
    return False


def _parents() -> dict[int, int]:
    """Process id to parent id of everything alive (no zombies)."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            stat = _read(int(folder.name), "stat").rpartition(b")")[2].split()
            if len(stat) > 1 and stat[0] != b"Z":
                parents[int(folder.name)] = int(stat[1])
    return parents


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it ended meanwhile, or it hides its environment
        return b""
