"""How the text of a document could be edited, so that one place of it changes. No I/O.

Each way is tried in turn; `edits.py` reads the result again and takes the first that is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tigertally.base.errors import UsageError
from tigertally.delegation.protocol import block_text, flow_text
from tigertally.delegation.protocol.agreement import ABSENT
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
    indent_at,
    line_start,
    look_of,
)
from tigertally.delegation.protocol.nodes import Kind, Node, line_of
from tigertally.delegation.protocol.places import Way, check_addition


class Removal(NamedTuple):
    """A way to take something out.

    Attributes:
        depth: how many names of the place lead to what changes.
        rest: what is left there.
        splices: the pieces of the text that change.
    """

    depth: int
    rest: Rest
    splices: list[Splice]


def ways_to_put(text: str, way: Way, content: Content, look: Look) -> Iterator[list[Splice]]:
    """Ways to put content where a way ends, the best first."""
    node, names = way.end, way.missing
    inner: Content = content
    for name in reversed(names[1:] if node.kind is not Kind.SCALAR else names):
        inner = {name: inner}
    if names and node.kind is not Kind.SCALAR:
        if node.kind is Kind.MAPPING:
            check_addition(text, node, ())
        yield from _ways_to_add(text, node, names[0], inner, look)
    elif not way.nodes:
        yield from _ways_to_fill(text, node, inner, look)
    else:
        yield from _ways_to_replace(text, way, inner, look, made=bool(names))


def _ways_to_add(
    text: str, node: Node, name: str, content: Content, look: Look
) -> Iterator[list[Splice]]:
    if not node.style:
        yield from block_text.added(text, node, name, content, look)
    elif flow_text.is_supported(text, node):
        yield flow_text.added(text, node, name, content, look)


def _ways_to_fill(text: str, node: Node, content: Content, look: Look) -> Iterator[list[Splice]]:
    """Ways to put content in the place of a whole document."""
    if isinstance(content, str):
        return  # a document is a mapping of names
    if look.json:
        new = look.flow(content, ": ", "")
        end = look.newline if node is ABSENT else ""
        yield [Splice(node.start, node.end, new + end)]
    elif node is ABSENT:
        yield from block_text.lines_at_top(text, len(text), content, look)
    elif node.is_empty:
        yield from block_text.lines_at_top(text, node.start, content, look)
    elif node.style in ("{", "[") or not content:
        indent = flow_text.indent_of(text, node)
        yield [Splice(node.start, node.end, look.flow(content, ": ", indent))]
    else:
        indent = " " * column_of(text, node.start)
        lines = look.newline.join(look.lines(content, indent))
        yield [Splice(node.start, node.end, lines[len(indent) :])]


def _ways_to_replace(
    text: str, way: Way, content: Content, look: Look, *, made: bool
) -> Iterator[list[Splice]]:
    around, index, value = way.nodes[-1], way.indexes[-1], way.end
    if around.style:
        if not value.is_empty:
            lines = flow_text.indent_of(text, around) is not None
            indent = indent_at(text, value.start) if lines else None
            yield [Splice(value.start, value.end, look.flow(content, ": ", indent))]
        return
    name = around.pairs[index][0] if around.kind is Kind.MAPPING else None
    indent = " " * column_of(text, around.start) + look.step
    if made and value.is_empty and name is not None and not isinstance(content, str):
        yield block_text.filled(text, value, content, look, indent)
    yield block_text.replaced(text, name, value, content, look=look, indent=indent)


def ways_to_remove(text: str, way: Way) -> Iterator[Removal]:
    """Ways to take out what is where a way ends, the best first."""
    depth = len(way.nodes)
    while True:
        node, index = way.nodes[depth - 1], way.indexes[depth - 1]
        if node.kind is Kind.LIST and index != len(node.items) - 1:
            raise UsageError(
                f"only the last element of a list can be taken out, line "
                f"{line_of(text, node.items[index].start)}: fields behind would change their places"
            )
        if node.style and not flow_text.is_supported(text, node):
            return
        if len(node.pairs) + len(node.items) > 1:
            remover = flow_text.removed if node.style else block_text.removed
            for splices in remover(text, node, index):
                yield Removal(depth, GONE, splices)
            return
        if not _goes_with_its_last(text, way, depth):
            yield from _ways_to_empty(text, way, depth - 1)
            return
        depth -= 1


def _goes_with_its_last(text: str, way: Way, depth: int) -> bool:
    """Whether a mapping is taken out when the last name in it is."""
    node = way.nodes[depth - 1]
    if node.kind is not Kind.MAPPING or depth < 2:
        return False
    around, made = way.nodes[depth - 2], bool(node.style) and flow_text.was_made(text, node)
    if _stands_below(text, around, node):
        return False
    if around.kind is Kind.LIST:  # there, `set` makes no others
        return made and way.indexes[depth - 2] == len(around.items) - 1
    return made or not node.style


def _stands_below(text: str, around: Node, node: Node) -> bool:
    """Whether a mapping was put on the line below a name that had no value."""
    by_lines = around.kind is Kind.MAPPING and not around.style
    return (
        bool(by_lines and node.style)
        and flow_text.was_made(text, node)
        and flow_text.fills_a_line(text, node)
    )


def _ways_to_empty(text: str, way: Way, depth: int) -> Iterator[Removal]:
    """Take the only member out of a mapping or list that stays."""
    node = way.nodes[depth]
    around = way.nodes[depth - 1] if depth else None
    rest = EMPTY if node.kind is Kind.MAPPING else EMPTY_LIST
    start = line_start(text, node.start)
    if node.style:
        if around is not None and _stands_below(text, around, node):
            yield Removal(depth, NOTHING, [block_text.lines_taken_out(text, start, node.end)])
        elif not flow_text.was_made(text, node):
            for splices in flow_text.removed(text, node, 0):
                yield Removal(depth, rest, splices)
        if not flow_text.has_comments(text, node):
            yield Removal(depth, rest, flow_text.emptied(node))
    elif around is None:
        if node.kind is Kind.MAPPING:
            yield Removal(0, NOTHING, [block_text.lines_taken_out(text, start, node.end)])
        yield Removal(0, rest, [Splice(node.start, node.end, rest)])
    else:
        look = look_of(text, None, json=False)
        name = around.pairs[way.indexes[depth - 1]][0] if around.kind is Kind.MAPPING else None
        put = block_text.replaced(text, name, node, rest, look=look, indent="")
        yield Removal(depth, rest, put)
