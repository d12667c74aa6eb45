"""How a profile comes to be: filled in a folder beside it, and named when it is complete."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tigertally.base.errors import UsageError
from tigertally.base.ids import Name


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
    for dead in home.glob(f".{profile}.*.partial"):
        with suppress(OSError), locked(dead):  # of somebody who is at work it is locked
            shutil.rmtree(dead, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{profile}.", suffix=".partial", dir=home))
    try:
        with locked(folder):
            yield folder
            flush_directory(folder)
            try:
                folder.rename(target)
            except OSError as error:
                raise (taken(profile) if os.path.lexists(target) else error) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    flush_directory(home)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's own lock: somebody is at work in it. `OSError` if another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def taken(profile: Name) -> UsageError:
    """The error of a name that a profile has already."""
    return UsageError(f"there is a profile {profile} already")


def flush_directory(folder: Path) -> None:
    """Make sure that a folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
