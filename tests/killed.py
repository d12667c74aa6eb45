"""A function in a child process that kills itself, -9, at a chosen call to the system.

    result = killed_at(7, work, half=False)

For walks over every step of something that writes files: no step is left out, none is chosen by
time. `half` kills in the middle of a write, when half of its bytes are in the file.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

# Every call of `os` by which files come to be, change, or get another name.
CALLS = (
    *("open", "write", "pwrite", "ftruncate", "fsync", "fchmod", "fchown", "setxattr"),
    *("removexattr", "link", "rename", "replace", "unlink", "mkdir", "rmdir"),
)
_WRITES = {"write": 1, "pwrite": 1}  # where the bytes stand among the arguments


def steps_of(work: Callable[[], object]) -> int:
    """How many calls a run makes that nobody kills."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            count = _watch(None, half=False)
            work()
            os.write(write, str(count[0]).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        said = told.read()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the run fails also if nobody kills it"
    return int(said) - 1  # the last one told it


def killed_at(step: int, work: Callable[[], object], *, half: bool) -> bool:
    """Run in a child until the step; whether it was killed there (else it was over before)."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _watch(step, half=half)
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def _watch(last: int | None, *, half: bool) -> list[int]:
    """Count the calls of this process from now on, and kill it at the last one."""
    count = [0]

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            if count[0] == last:
                if half and name in _WRITES:
                    place = _WRITES[name]
                    part = bytes(args[place])[: len(args[place]) // 2]
                    call(*args[:place], part, *args[place + 1 :])
                os.kill(os.getpid(), signal.SIGKILL)
            count[0] += 1
            return call(*args, **more)

        return counted

    for name in CALLS:
        if (call := getattr(os, name, None)) is not None:
            setattr(os, name, watched(name, call))
    return count
