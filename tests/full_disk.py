"""A disk that is full from the N-th write or flush on, below SQLite and below Python's own files.

The fault is injected where SQLite calls the system (its VFS, through `ctypes`) and in the few calls
of `os` with which the program writes files of its own. It strikes whatever the process opens. So
no file system has to be mounted, and every single write and flush can be the first to fail.

    disk = FullDisk()
    with disk.full_from(7):     # six writes and flushes work, then none does
        ...
    assert disk.struck

A process of its own is told by a file (`watch`): while the file is there the disk is full from
the number in it on, counted since it appeared; each failure adds a byte to `FILE.struck`. With the
word `log` or `database` behind the number only SQLite's write-ahead log or its main file is meant;
with `count` nothing fails, and each write and flush adds its byte to `FILE.struck`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_FULL = 13  # SQLITE_FULL
_IOERR_FSYNC = 10 | (4 << 8)
_IOERR_TRUNCATE = 10 | (6 << 8)
_NEVER = 2**62
_COUNT = "count"
_KINDS = {0x100: "database", 0x80000: "log"}  # by the flags with which SQLite opens a file

_P = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, _P, ctypes.c_int, _P)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int)


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs` up to what is replaced."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_bytes", ctypes.c_int),
        ("most_path", ctypes.c_int),
        ("next", _P),
        ("name", ctypes.c_char_p),
        ("data", _P),
        ("open", _OPEN),
    )


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`; what is not replaced is only copied."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("close", _P),
        ("read", _P),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("rest", _P * 13),
    )


class _File(ctypes.Structure):
    _fields_ = (("methods", ctypes.POINTER(_Methods)),)


class FullDisk:
    """The disk of this process. There can be one in a process, for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._from: int | None = None  # nothing is counted
        self._only = ""
        self._marker: Path | None = None
        self._marked = 0  # the inode of the marker that was read last
        self.taken = 0  # writes and flushes since the last `full_from`
        self.struck = 0
        self._kept: list[object] = []  # what C points to must not be collected
        self._copies: dict[tuple[int, str], Any] = {}
        self._below_sqlite()
        self._below_python()

    @contextlib.contextmanager
    def full_from(self, number: int) -> Iterator[None]:
        """Full inside the block, from its N-th write or flush on."""
        with self._lock:
            self.taken, self.struck, self._from = 0, 0, number
        try:
            yield
        finally:
            with self._lock:
                self._from = None

    def counted(self) -> contextlib.AbstractContextManager[None]:
        """Count inside the block, and let nothing fail: `taken` says how many there were."""
        return self.full_from(_NEVER)

    def watch(self, marker: Path) -> None:
        """Let a file say from outside when the disk is full."""
        self._marker = marker

    def fails(self, kind: str) -> bool:
        """One write or flush of a kind of file: is there no room for it?"""
        with self._lock:
            if self._marker is not None:
                self._look()
            if self._from is None or self._only not in ("", _COUNT, kind):
                return False
            self.taken += 1
            full = self.taken >= self._from
            if full:
                self.struck += 1
                if self._marker is not None:
                    self._tell(self._marker.with_suffix(".struck"))
            return full and self._only != _COUNT

    def _look(self) -> None:
        assert self._marker is not None
        try:
            inode = self._marker.stat().st_ino
        except FileNotFoundError:
            self._marked, self._from = 0, None
            return
        if inode != self._marked:
            with contextlib.suppress(OSError, ValueError):  # taken away between two looks
                number, _, self._only = self._marker.read_text().partition(" ")
                self._from, self._marked, self.taken = int(number), inode, 0

    @staticmethod
    def _tell(path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, b".")
        os.close(descriptor)

    def _below_sqlite(self) -> None:
        import _sqlite3

        library = ctypes.CDLL(_sqlite3.__file__)  # finds what it is linked to as well
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = (ctypes.c_char_p,)
        vfs = library.sqlite3_vfs_find(None).contents
        real = _OPEN(ctypes.cast(vfs.open, _P).value)

        def opened(vfs_: int, name: int, file: int, flags: int, out: int) -> int:
            code: int = real(vfs_, name, file, flags, out)
            methods = _File.from_address(file).methods
            if code == 0 and methods:
                kind = next((name for bit, name in _KINDS.items() if flags & bit), "other")
                of = ctypes.addressof(methods.contents), kind
                if of not in self._copies:
                    self._copies[of] = self._copy(methods.contents, kind)
                _File.from_address(file).methods = ctypes.pointer(self._copies[of])
            return code

        self._kept += [real, library]
        vfs.open = self._held(_OPEN(opened))

    def _held(self, callback: Any) -> Any:
        self._kept.append(callback)
        return callback

    def _copy(self, methods: _Methods, file: str) -> _Methods:
        """The same methods, but that these three fail when the disk is full."""
        copy = _Methods()
        size = ctypes.sizeof(_Methods)
        ctypes.memmove(ctypes.addressof(copy), ctypes.addressof(methods), size)

        def failing(kind: Any, real: Any, code: int) -> Any:
            call = kind(ctypes.cast(real, _P).value)
            self._kept.append(call)
            return self._held(kind(lambda *args: code if self.fails(file) else call(*args)))

        copy.write = failing(_WRITE, methods.write, _FULL)
        copy.truncate = failing(_TRUNCATE, methods.truncate, _IOERR_TRUNCATE)
        copy.sync = failing(_SYNC, methods.sync, _IOERR_FSYNC)
        return copy

    def _below_python(self) -> None:
        """What the program does to files of its own: locks, back-ups, profiles, outputs."""
        for name in ("fsync", "pwrite", "ftruncate", "link", "mkdir"):
            setattr(os, name, self._failing(getattr(os, name)))
        Path.write_bytes = self._failing(Path.write_bytes)  # type: ignore[method-assign]

    def _failing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any, **options: Any) -> Any:
            if self.fails("own"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args, **options)

        return checked


class Disk:
    """The disk of another process, seen from outside."""

    def __init__(self, folder: Path, name: str) -> None:
        self.marker = folder / f"{name}.full"
        self.struck_by = self.marker.with_suffix(".struck")

    @contextlib.contextmanager
    def full_from(self, number: int = 1, *, only: str = "") -> Iterator[None]:
        """Full inside the block, from its N-th write or flush on (of one kind of file)."""
        self.struck_by.unlink(missing_ok=True)
        fresh = self.marker.with_suffix(".new")
        fresh.write_text(f"{number} {only}".strip())
        fresh.rename(self.marker)
        try:
            yield
        finally:
            self.marker.unlink()

    def counted(self) -> contextlib.AbstractContextManager[None]:
        """Let nothing fail inside the block; `struck` says how many writes and flushes it had."""
        return self.full_from(1, only=_COUNT)

    @property
    def struck(self) -> int:
        """How many writes have failed (or were counted)."""
        return self.struck_by.stat().st_size if self.struck_by.exists() else 0
