"""File locks, and a counter, shared by all processes that use one profile.

Both rest on `flock`: the system gives a lock back when its process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tigertally.base.errors import Unavailable, UsageError

_POLL_SECONDS = 0.05
_MAX_NOTE_BYTES = 200


class Exclusive:
    """A place where one process, and one thread of it, is at a time.

    Args:
        path: the lock file; made where it is missing, never removed. It says who is inside.
        what: what is locked, in words.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        self._path = path
        self._what = what
        self._inside: int | None = None  # the thread

    @contextmanager
    def held(self, *, wait: float, doing: str = "") -> Iterator[None]:
        """Be inside for the length of the block.

        Args:
            wait: seconds to wait for whoever is inside.
            doing: in words, for those who wait.

        Raises:
            Unavailable: still taken after `wait`; names the process.
            UsageError: this thread is inside already and would wait for itself.
        """
        if self._inside == threading.get_ident():
            raise UsageError(f"{self._what} is held by this very thread")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable(f"{self._what} cannot be locked: {error.strerror}") from error
            raise
        try:
            self._take(descriptor, wait)
            self._inside = threading.get_ident()
            _write_note(descriptor, f"{os.getpid()} {doing}")
            try:
                yield
            finally:
                self._inside = None
                _write_note(descriptor, "")
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, wait: float) -> None:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Unavailable(f"{self._what} is in use by {_who(descriptor)}") from None
                time.sleep(_POLL_SECONDS)
            else:
                return


class Count:
    """A number in a file that several processes add to: its length in bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def value(self) -> int:
        """The number; 0 where there is no file."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def add(self) -> None:
        """One more."""
        with self._locked() as descriptor:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size + 1)

    def subtract(self, count: int) -> None:
        """So many less, never below zero."""
        with self._locked() as descriptor:
            os.ftruncate(descriptor, max(0, os.fstat(descriptor).st_size - count))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_note(descriptor: int, note: str) -> None:
    """Say who is inside, if the disk has room for it: the lock holds all the same."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode()[:_MAX_NOTE_BYTES], 0)


def _who(descriptor: int) -> str:
    note = os.pread(descriptor, _MAX_NOTE_BYTES, 0).decode(errors="replace")
    pid, _, doing = note.partition(" ")
    if not pid.isdecimal():
        return "another process"
    return f"process {pid} ({doing})" if doing else f"process {pid}"
