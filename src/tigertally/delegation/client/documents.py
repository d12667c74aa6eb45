"""YAML and JSON documents whose every field is encrypted by itself; names stay readable.

A document is edited as text: what is not named stays as it is, byte for byte.
docs/protocols/delegation-files.md, "Documents".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tigertally.base.errors import InvalidSignature, MalformedMessage, UsageError
from tigertally.base.randomness import SystemRandomness
from tigertally.delegation.client.files import Unlocker, opened_with
from tigertally.delegation.client.naming import naming
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages import headers
from tigertally.delegation.messages.labels import Label
from tigertally.delegation.protocol import edits, fields, markup, reading
from tigertally.delegation.protocol.looks import Content
from tigertally.delegation.protocol.nodes import Kind, Node, line_of
from tigertally.delegation.protocol.places import (
    Place,
    found,
    label_of,
    landed_label,
    normal,
    place_text,
    way_to,
)
from tigertally.storage import replacement

_MOST = 4 * edits.MAX_BYTES + 1  # one more than is taken
_MARK = "\ufeff"  # of byte order: what Windows puts in front of a text
_YAML = (".yaml", ".yml")
_OTHERS = (".toml", ".ini", ".env", ".properties", ".xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is at a place, plain fields among it.

    Attributes:
        content: text in the document's language, or values.
        plain: the places that are not encrypted: nobody vouches for them.
    """

    content: Any
    plain: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file on this machine: names in the clear, a unit for each field.

    Attributes:
        path: the file.
        label: of the document.
        text: what it says.
        marked: a byte-order mark is in front.
        raw: the bytes it was read from, if it has not changed since.
    """

    path: Path
    label: Label
    text: edits.Text
    marked: bool = False
    raw: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def tree(self) -> Any:
        """Names to trees, lists, units or plain text: all of the first YAML document in it."""
        root = self.text.root(1)
        return _tree(root) if root is not None and not root.is_empty else {}

    def part_of(self, place: Place, number: int | None = None) -> int:
        """Which of the YAML documents in the file is meant, from 1.

        Args:
            place: that is in it.
            number: what was said; else the only one, or the only one with the place's first name.

        Raises:
            UsageError: there is no such one, or it could be any.
        """
        parts = self.text.parts
        if number is not None:
            if not 1 <= number <= max(len(parts), 1):
                raise UsageError(f"{self.path} has no document {number}: it holds {len(parts)}")
            return number
        if len(parts) <= 1:
            return 1
        having = [
            index
            for index, part in enumerate(parts, 1)
            if place and any(normal(name.text) == place[0] for name, _ in part.root.pairs)
        ]
        if len(having) == 1:
            return having[0]
        raise UsageError(
            f"{self.path} holds {len(parts)} YAML documents: say --document, 1 to {len(parts)}"
        )

    def with_value(
        self,
        place: Place,
        value: Any,
        owner: Owner,
        now: int,
        *,
        part: int | None = None,
        replaces: bool = False,
    ) -> Document:
        """The document with this value, or tree of values, encrypted at a place.

        Args:
            place: where.
            value: what.
            owner: encrypts and signs.
            now: Unix seconds.
            part: the number of the YAML document.
            replaces: fields that are lost by it may be.

        Raises:
            UsageError: the place cannot be found or written; or fields would be lost; or the whole
                document would become a single value.
        """
        number = self.part_of(place, part)
        self.check(place, value, part=number, replaces=replaces)
        content = self._sealed(place, value, number, owner, now)
        return replace(self, text=self.text.with_content(place, content, number), raw=None)

    def check(self, place: Place, value: Any, *, part: int, replaces: bool) -> None:
        """Could this be set there? Asked before anything is encrypted; raises as `with_value`."""
        if not place and not isinstance(value, Mapping):
            raise UsageError("a document is a mapping of names: give its names, too")
        root = self.text.root(part)
        if _is_other(self.path) and (root is None or root.kind is not Kind.MAPPING):
            raise UsageError(f"{self.path} is no document: its name says neither YAML nor JSON")
        if not replaces:
            edits.check_kept(self.text, place, value, part)
        for below, _ in fields.leaves(value, place):
            label_of(self.label, below, part)

    def without(self, place: Place, *, part: int | None = None) -> Document:
        """The document without what is at a place, and without mappings made for it.

        Raises:
            UsageError: nothing is there, or it cannot be taken out.
        """
        return replace(self, text=self.text.without(place, self.part_of(place, part)), raw=None)

    def value(self, place: Place, unlocker: Unlocker, *, part: int | None = None) -> Any:
        """The value, or tree of values, at a place.

        Raises:
            UsageError: there is nothing, or it is not encrypted.
            MalformedMessage, InvalidSignature: a field was changed, moved, or made by a stranger.
            Refused: it is not for this reader.
        """
        number = self.part_of(place, part)
        node = self._at(place, number)
        opened = self._opened(place, node, number, unlocker)
        for path, scalar in _scalars(node, place):
            if path not in opened:
                raise UsageError(
                    f"{place_text(path)} is not encrypted, line "
                    f"{line_of(self.text.text, scalar.start)}: --plain prints it as it is"
                )
        return self._value(node, place, opened)

    def shown(
        self, place: Place, unlocker: Unlocker, *, part: int | None = None, as_text: bool
    ) -> Shown:
        """What is at a place; what is not encrypted is passed through, and named.

        All the YAML documents of the file if the place is all, and none was said.

        Args:
            place: where.
            unlocker: opens what is encrypted.
            part: the number of the YAML document.
            as_text: in the document's language, in the words that it has; else as values.

        Raises:
            UsageError, MalformedMessage, InvalidSignature, Refused: as `value`.
        """
        if place or part is not None or not self.text.parts:
            number = self.part_of(place, part)
            nodes = {number: self._at(place, number)} if place or self.text.parts else {}
        else:
            nodes = {number: one.root for number, one in enumerate(self.text.parts, 1)}
        plain: list[Place] = []
        values, texts = [], {}
        for number, node in nodes.items():
            opened = self._opened(place, node, number, unlocker)
            above = (f"#{number}",) if number > 1 else ()
            plain += [(*above, *path) for path, _ in _scalars(node, place) if path not in opened]
            texts.update(opened_at(node, place, opened))
            if not as_text:
                values.append(self._value(node, place, opened))
        if not as_text:
            content = values[0] if len(values) == 1 else values
        elif not place and part is None:
            content = (_MARK if self.marked else "") + markup.opened_text(self.text, texts)
        else:
            content = markup.text_of(self.text, nodes[number], texts)
        return Shown(content=content, plain=tuple(plain))

    def content(self) -> bytes:
        """The document as it is stored."""
        return ((_MARK if self.marked else "") + self.text.text).encode()

    def save(self) -> None:
        """Write the document over whatever is there; `edit` loses nobody else's change."""
        replacement.changed(self.path, lambda _: self.content(), most=_MOST)

    def _at(self, place: Place, number: int) -> Node:
        root = self.text.root(number)
        if root is None or (root.is_empty and place):
            raise UsageError(f"the document has no {place_text(place[:1])}")
        return found(self.text.text, root, place)

    def _sealed(self, place: Place, value: Any, part: int, owner: Owner, now: int) -> Content:
        if isinstance(value, Mapping) and (value or not place):
            return {
                normal(name): self._sealed((*place, normal(name)), below, part, owner, now)
                for name, below in value.items()
            }
        path = label_of(self.label, place, part)
        try:
            return fields.seal_field(
                owner.levels(path[:-1]),
                path,
                value,
                sender=owner.signing_key,
                written=now,
                randomness=SystemRandomness(),
            )
        except (MalformedMessage, UsageError) as error:
            raise UsageError(f"{place_text(place)}: {error}") from error

    def _opened(self, place: Place, node: Node, part: int, unlocker: Unlocker) -> dict[Place, Any]:
        """The values of all encrypted fields at and below a place."""
        opened = {}
        try:
            _check_names_above(self.text.text, node)
        except MalformedMessage as error:  # of a person's own file
            raise UsageError(str(error)) from None
        for path, scalar in _scalars(node, place):
            if not _is_field(scalar):
                continue
            with naming(place_text(path)):
                opened[path] = self._field(scalar.text, path, part, unlocker)
        return opened

    def _field(self, unit: str, place: Place, part: int, unlocker: Unlocker) -> Any:
        label = label_of(self.label, place, part)
        before = landed_label(self.label, place) if part == 1 else None
        if before is None:
            return open_field(unit, label, unlocker)
        try:
            return open_field(unit, label, unlocker)
        except InvalidSignature:
            return open_field(unit, before, unlocker)

    def _value(self, node: Node, place: Place, opened: dict[Place, Any]) -> Any:
        text = self.text.text
        if place in opened:
            return opened[place]
        if node.kind is Kind.SCALAR and not node.marks:
            return markup.plain_value(node, json=self.text.json)
        if node.kind is Kind.ALIAS or node.marks:
            way_to(text, node, ())  # says what is wrong with it
        if node.kind is Kind.LIST:
            return [
                self._value(item, (*place, str(index)), opened)
                for index, item in enumerate(node.items)
            ]
        try:
            markup.check_names(text, node)
        except MalformedMessage as error:
            raise UsageError(str(error)) from None
        return {
            name.text: self._value(below, (*place, normal(name.text)), opened)
            for name, below in node.pairs
        }


def opened_at(node: Node, place: Place, opened: Mapping[Place, Any]) -> dict[int, Any]:
    """Values by where in the text their fields begin."""
    return {scalar.start: opened[path] for path, scalar in _scalars(node, place) if path in opened}


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
        UsageError: it cannot be read; or it is not YAML, or JSON where its name ends so.
    """
    try:
        raw = replacement.content_of(path, most=_MOST)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if raw is None and not create:
        raise UsageError(f"there is no document {path}")
    return parsed(path, label, raw)


def edit(
    path: Path,
    label: Label,
    change: Callable[[Document], Document],
    known: Document | None = None,
) -> None:
    """Change a document, or make it; nothing but its content changes, and no other change is lost.

    Args:
        path: the document.
        label: its label.
        change: gives the document as it shall be; called again where somebody else was faster.
        known: what `load` gave; it is not parsed again if it is still that.

    Raises:
        UsageError, Unavailable, OSError: as `load` and `storage/replacement.py`.
    """

    def edited(raw: bytes | None) -> bytes:
        if known is not None and known.raw == raw:
            return change(known).content()
        return change(parsed(path, label, raw)).content()

    try:
        replacement.changed(path, edited, most=_MOST)
    except OSError as error:
        if error.filename is None:  # as on a full disk
            error.filename = str(path)
        raise


def parsed(path: Path, label: Label, raw: bytes | None) -> Document:
    """The document that these bytes are; an empty one where there are none.

    Raises:
        UsageError: as `load`.
    """
    json = is_json(path)
    try:
        text = (raw or b"").decode()
        bare = text.removeprefix(_MARK)
        read = edits.Text.parse(bare, json=json)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error
    except MalformedMessage as error:
        raise UsageError(f"{path}: {error}") from error
    return Document(path=path, label=label, text=read, marked=bare != text, raw=raw)


def is_json(path: Path) -> bool:
    """Whether a document is JSON, by its name; else it is YAML."""
    return path.suffix.lower() == ".json"


def names_language(path: Path) -> bool:
    """Whether the name of a file says that it is YAML or JSON."""
    return path.suffix.lower() in (".json", *_YAML)


def _is_other(path: Path) -> bool:
    """Whether the name of a file says that it is in a language that is not edited here."""
    return (path.suffix or path.name).lower() in _OTHERS  # `.env` has no suffix


def _tree(node: Node) -> Any:
    if node.kind is Kind.MAPPING:
        return {normal(name.text): _tree(value) for name, value in node.pairs}
    if node.kind is Kind.LIST:
        return [_tree(item) for item in node.items]
    return node.text


def _is_field(node: Node) -> bool:
    """Whether an encrypted field stands there, which no anchor or tag turns into something else."""
    return node.kind is Kind.SCALAR and not node.marks and fields.is_unit(node.text)


def _check_names_above(text: str, node: Node) -> bool:
    """Whether a node is a field or has some below; then the names down to them mean one place.

    Raises:
        MalformedMessage: one is there twice, or its anchor, alias or tag says another name.
    """
    if node.items:
        below = [_check_names_above(text, item) for item in node.items]
        return True in below
    if not node.pairs:
        return _is_field(node)
    above = {normal(name.text) for name, below in node.pairs if _check_names_above(text, below)}
    if above:
        markup.check_names_among(text, node, above)
    return bool(above)


def _scalars(node: Node, place: Place) -> Iterator[tuple[Place, Node]]:
    """Whatever is one value at and below a place, and where it is."""
    if node.pairs:
        for name, value in node.pairs:
            yield from _scalars(value, (*place, normal(name.text)))
    elif node.items:
        for index, item in enumerate(node.items):
            yield from _scalars(item, (*place, str(index)))
    elif node.kind in (Kind.SCALAR, Kind.ALIAS):
        yield place, node
