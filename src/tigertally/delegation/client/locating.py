"""From the URL of a file or folder to its store and label.

A URL does not say where the store ends and the label begins. The file itself does, and that is
checked: in a store that the reader knows, the label is everything behind the store's URL; elsewhere
the URL must end with the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    Refused,
    Unavailable,
    UsageError,
)
from tigertally.delegation.client.files import Unlocker, found
from tigertally.delegation.client.naming import naming
from tigertally.delegation.messages.labels import (
    KEYS_SUFFIX,
    Component,
    Label,
    checked,
    label_text,
)
from tigertally.delegation.protocol import reading
from tigertally.delegation.stores.interface import ObjectStore
from tigertally.delegation.stores.local import LocalStore
from tigertally.delegation.stores.open import folder_of, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where something is; `files` are the labels of a folder's files, or None for one file."""

    store: ObjectStore
    label: Label
    files: tuple[Label, ...] | None


def locate(url: str, unlocker: Unlocker, known: Sequence[str]) -> Location:
    """Find the store and label of what is at a URL.

    Args:
        url: of a file or folder.
        unlocker: opens the head of the file, or of the folder's first file.
        known: URLs of the reader's stores.

    Raises:
        Unavailable: there is nothing.
        UsageError: a URL of key slots, or of a stream.
        Refused: it is not for this reader.
        InvalidSignature: it was written for another place.
    """
    place = folder_of(url)
    if place.name.endswith(KEYS_SUFFIX):
        raise UsageError(f"{url} holds the key slots of a file: say the name without {KEYS_SUFFIX}")
    names = _objects(place)
    if names is None:
        label = _label_inside(place, unlocker)
        return Location(store=_store(place, label, known), label=label, files=None)
    if not names:
        raise Unavailable(f"there is nothing at {url}")
    first = _label_inside(place.joinpath(*names[0]), unlocker)
    label = first[: len(first) - len(names[0])]
    if (*label, *names[0]) != first:
        raise _elsewhere(place.joinpath(*names[0]), first)
    store = _store(place, label, known)
    return Location(store=store, label=label, files=tuple(_below(label, n) for n in names))


def _objects(place: Path) -> list[tuple[str, ...]] | None:
    """The files of a folder by their names in it; None where it is no folder."""
    if not place.is_dir():
        return None
    listed = list(LocalStore(str(place), place).list(()))
    return [names for names in listed if not names[-1].endswith(KEYS_SUFFIX)]


def _label_inside(file: Path, unlocker: Unlocker) -> Label:
    """The label that the file at this place was written for."""
    with naming(str(file)):
        source, header, slots = found(LocalStore(str(file.parent), file.parent), (file.name,))
    source.close()
    try:
        unlocked = unlocker.unlock(header, slots, ())
    except Refused as error:
        raise Refused(f"{file} has no key slot for you: it was written by another owner") from error
    with naming(str(file)), unlocked.dek:
        return reading.open_header(header, unlocked.dek, unlocked.id, unlocked.label).meta.path


def _store(place: Path, label: Label, known: Sequence[str]) -> ObjectStore:
    """The store in which `place` is called `label`."""
    top = place.parents[len(label) - 1] if 0 < len(label) < len(place.parts) else place
    if place != top.joinpath(*label):
        raise _elsewhere(place, label)
    folders = {folder_of(url): url for url in known}
    if any(place.is_relative_to(folder) for folder in folders) and top not in folders:
        raise _elsewhere(place, label)
    return open_store(folders.get(top, str(top)))


def _below(label: Label, names: Sequence[str]) -> Label:
    try:
        return checked((*label, *(Component(name) for name in names)))
    except MalformedMessage as error:
        raise InvalidSignature(f"{'/'.join(names)} is not the name of a file of ours") from error


def _elsewhere(place: Path, label: Label) -> InvalidSignature:
    return InvalidSignature(f"what is at {place} was written for {label_text(label)}")
