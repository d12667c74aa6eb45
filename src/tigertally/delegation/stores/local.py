"""Objects as files of a local folder.

An object appears complete, flushed to the disk, or not at all. In a batch the files are flushed
together and named afterwards: ten thousand small ones take seconds, not minutes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path as File
from typing import BinaryIO
from urllib.parse import quote

from tigertally.base.errors import Unavailable, UsageError
from tigertally.base.randomness import SystemRandomness
from tigertally.crypto.files import atomic_output
from tigertally.delegation.messages.labels import PARTIAL_SUFFIX
from tigertally.delegation.stores.interface import Path

_MODE = 0o644  # it is encrypted, and readers may be other users
_LOCK_SECONDS = 60.0
_PAUSE = 0.02
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG}
_LONGEST = 255  # bytes of a file's name
_OF_A_BATCH = re.compile(r"\.[0-9a-f]{24}" + re.escape(PARTIAL_SUFFIX))
_MOST = 1000  # files of a batch before it is written through


def _nothing(_: Path) -> None:
    """Nothing to look at."""


class LocalStore:
    """A folder.

    Args:
        url: as the person gave it, without a slash at the end.
        folder: made when the first object is written.
        last_look: called with an object's path when it is complete, before it gets its name; may
            raise.

    Not for several threads at once.
    """

    def __init__(
        self, url: str, folder: File, last_look: Callable[[Path], None] = _nothing
    ) -> None:
        self.url = url
        self._folder = folder
        self._last_look = last_look
        self._pending: list[tuple[File, Path]] | None = None
        self._locked = False
        self._swept: set[File] = set()

    @contextmanager
    def put(self, path: Path) -> Iterator[BinaryIO]:
        """See `ObjectStore.put`."""
        target = self._file(path)
        if long := next((name for name in path if len(name.encode()) > _LONGEST), None):
            raise UsageError(f"a name is too long for a folder: {long[:40]}…")
        self._check_links(path)
        self._make_folder(target.parent)
        if self._pending is not None and target.parent not in self._swept:
            self._sweep(target.parent)
        if self._pending is None:
            with atomic_output(target, _MODE, last_look=lambda: self._last_look(path)) as file:
                yield file
            return
        if target.is_dir():
            raise UsageError(f"cannot write {target}: it is a directory")
        temporary = target.with_name(f".{SystemRandomness().bytes(12).hex()}{PARTIAL_SUFFIX}")
        try:
            with temporary.open("xb") as file:
                os.fchmod(file.fileno(), _MODE)
                yield file
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(target)  # "No space left on device" alone says not where
            raise
        self._pending.append((temporary, path))
        if len(self._pending) >= _MOST:
            self._settle()

    def get(self, path: Path) -> BinaryIO:
        """See `ObjectStore.get`."""
        file = self._file(path)
        try:
            # without O_NONBLOCK somebody's named pipe would hold the reader for ever
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in _ABSENT:
                raise Unavailable(f"there is no {file}") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unavailable(f"{file} is no file")
        return os.fdopen(descriptor, "rb")

    def range(self, path: Path, start: int, size: int) -> bytes:
        """See `ObjectStore.range`."""
        with self.get(path) as file:
            file.seek(start)
            return file.read(size)

    def list(self, path: Path) -> Iterator[tuple[str, ...]]:
        """See `ObjectStore.list`."""
        top = self._file(path) if path else self._folder
        for folder, below, names in os.walk(top):
            below.sort()
            here = tuple(File(folder).relative_to(self._folder).parts)
            yield from ((*here, name) for name in sorted(names) if not _is_partial(name))

    def delete(self, path: Path) -> None:
        """See `ObjectStore.delete`."""
        self._check_links(path)
        with suppress(FileNotFoundError):
            self._file(path).unlink()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `ObjectStore.exclusive`: a lock on the folder itself."""
        if self._locked:
            yield
            return
        self._make_folder(self._folder)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._await_lock(descriptor)
            self._locked = True
            yield
        finally:
            self._locked = False
            os.close(descriptor)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """See `ObjectStore.batch`. Names not yet given are given up when the block fails."""
        with self.exclusive():
            self._pending = []
            self._swept = set()
            try:
                yield
                self._settle()
            finally:
                for temporary, _ in self._pending:
                    with suppress(OSError):
                        temporary.unlink()
                self._pending = None

    def url_of(self, path: Path) -> str:
        """See `ObjectStore.url_of`."""
        names = "/".join(path)
        return f"{self.url}/{quote(names) if self.url.startswith('file:') else names}"

    def _file(self, path: Path) -> File:
        if not path or any(name in ("", ".", "..") or "/" in name for name in path):
            raise UsageError("not the name of an object")
        return self._folder.joinpath(*path)

    def _check_links(self, path: Path) -> None:
        """Who can write into the store must not lead its owner's writes out of it."""
        folder = self._folder
        for name in path[:-1]:
            folder /= name
            if os.path.islink(folder):  # noqa: PTH114 - false for a name that is too long
                raise UsageError(f"cannot write below {folder}: it is a link")

    def _await_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise Unavailable(f"somebody else is writing to {self._folder}") from error
            time.sleep(_PAUSE)

    def _make_folder(self, folder: File) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"cannot write below {folder}: it is not a directory") from error
        except PermissionError as error:
            raise UsageError(f"cannot make the directory {folder}: {error.strerror}") from error
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise UsageError("the label is longer than this store can name") from error

    def _sweep(self, folder: File) -> None:
        """Remove what a killed batch left there; only batches make such names, one at a time."""
        self._swept.add(folder)
        dead = [n for n in os.listdir(folder) if _OF_A_BATCH.fullmatch(n)]  # noqa: PTH208 - names
        for name in dead:
            with suppress(OSError):
                folder.joinpath(name).unlink()

    def _settle(self) -> None:
        """Flush what the batch has written, then give it its names."""
        assert self._pending is not None
        if not self._pending:
            return
        os.sync()
        while self._pending:
            temporary, path = self._pending[0]
            self._last_look(path)
            temporary.replace(self._file(path))
            self._pending.pop(0)
        os.sync()


def _is_partial(name: str) -> bool:
    """Whether this is what a crash left behind, which no label can be called."""
    return name.startswith(".") and name.endswith(PARTIAL_SUFFIX)
