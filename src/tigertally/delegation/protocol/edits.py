"""Change one place of a document in its text, and nothing else.

Every edit is read again: what the document says anywhere else must be the same, in the same words,
and the place must hold what was put there. Else the edit is refused. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.protocol import excerpts, json_text, yaml_text
from tigertally.delegation.protocol.agreement import ABSENT, agree
from tigertally.delegation.protocol.anchors import alias_of_inside
from tigertally.delegation.protocol.looks import GONE, Content, Splice, look_of, spliced
from tigertally.delegation.protocol.nodes import Kind, Node, line_of
from tigertally.delegation.protocol.places import Place, Way, normal, place_text, way_to
from tigertally.delegation.protocol.ways import Removal, ways_to_put, ways_to_remove
from tigertally.delegation.protocol.yaml_text import Part

MAX_BYTES = 16 * 1024 * 1024
MOST_NESTED = 80  # mappings and lists in each other: a label's depth, and lists within
MOST_NODES = 2_000_000  # names, lists and values: 400 MB of memory


@dataclass(frozen=True, kw_only=True)
class Text:
    """A document's text and what it says.

    Attributes:
        text: without a byte-order mark.
        json: its language; else YAML.
    """

    text: str
    json: bool

    @classmethod
    def parse(cls, text: str, *, json: bool) -> Text:
        """Read a text.

        Raises:
            MalformedMessage: it is not of this language, or too long, too deep or too much.
        """
        found = cls(text=text, json=json)
        _ = found.parts
        return found

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The YAML documents in it; of JSON one, or none where the file is empty."""
        return _parsed(self.text, json=self.json)

    def root(self, part: int) -> Node | None:
        """What a part says, by its number from 1; nothing where the text is empty."""
        return self.parts[part - 1].root if self.parts else None

    def with_content(self, place: Place, content: Content, part: int = 1) -> Text:
        """The text with this content at a place; only a mapping fills the whole document.

        Raises:
            UsageError: the place cannot be found or written; says why, and the line.
        """
        root = self.root(part)
        way = way_to(self.text, root, place) if root else Way((), (), ABSENT, place)
        self._check_not_meant(root, way.end, place[: len(way.nodes)], added=bool(way.missing))
        look = look_of(self.text, root, json=self.json)
        ways = ways_to_put(self.text, way, content, look)
        changes = ((len(place), content, splices) for splices in ways)
        return self._first_right(part, place, changes, way)

    def without(self, place: Place, part: int = 1) -> Text:
        """The text without a place, and without the mappings that were made for it.

        Raises:
            UsageError: nothing is there, or it cannot be taken out; says why, and the line.
        """
        if not place:
            raise UsageError("a document is not taken out whole: delete the file, or name places")
        root = self.root(part)
        way = way_to(self.text, root, place) if root else None
        if way is None or way.missing:
            known = len(way.nodes) if way else 0
            raise UsageError(f"the document has no {place_text(place[: known + 1])}")
        self._check_not_meant(root, way.end, place)
        return self._first_right(part, place, ways_to_remove(self.text, way), way)

    def _check_not_meant(
        self, root: Node | None, node: Node, place: Place, *, added: bool = False
    ) -> None:
        """Does no alias elsewhere mean something in what goes? Asked before an edit.

        Raises:
            UsageError: one does; says where, and the line of the alias.
        """
        if root is None or added:  # nothing that could have an anchor goes
            return
        alias = alias_of_inside(root, node)
        if alias is not None:
            raise UsageError(
                f"the alias *{alias.text}, line {line_of(self.text, alias.start)}, means something "
                f"in {place_text(place)}: write the value out there first"
            )

    def _first_right(
        self,
        part: int,
        place: Place,
        changes: Iterable[tuple[int, Content, list[Splice]] | Removal],
        way: Way,
    ) -> Text:
        """The first of some changes that changes nothing else."""
        for depth, outcome, splices in changes:
            if self._is_right(part, place[:depth], outcome, splices=splices, way=way):
                return Text(text=spliced(self.text, splices), json=self.json)
        raise UsageError(
            f"{place_text(place)} is written in a way that is not supported, line "
            f"{line_of(self.text, way.end.start)}: nothing was changed, do it in an editor"
        )

    def _is_right(
        self, part: int, place: Place, outcome: Content, *, splices: list[Splice], way: Way
    ) -> bool:
        """Read the text with these pieces again: has only this place changed?"""
        if len(self.text) > excerpts.LARGE:
            stays = len(place) - (outcome is GONE)
            excerpt = excerpts.excerpt_of(
                self.text, way, place, splices, json=self.json, stays=stays
            )
            if excerpt is not None and excerpt.agrees(outcome, _parsed, json=self.json):
                return True
        try:
            found = _parsed(spliced(self.text, splices), json=self.json)
        except MalformedMessage:
            return False
        return agree(self.parts, found, part, place, outcome)


def _parsed(text: str, *, json: bool) -> tuple[Part, ...]:
    if len(text) > MAX_BYTES:
        raise MalformedMessage("the document is too long: write large values as files")
    if not json:
        return yaml_text.parse(text, most_nested=MOST_NESTED, most_nodes=MOST_NODES)
    if not text:
        return ()
    root = json_text.parse(text, most_nested=MOST_NESTED, most_nodes=MOST_NODES)
    return (Part(root, root.end),)


def check_kept(text: Text, place: Place, value: Any, part: int) -> None:
    """Is nothing lost but one value, when another value or tree of values takes a place?

    Raises:
        UsageError: fields would be lost that are not given anew.
    """
    root = text.root(part)
    if root is None:
        return
    way = way_to(text.text, root, place)
    node, depth = way.end, len(way.nodes)
    names = place_text(place[:depth])
    lost = ""
    if way.missing:
        of_list = bool(way.nodes) and way.nodes[-1].kind is Kind.LIST
        if node.kind is Kind.SCALAR and (of_list or not node.is_empty):
            lost = f"the value of {names}"
    elif node.kind is Kind.SCALAR:
        if isinstance(value, Mapping) and value and not node.is_empty:
            lost = f"the value of {names}"
    elif (node.pairs or node.items) and not _has_all(value, node):
        lost = f"what is below {names}"
    if lost:
        line = line_of(text.text, node.start)
        raise UsageError(f"{lost}, line {line}, would be lost: say --replace if it shall be")


def _has_all(value: Any, node: Node) -> bool:
    """Whether a tree of values has a value for everything that a node has one for."""
    if node.kind is Kind.SCALAR:
        return node.is_empty or not (isinstance(value, Mapping) and value)
    if node.kind is Kind.ALIAS or not node.pairs:
        return node.kind is not Kind.ALIAS and not node.items
    if not isinstance(value, Mapping):
        return False
    names = {normal(name): below for name, below in value.items()}
    return all(
        normal(name.text) in names and _has_all(names[normal(name.text)], below)
        for name, below in node.pairs
    )
