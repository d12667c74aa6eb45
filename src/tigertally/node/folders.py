"""How a profile comes to be: filled in a folder beside it, and named when it is complete."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tigertally.base.errors import UsageError
from tigertally.base.ids import Name
from tigertally.crypto.files import flush_directory


@contextmanager
def building(home: Path, profile: Name) -> Iterator[Path]:
    """A folder to fill, which becomes the profile when the block ends without an exception.

    A crash in between leaves no profile; what it left behind is removed by the next try.

    Raises:
        UsageError: there is a profile of that name.
    """
    target = home / profile
    if os.path.lexists(target):
        raise taken(profile)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with workshop(home, prefix=f".{profile}.", suffix=".partial") as folder:
        yield folder
        flush_directory(folder)
        try:
            folder.rename(target)
        except OSError as error:
            raise (taken(profile) if os.path.lexists(target) else error) from error
        try:
            flush_directory(home)
        except BaseException:
            target.rename(folder)  # whoever asked is told that it failed: then nothing is there
            raise


@contextmanager
def workshop(home: Path, *, prefix: str, suffix: str = "") -> Iterator[Path]:
    """A new folder to work in, mode 0700; whatever is left in it goes when the block ends.

    First those of the same prefix and suffix are removed whose process was killed.
    """
    remove_dead(home, prefix=prefix, suffix=suffix)
    folder, lock = _new_folder(home, prefix, suffix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_dead(home: Path, *, prefix: str, suffix: str = "") -> None:
    """Remove the folders of workshops whose process was killed: nobody has their lock."""
    for dead in home.glob(f"{prefix}*{suffix}"):
        lock = _lock(dead)
        if lock is not None:
            shutil.rmtree(dead, ignore_errors=True)
            os.close(lock)


def _new_folder(home: Path, prefix: str, suffix: str) -> tuple[Path, int]:
    """A new folder and its lock; another one if somebody has taken the first for a dead one."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=home))
        lock = _lock(folder)
        if lock is not None:
            return folder, lock


def _lock(folder: Path) -> int | None:
    """The folder's own lock, as a descriptor; None if another has it or the folder is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def taken(profile: Name) -> UsageError:
    """The error of a name that a profile has already."""
    return UsageError(f"there is a profile {profile} already")
