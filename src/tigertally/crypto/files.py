"""Files that appear under their name only when they are complete.

**Security:** until then the content has no name (Linux `O_TMPFILE`): not even a killed process
leaves anything behind. Where the file system or the system cannot do that, it has a random name
in the same directory and is removed on any failure, also Ctrl-C, but not on `kill -9`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tigertally.base.errors import UsageError
from tigertally.base.randomness import SystemRandomness

_DEVICES = Path("/dev")
_PROCESSES = Path("/proc")
_MAX_STEM = 200  # so that the temporary name stays below the 255 bytes of common file systems


@contextmanager
def atomic_output(path: Path | str, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Write a file that replaces `path` when the block ends without an exception.

    The data and the directory are flushed to the disk before this returns. A symbolic link at
    `path` is replaced, not followed.

    Args:
        path: where the file shall appear; a file that is there stays until the end.
        mode: permissions of the finished file; until then it is 0600.

    Raises:
        UsageError: the directory is missing or not writable, or `path` is a directory, a device or
            a pipe: what stands there would be replaced, `/dev/stdout` too.
    """
    target = Path(path)
    _check_kind(target)
    stem = os.fsdecode(os.fsencode(target.name)[:_MAX_STEM])
    temporary = target.with_name(f".{stem}.{SystemRandomness().bytes(8).hex()}.partial")
    try:
        file, named = _create(target, temporary)
        with file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            if not named:
                _give_name(file.fileno(), temporary)
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(target)  # "No space left on device" alone does not say where
        raise
    _flush_directory(target.parent)


def check_output(path: Path | str) -> None:
    """Could `atomic_output` write there? To be asked before others are troubled for the content.

    Raises:
        UsageError: as `atomic_output`.
    """
    target = Path(path)
    _check_kind(target)
    if not target.parent.is_dir():
        raise UsageError(f"cannot write {target}: there is no directory {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {target}: {target.parent} is not writable")


def write_file(path: Path | str, data: bytes, mode: int = 0o600) -> None:
    """Write a whole small file, all or nothing."""
    with atomic_output(path, mode) as file:
        file.write(data)


def _check_kind(target: Path) -> None:
    if target.is_dir():
        raise UsageError(f"cannot write {target}: it is a directory")
    folder = target.parent.resolve()
    special = folder == _DEVICES or folder.is_relative_to(_PROCESSES)
    if special or (target.exists() and not target.is_file()):
        raise UsageError(f"cannot write {target}: it is a device or a pipe, not a file")


def _create(target: Path, temporary: Path) -> tuple[BinaryIO, bool]:
    nameless = _create_nameless(target.parent)
    if nameless is not None:
        return nameless, False
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.fdopen(os.open(temporary, flags, 0o600), "wb"), True
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error


def _create_nameless(folder: Path) -> BinaryIO | None:
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    if not Path(_link_of(descriptor)).exists():  # hidden from a hardened process
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "wb")


def _link_of(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _give_name(descriptor: int, temporary: Path) -> None:
    # With a directory descriptor Python calls linkat(AT_SYMLINK_FOLLOW), as open(2) describes;
    # without one it would link the symbolic link itself.
    folder = os.open(temporary.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(_link_of(descriptor), temporary.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def _flush_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
