"""Files that appear under their name only when they are complete.

**Security:** until then the content has no name (Linux `O_TMPFILE`): not even a killed process
leaves anything behind. Where the file system or the system cannot do that, it has a random name
in the same directory and is removed on any failure, also Ctrl-C, but not on `kill -9`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tigertally.base.errors import UsageError
from tigertally.base.randomness import SystemRandomness

_DEVICES = Path("/dev")
_PROCESSES = Path("/proc")
_MAX_STEM = 200  # so that the temporary name stays below the 255 bytes of common file systems


_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}  # a file system without


def _nothing() -> None:
    """Nothing to look at."""


@contextmanager
def atomic_output(
    path: Path | str,
    mode: int = 0o600,
    *,
    replaces: bool = True,
    last_look: Callable[[], None] = _nothing,
) -> Iterator[BinaryIO]:
    """Write a file that appears at `path` when the block ends without an exception.

    The data and the directory are flushed to the disk before this returns. A symbolic link at
    `path` is replaced, not followed. For files that a person names see `crypto/outputs.py`.

    Args:
        path: where the file shall appear; a file that is there stays until the end.
        mode: permissions of the finished file; until then it is 0600.
        replaces: whether a file that is there makes way.
        last_look: called when all is written, before the file gets its name; may raise.

    Raises:
        UsageError: the directory is missing or not writable, or `path` is a directory, a device or
            a pipe: what stands there would be replaced, `/dev/stdout` too.
        FileExistsError: something is there, if it came only a moment ago, and it is not replaced.
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
            last_look()
            if not named:
                give_name(file.fileno(), temporary if replaces else target)
        if replaces:
            temporary.replace(target)
        elif named:
            _name_free(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(target)  # "No space left on device" alone does not say where
        raise
    flush_directory(target.parent)


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
    nameless = create_nameless(target.parent)
    if nameless is not None:
        return nameless, False
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.fdopen(os.open(temporary, flags, 0o600), "wb"), True
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error


def create_nameless(folder: Path) -> BinaryIO | None:
    """A new file of mode 0600 in a folder, without a name; None where that cannot be had."""
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


def give_name(descriptor: int, name: Path) -> None:
    """Link a nameless file into its folder; `FileExistsError` where the name is taken."""
    # With a directory descriptor Python calls linkat(AT_SYMLINK_FOLLOW), as open(2) describes;
    # without one it would link the symbolic link itself.
    folder = os.open(name.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(_link_of(descriptor), name.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def _name_free(temporary: Path, target: Path) -> None:
    """Rename, unless the name is taken, which a rename alone would not notice."""
    try:
        os.link(temporary, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Take the name first. Killed in between, an empty file is left, and nothing else was lost.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        temporary.replace(target)
    else:
        temporary.unlink()


def flush_directory(folder: Path) -> None:
    """Make sure that a folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
