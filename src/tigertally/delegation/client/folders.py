"""Folders: every file below, under labels that mirror their names.

Links and special files are refused: what is written is exactly what a person sees in the folder.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.crypto.outputs import Output
from tigertally.crypto.signatures import VerifyKey
from tigertally.crypto.stream import Progress
from tigertally.delegation.client import files
from tigertally.delegation.client.locating import Location
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages.labels import (
    KEYS_SUFFIX,
    Component,
    Label,
    checked,
    new_label,
)
from tigertally.delegation.stores.interface import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How much was written or read."""

    files: int
    bytes: int
    others: int = 0  # files at the label that the folder does not have: they stay
    senders: frozenset[VerifyKey] = frozenset()  # who signed what was read
    unsigned: int = 0  # files that nobody signed


def write_folder(
    owner: Owner,
    store: ObjectStore,
    folder: Path,
    label: Label,
    *,
    now: int,
    all_or_nothing: bool = False,
    progress: Progress | None = None,
) -> Done:
    """Write all files of a folder below a label.

    Raises:
        UsageError: no file at all, a name that no label can have, a link, or two names that are the
            same to people.
    """
    found = list(_files(folder, label))
    if not found:
        raise UsageError(f"there is no file in {folder}")
    if len({name for _, name in found}) != len(found):
        raise UsageError(f"two files of {folder} have names that differ only in their encoding")
    size = 0
    with store.batch():
        for file, name in found:
            with file.open("rb", buffering=0) as source:
                size += files.write_file(
                    store,
                    owner.levels(name[:-1]),
                    name,
                    source,
                    sender=owner.signing_key,
                    now=now,
                    all_or_nothing=all_or_nothing,
                    progress=_beyond(size, progress),
                )
    written = {tuple(name) for _, name in found}
    others = [n for n in store.list(label) if not n[-1].endswith(KEYS_SUFFIX) and n not in written]
    return Done(files=len(found), bytes=size, others=len(others))


def files_of(source: Path, label: Label) -> Iterator[tuple[Path, Label]]:
    """The file, or every file of the folder, and the label that it is written under.

    Raises:
        UsageError: as `write_folder`.
    """
    if source.is_dir():
        yield from _files(source, label)
    else:
        yield source, label


def size_of(folder: Path) -> int:
    """The bytes of all files below, as far as they can be seen."""
    sizes = (os.lstat(Path(top, name)) for top, _, names in os.walk(folder) for name in names)
    return sum(found.st_size for found in sizes if stat.S_ISREG(found.st_mode))


def read_folder(
    unlocker: files.Unlocker,
    location: Location,
    output: Output,
    *,
    allow_unsigned: bool = False,
    progress: Progress | None = None,
) -> Done:
    """Read all files of a folder; `output` appears only when all of them are complete.

    Raises:
        UsageError: as `Output.check_folder`.
    """
    assert location.files is not None
    output.check_folder()
    place = output.path
    building = Path(tempfile.mkdtemp(prefix=f".{place.name[:100]}.", dir=place.parent))
    size, senders = 0, []
    try:
        for label in location.files:
            target = building.joinpath(*label[len(location.label) :])
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _private(target) as sink:
                content = files.read_file(
                    location.store,
                    unlocker,
                    label,
                    sink,
                    allow_unsigned=allow_unsigned,
                    progress=_beyond(size, progress),
                )
            size += content.length
            senders.append(content.sender)
        os.sync()
        output.check_folder()
        building.rename(place)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(place)  # "No space left on device" alone does not say where
        shutil.rmtree(building, ignore_errors=True)
        raise
    return Done(
        files=len(location.files),
        bytes=size,
        senders=frozenset(sender for sender in senders if sender),
        unsigned=senders.count(None),
    )


def _private(path: Path) -> BinaryIO:
    """A new file for this user alone."""
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
    )


def _files(folder: Path, label: Label) -> Iterator[tuple[Path, Label]]:
    """Every file below and its label, in order."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        try:
            one = Component(unicodedata.normalize("NFC", entry.name))
            name = new_label(checked((*label, one)))
        except MalformedMessage as error:
            raise UsageError(f"{_shown(entry.path)} cannot be written: {error}") from error
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from _files(Path(entry.path), name)
        elif stat.S_ISREG(mode):
            yield Path(entry.path), name
        else:
            raise UsageError(
                f"{_shown(entry.path)} is a link or a special file, which folders are written "
                "without: take it out, or put what it leads to in its place"
            )


def _shown(path: str) -> str:
    """A path as text that can be read, whatever bytes are in it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)


def _beyond(size: int, progress: Progress | None) -> Progress | None:
    """Progress of one file behind `size` bytes of others."""
    return None if progress is None else lambda done: progress(size + done)
