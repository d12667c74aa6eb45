"""Places in a document: names from its top down, and how they are found, written and labelled.

A name is any text; in a place that people write, `~1` stands for a slash in a name and `~0` for a
tilde, as in a JSON pointer (RFC 6901). No I/O.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.messages.labels import Component, Label, checked
from tigertally.delegation.protocol.nodes import Kind, Node, line_of

Place = tuple[str, ...]  # names, in normal form C; elements of lists by their number from 0

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_PART = re.compile(r"#[1-9][0-9]*")
_ESCAPED = re.compile(r"~[01]")
_MERGE = "<<"


def parse_place(text: str) -> Place:
    """A place as people write it; `/` is the whole document.

    Raises:
        UsageError: a name is empty.
    """
    if text == "/":
        return ()
    names = tuple(
        name.replace("~1", "/").replace("~0", "~") for name in normal(text).strip("/").split("/")
    )
    if "" in names:
        raise UsageError("a place is names between slashes, and none is empty; / is everything")
    return names


def place_text(place: Place) -> str:
    """A place as people write it. A tilde is written as it is where nothing mistakes it."""
    return "/".join(map(_written, place)) or "/"


def normal(name: str) -> str:
    """A name in Unicode normal form C: what looks the same is the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def label_of(document: Label, place: Place, part: int = 1) -> Label:
    """The label of a field: the document's, then the names down to it.

    A name is its own component, but one with a slash, or with what stands for one, is written as
    in a place. Fields of the second YAML document in a file are below `#2`, and so on.

    Raises:
        UsageError: a name that no label can have.
    """
    below = (f"#{part}",) if part > 1 else ()
    if part == 1 and place and _PART.fullmatch(place[0]):
        raise UsageError(f"{place[0]} cannot be a name at the top: it means a document of the file")
    return checked_label((*document, *map(component_of, (*below, *place))))


def checked_label(label: Label) -> Label:
    """The label, if it is not too deep."""
    try:
        return checked(label)
    except MalformedMessage as error:
        raise UsageError(str(error)) from error


def component_of(name: str) -> Component:
    """The name of a label for a name in a document."""
    try:
        return Component(_written(normal(name)))
    except MalformedMessage as error:
        raise UsageError(f"{shown(name)} cannot be the name of a field: {error}") from error


def landed_label(document: Label, place: Place) -> Label | None:
    """The label that earlier versions gave to a field, where it is another one.

    So it is where a name has `~0` or `~1` in it.
    """
    if not any(_ESCAPED.search(name) and "/" not in name for name in place):
        return None
    if any("/" in name for name in place):
        return None
    return (*document, *map(Component, place))


def shown(name: str) -> str:
    """A name for people, on one line and not too long."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name[:60])
    return f"{text}…" if len(name) > 60 else text or '""'


class Way(NamedTuple):
    """How far a place leads into a document.

    Attributes:
        nodes: the mappings and lists on the way, from the top.
        indexes: which pair or item of each leads on.
        end: what stands where the way ends: at the place, or where its next name is missing.
        missing: the names that are not there.
    """

    nodes: tuple[Node, ...]
    indexes: tuple[int, ...]
    end: Node
    missing: Place


def way_to(text: str, root: Node, place: Place) -> Way:
    """Follow a place into a document, as far as it leads.

    Raises:
        UsageError: a name on the way is there twice, is written with an anchor, alias or tag, or
            is no number in a list; says which, and the line.
    """
    node, nodes, indexes = root, list[Node](), list[int]()
    for depth, name in enumerate(place):
        _check_plain(text, node, place[:depth])
        index = _index_of(text, node, place[:depth], name)
        if index is None:
            return Way(tuple(nodes), tuple(indexes), node, place[depth:])
        nodes.append(node)
        indexes.append(index)
        node = node.pairs[index][1] if node.kind is Kind.MAPPING else node.items[index]
    _check_plain(text, node, place)
    return Way(tuple(nodes), tuple(indexes), node, ())


def found(text: str, root: Node, place: Place) -> Node:
    """What is at a place.

    Raises:
        UsageError: nothing is; or as `way_to`.
    """
    way = way_to(text, root, place)
    if not way.missing:
        return way.end
    depth = len(way.nodes)
    if way.end.kind is Kind.SCALAR and not way.end.is_empty:
        line = line_of(text, way.end.start)
        raise UsageError(
            f"{place_text(place[:depth])} is one value, line {line}: it has nothing below it"
        )
    raise UsageError(f"the document has no {place_text(place[: depth + 1])}")


def check_addition(text: str, node: Node, place: Place) -> None:
    """May a name be added to this mapping?

    Raises:
        UsageError: a merge key gives it names that are not seen here.
    """
    for name, _ in node.pairs:
        if name.text == _MERGE and not name.style:
            raise UsageError(
                f"{place_text(place)} takes names from elsewhere by a merge key, line "
                f"{line_of(text, name.start)}: write the new name there in an editor first"
            )


def _index_of(text: str, node: Node, place: Place, name: str) -> int | None:
    if node.kind is Kind.LIST:
        return _item_of(text, node, place, name)
    same = [
        index
        for index, (key, _) in enumerate(node.pairs)
        if key.kind is Kind.SCALAR and (key.text == name or normal(key.text) == name)
    ]
    if len(same) > 1:
        lines = " and ".join(str(line_of(text, node.pairs[i][0].start)) for i in same)
        raise UsageError(f"the document has {place_text((*place, name))} twice, lines {lines}")
    if not same:
        return None
    _check_plain(text, node.pairs[same[0]][0], (*place, name))
    return same[0]


def _item_of(text: str, node: Node, place: Place, name: str) -> int | None:
    where = f"{place_text(place)} is a list of {len(node.items)}, line {line_of(text, node.start)}"
    if not _NUMBER.fullmatch(name):
        raise UsageError(f"{where}: {shown(name)} is no number of an element, from 0")
    index = int(name)
    if index > len(node.items):
        raise UsageError(f"{where}: the next element is {len(node.items)}")
    return index if index < len(node.items) else None


def _check_plain(text: str, node: Node, place: Place) -> None:
    if node.kind is Kind.ALIAS:
        what = "an alias of what is written elsewhere"
    elif node.marks.startswith("&"):
        what = "marked by an anchor, so that others mean it, too"
    elif node.marks:
        what = "marked by a tag"
    else:
        return
    raise UsageError(
        f"{place_text(place)} is {what}, line {line_of(text, node.start)}: "
        "such places are not supported, write the value out first"
    )


def _written(name: str) -> str:
    if "/" not in name and not _ESCAPED.search(name):
        return name
    return name.replace("~", "~0").replace("/", "~1")
