"""One-shot children: a daemon gives one job to a process of its own, which answers and ends.

For work on what must be whole nowhere else: it is there for milliseconds, in memory that the system
then takes back. Core dumps and ptrace are off. Nothing is written.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from tigertally.base.errors import PeerFault, TigertallyError, Unavailable
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.base.process import harden

# What a child needs of our environment: where Python is, and the mark of a test run.
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "TALLY_TEST_RUN")
_SECONDS = 60.0  # a job takes milliseconds; a machine that needs this long is in trouble
_CANNOT = 3  # exit status: what was written is why it cannot be done
_LONGEST_REASON = 300


async def in_child(module: str, job: bytes, *, seconds: float = _SECONDS) -> bytes:
    """Give a job to a fresh child process, `python -m module`, and return its result.

    Args:
        module: calls `child_main`.
        job: at most `limits.MAX_MESSAGE_BYTES`.
        seconds: after so many it is killed.

    Raises:
        Unavailable: the child could not be started or did not finish.
        PeerFault: it says that the job cannot be done (names nobody).
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        )
    except OSError as error:  # no process, no memory or no descriptor is left
        raise Unavailable(f"the one-shot child cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(job)
    except TimeoutError as error:
        raise Unavailable("the one-shot child did not finish in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == _CANNOT:
        raise PeerFault(f"the one-shot child: {output.decode(errors='replace')}")
    if process.returncode != 0:
        raise Unavailable(f"the one-shot child ended with {process.returncode}")
    return output


def child_main(work: Callable[[bytes], bytes]) -> None:
    """Read one job, do it, write its result: the child's whole life.

    Args:
        work: from job to result. The words of an error that it raises hold nothing secret.
    """
    harden()
    job = sys.stdin.buffer.read(MAX_MESSAGE_BYTES + 1)
    status = 0
    try:
        answer = work(job)
    except TigertallyError as error:
        answer, status = str(error)[:_LONGEST_REASON].encode(), _CANNOT
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    sys.exit(status)
