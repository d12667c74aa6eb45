"""YAML and JSON documents whose every field is encrypted by itself; names stay readable.

docs/protocols/delegation-files.md, "Documents".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.randomness import SystemRandomness
from tigertally.delegation.client.files import Unlocker, opened_with
from tigertally.delegation.client.naming import naming
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages import headers
from tigertally.delegation.messages.labels import Component, Label
from tigertally.delegation.protocol import fields, markup, reading
from tigertally.storage import replacement

_MOST = 4 * markup.MAX_BYTES + 1  # one more than is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file on this machine: names in the clear, a unit for each field."""

    path: Path
    label: Label
    tree: fields.Tree
    commented: bool = False  # its text has comments, which saving loses

    def with_value(self, place: Label, value: Any, owner: Owner, now: int) -> Document:
        """The document with this value, or tree of values, at a place.

        Raises:
            UsageError: a field stands where a subtree would have to be; or the whole document
                would become a single value.
        """
        if not place and not isinstance(value, Mapping):
            raise UsageError("a document is a mapping of names")
        below = {
            path: self._sealed((*place, *path), leaf, owner, now)
            for path, leaf in fields.leaves(value)
        }
        if set(below) == {()}:
            found: Any = below[()] if place else {}
        else:
            found = {}
            for path, unit in below.items():
                found = fields.replaced(found, path, unit)
        return Document(
            path=self.path, label=self.label, tree=fields.replaced(self.tree, place, found)
        )

    def value(self, place: Label, unlocker: Unlocker) -> Any:
        """The value, or tree of values, at a place.

        Raises:
            UsageError: there is nothing.
            MalformedMessage, InvalidSignature: a field was changed, moved, or made by a stranger.
            Refused: it is not for this reader.
        """
        return self._opened(fields.find(self.tree, place), place, unlocker)

    def content(self) -> bytes:
        """The document as it is stored."""
        json = self.path.suffix == ".json"
        text = markup.dump_json(self.tree) if json else markup.dump_yaml(self.tree)
        return text.encode()

    def save(self) -> None:
        """Write the document over whatever is there; `edit` loses nobody else's change."""
        replacement.changed(self.path, lambda _: self.content(), most=_MOST)

    def _sealed(self, place: Label, value: Any, owner: Owner, now: int) -> str:
        path = (*self.label, *place)
        return fields.seal_field(
            owner.levels(path[:-1]),
            path,
            value,
            sender=owner.signing_key,
            written=now,
            randomness=SystemRandomness(),
        )

    def _opened(self, found: Any, place: Label, unlocker: Unlocker) -> Any:
        if isinstance(found, Mapping):
            return {
                name: self._opened(below, (*place, Component(name)), unlocker)
                for name, below in found.items()
            }
        if not isinstance(found, str):
            raise MalformedMessage(f"{'/'.join(place)} is not encrypted")
        with naming("/".join(place)):
            return open_field(found, (*self.label, *place), unlocker)


def open_field(unit: str, path: Label, unlocker: Unlocker) -> Any:
    """The value of one unit, made for this path by one who may write there."""
    header, data, slots = fields.parse_unit(unit)
    opened = opened_with(unlocker, header, slots, path, headers.FIELD)
    sink = io.BytesIO()
    with opened.dek:
        content = reading.read_object(opened, data, sink)
    reading.check_sender(content, unlocker.writers(path[:-1]))
    return fields.unpadded(sink.getvalue())


def load(path: Path, label: Label, *, create: bool = False) -> Document:
    """Read a document; with `create` one that is not there is empty.

    Raises:
        UsageError: it cannot be read.
        MalformedMessage: it is not YAML, or JSON where its name ends so.
    """
    try:
        raw = replacement.content_of(path, most=_MOST)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if raw is None and not create:
        raise UsageError(f"there is no document {path}")
    return parsed(path, label, raw)


def edit(path: Path, label: Label, change: Callable[[Document], Document]) -> None:
    """Change a document, or make it; nothing but its content changes, and no other change is lost.

    Args:
        path: the document.
        label: its label.
        change: gives the document as it shall be; called again where somebody else was faster.

    Raises:
        UsageError, Unavailable, OSError: as `storage/replacement.py`.
        MalformedMessage: as `load`.
    """

    def edited(raw: bytes | None) -> bytes:
        return change(parsed(path, label, raw)).content()

    replacement.changed(path, edited, most=_MOST)


def parsed(path: Path, label: Label, raw: bytes | None) -> Document:
    """The document that these bytes are; an empty one where there are none.

    Raises:
        MalformedMessage: as `load`.
    """
    if raw is None:
        return Document(path=path, label=label, tree={})
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"{path} is not UTF-8 text") from error
    with naming(str(path)):
        tree = markup.parse_json(text) if path.suffix == ".json" else markup.parse_yaml(text)
    if tree is None:
        tree = {}
    if not isinstance(tree, Mapping):
        raise MalformedMessage(f"{path} is not a mapping of names")
    commented = path.suffix != ".json" and markup.has_comments(text)
    return Document(path=path, label=label, tree=dict(tree), commented=commented)
