"""Change one place of a document in its text, and nothing else.

Every edit is read again: what the document says anywhere else must be the same, in the same words,
and the place must hold what was put there. Else the edit is refused. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.protocol import block_text, flow_text, json_text, yaml_text
from tigertally.delegation.protocol.looks import (
    EMPTY,
    EMPTY_LIST,
    GONE,
    NOTHING,
    Content,
    Look,
    Rest,
    Splice,
    column_of,
    line_start,
    look_of,
    spliced,
)
from tigertally.delegation.protocol.nodes import Kind, Node, line_of, same, same_but_inside
from tigertally.delegation.protocol.places import (
    Place,
    Way,
    check_addition,
    normal,
    place_text,
    way_to,
)
from tigertally.delegation.protocol.yaml_text import Part

MAX_BYTES = 16 * 1024 * 1024
MOST_NESTED = 80
MOST_NODES = 1_000_000  # names, lists and values: 200 MB of memory


Outcome: TypeAlias = Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A document's text and what it says.

    Attributes:
        text: without a byte-order mark.
        json: its language; else YAML.
        parts: the YAML documents in it; of JSON one, or none where the file is empty.
    """

    text: str
    json: bool
    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str, *, json: bool) -> Text:
        """Read a text.

        Raises:
            MalformedMessage: it is not of this language, or too long, too deep or too much.
        """
        if len(text) > MAX_BYTES:
            raise MalformedMessage("the document is too long: write large values as files")
        limits = {"most_nested": MOST_NESTED, "most_nodes": MOST_NODES}
        if not json:
            return cls(text=text, json=False, parts=yaml_text.parse(text, **limits))
        node = json_text.parse(text, **limits) if text else None
        return cls(text=text, json=True, parts=(Part(node, node.end),) if node else ())

    def root(self, part: int) -> Node | None:
        """What a part says, by its number from 1; nothing where the text is empty."""
        return self.parts[part - 1].root if self.parts else None

    def with_content(self, place: Place, content: Content, part: int = 1) -> Text:
        """The text with this content at a place; only a mapping fills the whole document.

        Raises:
            UsageError: the place cannot be found or written; says why, and the line.
        """
        root = self.root(part)
        way = way_to(self.text, root, place) if root else Way((), (), _NO_NODE, place)
        look = look_of(self.text, root, json=self.json)
        return self._checked(part, place, content, _ways_to_put(self, part, way, content, look))

    def without(self, place: Place, part: int = 1) -> Text:
        """The text without a place, and without the mappings that were made for it.

        Raises:
            UsageError: nothing is there, or it cannot be taken out; says why, and the line.
        """
        root = self.root(part)
        way = way_to(self.text, root, place) if root else None
        if way is None or way.missing or not place:
            known = len(way.nodes) if way else 0
            raise UsageError(f"the document has no {place_text(place[: known + 1])}")
        depth, outcome, ways = _ways_to_remove(self, part, way)
        return self._checked(part, place[:depth], outcome, ways)

    def _checked(
        self, part: int, place: Place, outcome: Outcome, ways: Iterator[list[Splice]]
    ) -> Text:
        for splices in ways:
            try:
                found = Text.parse(spliced(self.text, splices), json=self.json)
            except MalformedMessage:
                continue
            if _agrees(self, found, part, place, outcome):
                return found
        root = self.root(part)
        line = line_of(self.text, root.start) if root else 1
        if root is not None:
            way = way_to(self.text, root, place)
            line = line_of(self.text, way.end.start)
        raise UsageError(
            f"{place_text(place)} is written in a way that is not supported, line {line}: "
            "nothing was changed, do it in an editor"
        )


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
        if node.kind is Kind.SCALAR and not node.is_empty:
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
    if node.kind is not Kind.MAPPING or not node.pairs:
        return node.kind is Kind.SCALAR or not node.items
    if not isinstance(value, Mapping):
        return False
    names = {normal(name): below for name, below in value.items()}
    return all(
        normal(name.text) in names and _has_all(names[normal(name.text)], below)
        for name, below in node.pairs
    )


_NO_NODE = Node(Kind.SCALAR, 0, 0)


def _ways_to_put(
    text: Text, part: int, way: Way, content: Content, look: Look
) -> Iterator[list[Splice]]:
    """Ways to put content where a way ends, the best first."""
    node, names = way.end, way.missing
    inner: Content = content
    for name in reversed(names[1:] if node.kind is not Kind.SCALAR else names):
        inner = {name: inner}
    if names and node.kind is not Kind.SCALAR:
        if node.kind is Kind.MAPPING:
            check_addition(text.text, node, ())
        yield from _ways_to_add(text, node, names[0], inner, look)
    elif not way.nodes:
        yield from _ways_to_fill(text, part, node, inner, look)
    else:
        yield from _ways_to_replace(text, way, inner, look, made=bool(names))


def _ways_to_add(
    text: Text, node: Node, name: str, content: Content, look: Look
) -> Iterator[list[Splice]]:
    if not node.style:
        yield from block_text.added(text.text, node, name, content, look)
    elif flow_text.is_supported(text.text, node):
        yield flow_text.added(text.text, node, name, content, look)


def _ways_to_fill(
    text: Text, part: int, node: Node, content: Content, look: Look
) -> Iterator[list[Splice]]:
    """Ways to put content in the place of a whole document."""
    if text.json:
        new = look.flow(content, ": ", "")
        end = "" if text.parts else look.newline
        yield [Splice(node.start, node.end, new + end)]
    elif node is _NO_NODE:
        yield from block_text.lines_at_top(text.text, len(text.text), content, look)
    elif node.is_empty:
        yield from block_text.lines_at_top(text.text, node.start, content, look)
    elif node.style in ("{", "[") or isinstance(content, str) or not content:
        yield [
            Splice(
                node.start, node.end, look.flow(content, ": ", flow_text.indent_of(text.text, node))
            )
        ]
    else:
        indent = " " * column_of(text.text, node.start)
        lines = look.newline.join(look.lines(content, indent))
        yield [Splice(node.start, node.end, lines[len(indent) :])]


def _ways_to_replace(
    text: Text, way: Way, content: Content, look: Look, *, made: bool
) -> Iterator[list[Splice]]:
    around, index, value = way.nodes[-1], way.indexes[-1], way.end
    if around.style:
        if not value.is_empty:
            indent = flow_text.indent_of(text.text, around)
            if indent is not None:
                line = text.text[line_start(text.text, value.start) :]
                indent = line[: len(line) - len(line.lstrip(" \t"))]
            yield [Splice(value.start, value.end, look.flow(content, ": ", indent))]
        return
    name = around.pairs[index][0] if around.kind is Kind.MAPPING else None
    indent = " " * column_of(text.text, around.start) + look.step
    if made and value.is_empty and name is not None:
        yield block_text.filled(text.text, value, content, look, indent)
    yield block_text.replaced(text.text, name, value, content, look=look, indent=indent)


def _ways_to_remove(text: Text, part: int, way: Way) -> tuple[int, Outcome, Iterator[list[Splice]]]:
    """What is taken out, how deep it is, what stays there, and ways to do it, the best first."""
    depth = len(way.nodes)
    while True:
        node, index = way.nodes[depth - 1], way.indexes[depth - 1]
        if node.kind is Kind.LIST and index != len(node.items) - 1:
            raise UsageError(
                "only the last element of a list can be taken out: fields behind another one would "
                "change their places"
            )
        if node.style and not flow_text.is_supported(text.text, node):
            return depth, GONE, iter(())
        if len(node.pairs) + len(node.items) > 1:
            remover = flow_text.removed if node.style else block_text.removed
            return depth, GONE, iter([remover(text.text, node, index)])
        in_mapping = depth > 1 and way.nodes[depth - 2].kind is Kind.MAPPING
        if node.kind is Kind.MAPPING and in_mapping and _goes_with_its_last(text.text, node):
            depth -= 1
            continue
        return _ways_to_empty(text, way, depth)


def _goes_with_its_last(text: str, node: Node) -> bool:
    return not node.style or flow_text.was_made(text, node)


def _ways_to_empty(text: Text, way: Way, depth: int) -> tuple[int, Outcome, Iterator[list[Splice]]]:
    """Take the only member out of a mapping or list that stays."""
    node = way.nodes[depth - 1]
    around = way.nodes[depth - 2] if depth > 1 else None
    rest = EMPTY if node.kind is Kind.MAPPING else EMPTY_LIST
    if node.style:
        own_line = around is not None and not around.style and around.kind is Kind.MAPPING
        if own_line and flow_text.fills_a_line(text.text, node):
            start = line_start(text.text, node.start)
            return (
                depth - 1,
                NOTHING,
                iter([[block_text.lines_taken_out(text.text, start, node.end)]]),
            )
        if flow_text.was_made(text.text, node):
            return depth - 1, rest, iter([flow_text.emptied(node)])
        return depth - 1, rest, iter([flow_text.removed(text.text, node, 0)])
    if around is None:
        if node.kind is Kind.LIST:
            return 0, rest, iter([[Splice(node.start, node.end, "[]")]])
        start = line_start(text.text, node.start)
        return 0, NOTHING, iter([[block_text.lines_taken_out(text.text, start, node.end)]])
    look = look_of(text.text, None, json=False)
    name = around.pairs[way.indexes[depth - 2]][0] if around.kind is Kind.MAPPING else None
    put = block_text.replaced(text.text, name, node, rest, look=look, indent="")
    return depth - 1, rest, iter([put])


def _agrees(old: Text, new: Text, part: int, place: Place, outcome: Outcome) -> bool:
    """Whether only this place of only this part has changed, and holds the outcome."""
    before, after = list(old.parts), list(new.parts)
    if not before:  # an empty file, or one with comments only
        before = [Part(_NO_NODE, 0)]
    if not after:
        after = [Part(_NO_NODE, 0)]
    if len(before) != len(after):
        return False
    was, now = before.pop(part - 1).root, after.pop(part - 1).root
    if not all(same(a.root, b.root) for a, b in zip(before, after, strict=True)):
        return False
    return _is_changed(was, now, place, outcome)


def _is_changed(old: Node, new: Node, place: Place, outcome: Outcome) -> bool:
    if not place:
        return _holds(new, outcome)
    name, below = place[0], place[1:]
    if old.kind is Kind.SCALAR:  # there was nothing, or a value that a mapping takes the place of
        return (
            new.kind is Kind.MAPPING
            and not new.marks
            and len(new.pairs) == 1
            and new.pairs[0][0].text == name
            and _is_changed(_NO_NODE, new.pairs[0][1], below, outcome)
        )
    if not same_but_inside(old, new):
        return False
    return _members_agree(old, new, name, below, outcome)


def _members_agree(old: Node, new: Node, name: str, below: Place, outcome: Outcome) -> bool:
    before, after = _named(old), _named(new)
    was = next((i for i, (key, _, _) in enumerate(before) if key == name), None)
    now = next((i for i, (key, _, _) in enumerate(after) if key == name), None)
    gone = outcome is GONE and not below
    if gone != (now is None):
        return False
    old_name, old_value = (None, _NO_NODE) if was is None else before.pop(was)[1:]
    new_name, new_value = (None, _NO_NODE) if now is None else after.pop(now)[1:]
    if len(before) != len(after):
        return False
    for (_, a_name, a), (_, b_name, b) in zip(before, after, strict=True):
        if (a_name is None) != (b_name is None) or not same(a, b):
            return False
        if a_name is not None and b_name is not None and not same(a_name, b_name):
            return False
    if gone:
        return was is not None
    if old_name is not None and (new_name is None or not same(old_name, new_name)):
        return False
    if was is not None and now != was:
        return False
    return _is_changed(old_value, new_value, below, outcome)


def _named(node: Node) -> list[tuple[str, Node | None, Node]]:
    if node.kind is Kind.LIST:
        return [(str(number), None, item) for number, item in enumerate(node.items)]
    return [
        (normal(name.text) if name.kind is Kind.SCALAR else "", name, value)
        for name, value in node.pairs
    ]


def _holds(node: Node, outcome: Outcome) -> bool:
    if node.marks:
        return False
    if isinstance(outcome, Rest):
        if outcome is NOTHING:
            return node.is_empty
        kind = Kind.MAPPING if outcome is EMPTY else Kind.LIST
        return node.kind is kind and not node.pairs and not node.items
    if isinstance(outcome, str):
        return node.kind is Kind.SCALAR and node.style == '"' and node.text == outcome
    return (
        node.kind is Kind.MAPPING
        and [name.text for name, _ in node.pairs] == list(outcome)
        and all(_holds(value, outcome[name.text]) for name, value in node.pairs)
    )
