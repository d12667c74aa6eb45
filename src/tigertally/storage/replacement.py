"""Replace a person's document: nothing else about it changes, no other change to it is lost.

docs/adr/0056-outputs-destroy-nothing.md. Mode, owner, group, extended attributes and hard links
stay. Whoever changes a document holds a lock on it (`flock` of its inode), and looks again, before
it is replaced, whether a program that asks for no lock has written it meanwhile.

- Most are replaced by a rename: who is killed at any moment leaves the old one or the new one.
- One with other names (hard links), or whose owner or attributes a new file cannot have, is
  overwritten in its place. First the whole change is put down beside it; if the writer is killed
  while it overwrites, the next command that reads or changes the document finishes it.

What a killed writer leaves beside a document has one name, and the next change removes it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tigertally.base.errors import Unavailable, UsageError
from tigertally.base.limits import DOCUMENT_LOCK_SECONDS
from tigertally.crypto.files import atomic_output, create_nameless, flush_directory, give_name

_PAUSE = 0.02  # seconds between two looks at a lock
_PIECE = 1024 * 1024
_NAME = 100  # bytes of the document's name in what lies beside it
_MAGIC = b"tallyrd\x01"
# Of a file system without locks, or without for who may only read: what others change meanwhile
# is noticed all the same, but for the moment between the last look and the rename.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}
_BLOCK = 4096  # bytes that are compared at once

Change = Callable[[bytes | None], bytes]


def content_of(path: Path, *, most: int) -> bytes | None:
    """What a document holds; None where there is none. Finishes a change that was cut off.

    Args:
        path: the document.
        most: bytes to read; of a longer one so many come.

    Raises:
        UsageError, Unavailable: as `changed`.
        OSError: it cannot be read.
    """
    path = path.resolve()
    deadline = time.monotonic() + DOCUMENT_LOCK_SECONDS
    while time.monotonic() < deadline:
        descriptor = _opened(path)
        if descriptor is None:
            return None
        try:
            before = os.fstat(descriptor)
            found = _read(descriptor, most)
            whole = not _redo_of(path).exists() and _is_same(before, os.fstat(descriptor))
        finally:
            os.close(descriptor)
        if whole:
            return found
        with _locked(path, deadline - time.monotonic()) as descriptor:
            if descriptor is None:
                return None
            finished = _finish(path, descriptor)
            return _read(descriptor, most) if finished is None else finished[:most]
    raise _busy(path)


def changed(path: Path, change: Change, *, most: int, wait: float = DOCUMENT_LOCK_SECONDS) -> None:
    """Change a document, or make it, mode 0600.

    Args:
        path: the document; a link means what it leads to.
        change: from what it holds (None: there is none) to what it shall hold. Called again, with
            what is there then, where somebody else was faster.
        most: bytes that it gets; of a longer document so many, which it must refuse.
        wait: seconds to wait for whoever else changes it.

    Raises:
        UsageError: it is no file; it was changed by hand after a change was cut off; or it has
            other names and cannot be written.
        Unavailable: somebody else changes it for too long.
        OSError: the system does not write it.
    """
    path = path.resolve()
    deadline = time.monotonic() + wait
    while True:
        with _locked(path, max(0.0, deadline - time.monotonic())) as descriptor:
            if descriptor is None:
                done = _made(path, change(None))
            else:
                done = _edited(path, descriptor, change, most)
        if done:
            return
        if time.monotonic() >= deadline:
            raise _busy(path)


def _made(path: Path, content: bytes) -> bool:
    """Whether a document could be made: not where somebody else just made one."""
    try:
        with atomic_output(path, replaces=False) as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _edited(path: Path, descriptor: int, change: Change, most: int) -> bool:
    """Whether the change is done; not if somebody changed the document meanwhile."""
    _finish(path, descriptor)
    with suppress(FileNotFoundError):
        _new_of(path).unlink()
    before = os.fstat(descriptor)
    old = _read(descriptor, most)
    new = change(old)
    if not _names(path, before) or not _is_same(before, os.fstat(descriptor)):
        return False
    if new == old:
        return True
    if before.st_nlink > 1 or not _renamed(path, descriptor, before, new):
        _overwritten(path, descriptor, old, new)
    return True


def _renamed(path: Path, old: int, before: os.stat_result, content: bytes) -> bool:
    """Whether a new file took the document's place; not where it would have lost something.

    Where the old one cannot be written in its place either, the new one keeps what is allowed.
    """
    temporary = _new_of(path)
    with _new_file(temporary) as (new, named):
        _write(new, 0, content)
        kept = _take_attributes(old, new, before)
        if not kept and os.access(path, os.W_OK):
            if named:
                temporary.unlink()
            return False
        os.fsync(new)
        if not named:
            give_name(new, temporary)
        try:
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise
    flush_directory(path.parent)
    return True


def _take_attributes(old: int, new: int, before: os.stat_result) -> bool:
    """Give a new file what the old one has; whether it has it all.

    **Security:** a group that cannot be given loses its rights: they would be another group's.
    """
    mode = stat.S_IMODE(before.st_mode)
    now = os.fstat(new)
    kept = True
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(new, before.st_uid, before.st_gid)
        except PermissionError:
            kept = False
            with suppress(PermissionError):
                os.fchown(new, -1, before.st_gid)
            if os.fstat(new).st_gid != before.st_gid:
                mode &= ~0o070
    if not _take_extended(old, new):  # with a list of access rights, the group's bits are its mask
        kept = False
        mode &= ~0o070
    os.fchmod(new, mode)
    return kept


def _take_extended(old: int, new: int) -> bool:
    """The same extended attributes, lists of access rights among them; whether it has them all."""
    if not hasattr(os, "listxattr"):
        return True
    try:
        wanted = {name: os.getxattr(old, name) for name in os.listxattr(old)}
        found = {name: os.getxattr(new, name) for name in os.listxattr(new)}
    except OSError:
        return True  # a file system without
    kept = True
    for name in found.keys() - wanted.keys():  # what the folder gives to every new file
        with suppress(OSError):
            os.removexattr(new, name)
    for name, value in wanted.items():
        if found.get(name) != value:
            try:
                os.setxattr(new, name, value)
            except OSError:  # labels of the system are set by its policy
                kept &= name.startswith("security.")
    return kept


def _overwritten(path: Path, descriptor: int, old: bytes, new: bytes) -> None:
    """Overwrite the document where it is, after the whole change was put down beside it."""
    if not os.access(path, os.W_OK) or not _is_writable(descriptor):
        raise UsageError(f"{path} has other names (hard links) and cannot be written")
    redo = _redo_of(path)
    with _new_file(redo) as (journal, named):
        _write(journal, 0, _Redo(old=old, new=new).to_bytes())
        os.fsync(journal)
        if not named:
            give_name(journal, redo)
    flush_directory(path.parent)
    try:
        _overwrite(descriptor, old, new)
    except OSError:
        _overwrite(descriptor, new, old)  # a full disk: its old blocks are there
        redo.unlink()
        raise
    redo.unlink()
    flush_directory(path.parent)


def _overwrite(descriptor: int, old: bytes, new: bytes) -> None:
    """From the first byte that differs, in one call: between the calls the document is whole."""
    start = 0
    while (
        start < min(len(old), len(new))
        and old[start : start + _BLOCK] == new[start : start + _BLOCK]
    ):
        start += _BLOCK
    _write(descriptor, start, new[start:])
    os.ftruncate(descriptor, len(new))
    os.fsync(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Redo:
    """A change of a document: what is put down beside it before it is overwritten."""

    old: bytes
    new: bytes

    def to_bytes(self) -> bytes:
        sizes = len(self.old).to_bytes(8, "big") + len(self.new).to_bytes(8, "big")
        content = sizes + self.old + self.new
        return _MAGIC + hashlib.sha256(content).digest() + content

    @classmethod
    def from_bytes(cls, raw: bytes) -> _Redo | None:
        """What was put down; None if that was cut off itself: then nothing was overwritten."""
        start = len(_MAGIC) + 32
        content = raw[start:]
        if raw[:start] != _MAGIC + hashlib.sha256(content).digest():
            return None
        size = int.from_bytes(content[:8], "big")
        return cls(old=content[16 : 16 + size], new=content[16 + size :])

    def cut_off(self, found: bytes) -> bool:
        """Whether this is the document in the middle of the change: each byte old or new."""
        sizes = sorted((len(self.old), len(self.new)))
        if not sizes[0] <= len(found) <= sizes[1]:
            return False
        before = self.old + bytes(max(0, len(found) - len(self.old)))  # longer, not yet written
        after = self.new + before[len(self.new) :]  # written, not yet cut to its length
        for at in range(0, len(found), _BLOCK):
            blocks = [whole[at : at + _BLOCK] for whole in (found, before, after)]
            size = len(blocks[0])
            if blocks[0] in (blocks[1][:size], blocks[2][:size]):
                continue
            if any(one not in (old, new) for one, old, new in zip(*blocks, strict=False)):
                return False
        return True


def _finish(path: Path, descriptor: int) -> bytes | None:
    """Finish an overwriting whose process was killed.

    Returns:
        What the document would hold, where only somebody else may finish it.

    Raises:
        UsageError: the document was changed by hand since.
    """
    redo = _redo_of(path)
    change = _read_redo(redo, descriptor)
    if change is not None:
        found = _read(descriptor, max(len(change.old), len(change.new)) + 1)
        if found not in (change.old, change.new):
            if not change.cut_off(found):
                error = UsageError(f"a change of {path} was cut off, and it was changed since")
                error.add_note(f"see that it is as it should be, and delete {redo}")
                raise error
            if not _is_writable(descriptor):
                return change.new
            _overwrite(descriptor, found, change.new)
    with suppress(FileNotFoundError, PermissionError):
        redo.unlink()
    return None


def _read_redo(redo: Path, document: int) -> _Redo | None:
    """What was put down beside a document.

    **Security:** who can make files in the folder must not change a document of somebody else by
    it: only what its owner, or this user, put down counts.
    """
    try:
        descriptor = os.open(redo, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    try:
        status, whose = os.fstat(descriptor), (os.geteuid(), os.fstat(document).st_uid)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in whose:
            return None
        return _Redo.from_bytes(_read(descriptor, status.st_size))
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path, wait: float) -> Iterator[int | None]:
    """The document, while nobody else of ours changes it; None where there is none."""
    deadline = time.monotonic() + wait
    while True:
        descriptor = _opened(path)
        if descriptor is None:
            yield None
            return
        try:
            if _lock(descriptor, deadline, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _lock(descriptor: int, deadline: float, path: Path) -> bool:
    """Wait for the lock; whether the path still names what was locked."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _busy(path) from None
            time.sleep(_PAUSE)
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return _names(path, os.fstat(descriptor))


def _busy(path: Path) -> Unavailable:
    error = Unavailable(f"somebody else is changing {path}")
    error.add_note("nothing was changed; try again")
    return error


def _opened(path: Path) -> int | None:
    """The document, to be read and, where that is allowed, written; None where there is none."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for access in (os.O_RDWR, os.O_RDONLY):
        try:
            descriptor = os.open(path, access | flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            if access == os.O_RDWR and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                continue
            if error.errno == errno.EISDIR:
                raise UsageError(f"{path} is a directory, not a document") from error
            raise
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise UsageError(f"{path} is not a file")
    raise AssertionError("unreachable")


def _is_writable(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR


def _names(path: Path, status: os.stat_result) -> bool:
    """Whether a path names this very file."""
    try:
        now = path.lstat()
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino)


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nobody changed a file, nor its owner, mode or links: nobody can set back `ctime`."""
    return (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )


@contextmanager
def _new_file(name: Path) -> Iterator[tuple[int, bool]]:
    """A new file of mode 0600, and whether it has its name already (else `give_name`)."""
    with suppress(FileNotFoundError):
        name.unlink()  # a killed run left it: the document's lock is ours
    nameless = create_nameless(name.parent)
    if nameless is not None:
        with nameless:
            yield nameless.fileno(), False
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(name, flags, 0o600)
    except PermissionError as error:
        raise UsageError(f"cannot change what is in {name.parent}: {error.strerror}") from error
    try:
        yield descriptor, True
    except BaseException:
        with suppress(OSError):
            name.unlink()
        raise
    finally:
        os.close(descriptor)


def _new_of(path: Path) -> Path:
    return _beside(path, "new")


def _redo_of(path: Path) -> Path:
    return _beside(path, "redo")


def _beside(path: Path, kind: str) -> Path:
    """One name for each document, also where its own is as long as a name can be."""
    stem = os.fsdecode(os.fsencode(path.name)[:_NAME])
    whole = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".{stem}.{whole}.tally-{kind}")


def _read(descriptor: int, most: int) -> bytes:
    parts, at = [], 0
    while at < most and (piece := os.pread(descriptor, min(most - at, 16 * _PIECE), at)):
        parts.append(piece)
        at += len(piece)
    return b"".join(parts)


def _write(descriptor: int, at: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, at)
        at += written
        left = left[written:]
