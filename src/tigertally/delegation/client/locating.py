"""From the URL of a file or folder to its store and label.

A URL does not say where the store ends and the label begins. The file itself does, and that is
checked: in a store that the reader knows, the label is everything behind the store's URL; elsewhere
the URL must end with the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    Refused,
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
from tigertally.delegation.stores.interface import ObjectStore, Place
from tigertally.delegation.stores.open import open_store, place_of


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
    place = place_of(url)
    if place.names and place.names[-1].endswith(KEYS_SUFFIX):
        raise UsageError(f"{url} holds the key slots of a file: say the name without {KEYS_SUFFIX}")
    names = [names for names in place.objects() if not names[-1].endswith(KEYS_SUFFIX)]
    if not names:
        label = _label_inside(place, unlocker)
        return Location(store=_store(place, label, known), label=label, files=None)
    first = _label_inside(place.below(names[0]), unlocker)
    label = first[: len(first) - len(names[0])]
    if (*label, *names[0]) != first:
        raise _elsewhere(place.below(names[0]), first)
    store = _store(place, label, known)
    return Location(store=store, label=label, files=tuple(_below(label, n) for n in names))


def _label_inside(place: Place, unlocker: Unlocker) -> Label:
    """The label that the file at this place was written for."""
    with naming(place.url):
        source, header, slots = found(place.store, place.names)
    source.close()
    try:
        unlocked = unlocker.unlock(header, slots, ())
    except Refused as error:
        raise Refused(
            f"{place.url} has no key slot for you: it was written by another owner"
        ) from error
    with naming(place.url), unlocked.dek:
        return reading.open_header(header, unlocked.dek, unlocked.id, unlocked.label).meta.path


def _store(place: Place, label: Label, known: Sequence[str]) -> ObjectStore:
    """The store in which `place` is called `label`."""
    if place.names[len(place.names) - len(label) :] != label:
        raise _elsewhere(place, label)
    top, places = place.above(len(label)), {url: place_of(url) for url in known}
    named = [url for url, one in places.items() if one.url == top.url]
    if not named and any(place.is_within(one) for one in places.values()):
        raise _elsewhere(place, label)
    return open_store(named[-1] if named else top.url)


def _below(label: Label, names: Sequence[str]) -> Label:
    try:
        return checked((*label, *(Component(name) for name in names)))
    except MalformedMessage as error:
        raise InvalidSignature(f"{'/'.join(names)} is not the name of a file of ours") from error


def _elsewhere(place: Place, label: Label) -> InvalidSignature:
    return InvalidSignature(f"what is at {place.url} was written for {label_text(label)}")
