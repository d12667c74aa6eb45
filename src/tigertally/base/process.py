"""A process that handles keys: no core dumps, no tracing; and how daemons settle down."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import signal
import sys
from dataclasses import dataclass

_ALLOCATIONS_A_COLLECTION = 20_000
_PR_GET_DUMPABLE = 3  # linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardening:
    """What `harden()` achieved on this system."""

    no_core_dumps: bool
    no_tracing: bool


def harden() -> Hardening:
    """Switch off core dumps and, on Linux, ptrace and reading of `/proc/PID/mem` by others.

    For daemons and one-shot children, as their first step. Never raises: a system that cannot do
    one of the two says so in the result. The limit on core dumps is inherited by children; the
    rest is not, because starting a program resets it.

    **Security:** root still reads everything.
    """
    return Hardening(no_core_dumps=_no_core_dumps(), no_tracing=_no_tracing())


def settle_down() -> None:
    """Everything is loaded and will stay: spare the garbage collector the walk through it.

    For daemons, once they are ready. Collections come more rarely, too: the program makes few
    cycles, and a tenth of its time went into looking for them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_A_COLLECTION, 10, 10)


def give_back_memory() -> None:
    """Free what has become unreachable lately, and return what is free to the system.

    For daemons, now and then: it takes milliseconds. The standard library leaves a ring of objects
    for each connection. And glibc keeps what is free, but in pieces between others that are not.
    """
    gc.collect(1)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def end_with_parent() -> None:
    """Let the system end this process when its parent dies, however that happens (Linux only).

    For processes that somebody else looks after: not even `kill -9` of that one leaves them over.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _no_core_dumps() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return False
    return resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def _no_tracing() -> bool:
    if sys.platform != "linux":
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        return bool(libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
