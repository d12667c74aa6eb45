"""Edits of mappings in braces and lists in brackets: all of JSON, and YAML written so. No I/O.

The functions say which pieces of the text change; whoever calls them reads the result again.
"""

from __future__ import annotations

from tigertally.delegation.protocol.looks import Content, Look, Splice, indent_at, line_start
from tigertally.delegation.protocol.nodes import LINE_END, Kind, Node


def is_supported(text: str, node: Node) -> bool:
    """Whether its brackets are there: a single pair in a list of YAML needs none."""
    return text[node.start : node.start + 1] == node.style


def added(text: str, node: Node, name: str, content: Content, look: Look) -> list[Splice]:
    """Add a pair to the end of a mapping, or content to the end of a list."""
    members = _members(node)
    if not members:  # no blank behind the bracket: `unset` leaves an empty mapping as it was
        return [Splice(node.start + 1, node.start + 1, _member(node, name, content, look))]
    first, last = members[-1]
    before = members[-2][1].end if len(members) > 1 else node.start
    comma = text.find("," if len(members) > 1 else node.style, before)
    gap = text[comma + 1 : first.start]
    if gap.strip():  # a comment, or a mark of YAML
        line = text[line_start(text, first.start) : first.start]
        gap = look.newline + line if not line.strip() else " "
    indent = None
    if LINE_END.search(gap):
        indent = gap[line_start(gap, len(gap)) :]
    colon = ": "
    if first is not last:
        between = text[first.end : last.start]
        usual = between.strip(" \t") == ":" and between.startswith(":")
        if usual and not last.is_empty and (look.json or between != ":"):
            colon = between
    if len(members) == 1 and not gap and colon.endswith(" "):
        gap = " "
    new = _member(node, name, content, look, colon=colon, indent=indent)
    return [Splice(last.end, last.end, "," + gap + new)]


def removed(text: str, node: Node, index: int) -> list[list[Splice]]:
    """Ways to take a pair out of a mapping, or an item out of a list, the best first."""
    members = _members(node)
    first, last = members[index]
    if len(members) == 1:
        return [[Splice(first.start, last.end, "")]]
    if index == 0:
        return [[Splice(first.start, members[1][0].start, "")]]
    before = members[index - 1][1].end
    gap = text[before : first.start]
    if "#" not in gap:
        return [[Splice(before, last.end, "")]]
    comma = text.find(",", before)  # behind it is a comment, about what stays
    return [[Splice(comma, comma + 1, ""), Splice(first.start, last.end, "")]]


def emptied(node: Node) -> list[Splice]:
    """Take out everything between the brackets."""
    return [Splice(node.start + 1, node.end - 1, "")]


def was_made(text: str, node: Node) -> bool:
    """Whether a mapping looks made for what is in it: a blank follows its brace."""
    return node.kind is Kind.MAPPING and text[node.start + 1 : node.start + 2].isspace()


def fills_a_line(text: str, node: Node) -> bool:
    """Whether nothing else is on the line of a mapping: it was put below a name without value."""
    end = LINE_END.search(text, node.end)
    behind = text[node.end : end.start() if end else len(text)]
    return not text[line_start(text, node.start) : node.start].strip() and not behind.strip()


def indent_of(text: str, node: Node) -> str | None:
    """The indentation of the line that a node begins on, if its text has several lines."""
    if not LINE_END.search(text, node.start, node.end):
        return None
    return indent_at(text, node.start)


def _members(node: Node) -> list[tuple[Node, Node]]:
    """First and last node of each pair or item."""
    return list(node.pairs) or [(item, item) for item in node.items]


def _member(
    node: Node,
    name: str,
    content: Content,
    look: Look,
    *,
    colon: str = ": ",
    indent: str | None = None,
) -> str:
    if node.kind is Kind.LIST:
        return look.flow(content, colon, indent)
    return look.pair(name, content, colon, indent)
