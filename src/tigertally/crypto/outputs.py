"""Where a person told a command to write: an output destroys nothing that nobody named for it.

The one rule of docs/commands.md, "Outputs": never what the command reads, by device and inode, so
also through links; nothing inside a folder that it reads, nor inside a profile; a file that is
there only with `--force`; a back-up or a key not even then. Asked before anybody is troubled for
the content, and again when the file gets its name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from tigertally.base.errors import UsageError
from tigertally.crypto.files import atomic_output, check_output
from tigertally.crypto.passphrase import is_sealed

BACKUP_MAGIC = b"tallyab"  # of whatever version
_PRIVATE_KEY = b"PRIVATE KEY-----"  # the end of a PEM text's first line
_PIECE = 1024 * 1024
_HEAD = 4096  # bytes that are looked at
_KEY_BYTES = 32  # of a final key
_MARK, _KEY = "user.tigertally", b"key"  # an extended attribute, where the file system has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A file or folder that no output may be, or lie in."""

    device: int
    inode: int
    what: str  # in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file or folder that a command was told to write.

    Args:
        path: where.
        force: a file that is there makes way; else it is an error.
        apart: what the command reads, and whatever else must stay.
        resumes: the command may have been killed just after it wrote the file: one that holds the
            same already is as good as written.
    """

    path: Path
    force: bool = False
    apart: tuple[Apart, ...] = ()
    resumes: bool = False

    def check(self) -> None:
        """Could a file be written there now? To be asked before others are troubled.

        Raises:
            UsageError: no; says why.
        """
        if self.resumes and _is_own(self.path):
            check_apart(self.path, self.apart)
        else:
            self.check_anew()

    def check_anew(self) -> None:
        """The same for a command that was not begun before.

        Raises:
            UsageError: no; says why.
        """
        check_output(self.path)
        check_apart(self.path, self.apart)
        if not os.path.lexists(self.path):
            return
        if not self.force:
            raise taken(self.path)
        check_expendable(self.path)

    def check_folder(self) -> None:
        """Could a folder be written there now? It replaces nothing, `force` or not.

        Raises:
            UsageError: no; says why.
        """
        if os.path.lexists(self.path):
            raise UsageError(f"{self.path} is there already, and a folder replaces nothing")
        check_output(self.path)
        check_apart(self.path, self.apart)

    @contextmanager
    def file(self, mode: int = 0o600) -> Iterator[BinaryIO]:
        """Write the file, which appears complete, and where nothing is lost, or not at all.

        Raises:
            UsageError: as `check`, at the beginning or when the file gets its name.
        """
        self.check()
        try:
            with atomic_output(
                self.path, mode, replaces=self.force, last_look=self.check_anew
            ) as file:
                yield file
                if self.resumes and _is_own(self.path):
                    file.flush()
                    if _holds(self.path, file.fileno()):
                        raise _ThereAlready
        except _ThereAlready:
            return
        except FileExistsError as error:
            raise taken(self.path) from error

    def write(self, data: bytes, mode: int = 0o600, *, key: bool = False) -> None:
        """Write a whole small file.

        Args:
            data: what.
            mode: permissions.
            key: it is a key: marked so, where the file system can, that none of ours replaces it.
        """
        with self.file(mode) as file:
            file.write(data)
            if key and hasattr(os, "setxattr"):
                with suppress(OSError):
                    os.setxattr(file.fileno(), _MARK, _KEY)

    def beside(self, paths: Iterable[Path], what: str) -> Output:
        """The same output, kept apart from more than before."""
        return replace(self, apart=(*self.apart, *apart(paths, what)))


class _ThereAlready(Exception):
    """What was to be written is there: the new file is given up."""


def apart(paths: Iterable[Path], what: str) -> tuple[Apart, ...]:
    """What these paths name now, links and what they lead to.

    Args:
        paths: files and folders; what is not there, or cannot be seen, has no identity.
        what: they are, in words.
    """
    found = [one for path in paths for one in _identities(path)]
    return tuple(Apart(device=device, inode=inode, what=what) for device, inode in found)


def check_apart(path: Path, kept: Iterable[Apart]) -> None:
    """Is a path none of these, and in none of them? Through links, by device and inode.

    Raises:
        UsageError: it is.
    """
    known = {(one.device, one.inode): one.what for one in kept}
    folder = path.parent.resolve()
    for place in (path, folder, *folder.parents):
        for identity in _identities(place) & known.keys():
            how = "is" if place is path else "lies in"
            error = UsageError(f"{path} {how} {known[identity]}, and is not written")
            error.add_note("choose another place")
            raise error


def check_expendable(path: Path) -> None:
    """Is what stands at a path neither a back-up nor a key? These are deleted by hand, if ever.

    Raises:
        UsageError: it is, or it cannot be read.
    """
    if what := _precious(path):
        error = UsageError(f"{path} is {what}, and no command replaces one")
        error.add_note("choose another name, or move it away yourself")
        raise error


def taken(path: Path) -> UsageError:
    """The error of an output that is there already."""
    error = UsageError(f"{path} is there already")
    error.add_note("choose another name, or say --force to replace it")
    return error


def _is_own(path: Path) -> bool:
    """Whether this may be what a command of ours wrote before: this user's, for no one else."""
    try:
        status = path.lstat()
    except OSError:
        return False
    mine = status.st_uid == os.geteuid() and status.st_mode & 0o077 == 0
    return stat.S_ISREG(status.st_mode) and mine


def _holds(path: Path, other: int) -> bool:
    """Whether a file holds the same as another, which is open."""
    at = 0
    with path.open("rb", buffering=0) as file:
        while True:
            piece = file.read(_PIECE)
            if piece != os.pread(other, len(piece) or 1, at):
                return False
            if not piece:
                return True
            at += len(piece)


def _identities(path: Path) -> set[tuple[int, int]]:
    found = set()
    for look in (os.stat, os.lstat):
        with suppress(OSError):
            status = look(path)
            found.add((status.st_dev, status.st_ino))
    return found


def _precious(path: Path) -> str:
    """What is there, in words, if it is a back-up or a key; else nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT):
            return ""  # a link makes way, not what it leads to
        return f"a file that cannot be looked at ({error.strerror})"
    try:
        status = os.fstat(descriptor)
        head = os.read(descriptor, _HEAD) if stat.S_ISREG(status.st_mode) else b""
        marked = _is_marked(descriptor)
    finally:
        os.close(descriptor)
    if head.startswith(BACKUP_MAGIC) or is_sealed(head):
        return "a back-up"
    private = status.st_mode & 0o077 == 0
    if marked or _PRIVATE_KEY in head or (status.st_size == _KEY_BYTES and private):
        return "a key"
    return ""


def _is_marked(descriptor: int) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    try:
        return os.getxattr(descriptor, _MARK) == _KEY
    except OSError:
        return False
