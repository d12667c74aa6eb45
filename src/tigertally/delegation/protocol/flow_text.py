"""Edits of mappings in braces and lists in brackets: all of JSON, and YAML written so. No I/O.

The functions say which pieces of the text change; whoever calls them reads the result again.
"""

from __future__ import annotations

import re

from tigertally.delegation.protocol.looks import Content, Look, Splice, indent_at, line_start
from tigertally.delegation.protocol.nodes import LINE_END, Kind, Node

_TO_COMMA = re.compile(r"(?:\s|#[^\r\n]*)*,")  # between two members there may be comments
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n|\r)")


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
    bare = Splice(first.start, last.end, "")
    if len(members) == 1:
        comma = _comma_behind(text, last.end)
        return [[bare], *([[bare, Splice(comma, comma + 1, "")]] if comma else [])]
    if index == 0:
        follows = members[1][0].start
        if "#" not in text[last.end : follows]:
            return [[Splice(first.start, follows, "")]]
        comma = _comma_behind(text, last.end)
        return [_without_line(text, bare, comma)] if comma else []
    before = members[index - 1][1].end
    if "#" not in text[before : first.start]:
        return [[Splice(before, last.end, "")]]
    comma = _comma_behind(text, before)  # behind it is a comment, about what stays
    return [[Splice(comma, comma + 1, ""), bare]] if comma else []


def _without_line(text: str, member: Splice, comma: int) -> list[Splice]:
    """Take out a member and the comma behind it: all of their line, if nothing else is on it."""
    start = line_start(text, member.start)
    rest = _REST_OF_LINE.match(text, comma + 1)
    between = text[member.end : comma]
    if rest and not text[start : member.start].strip() and not between.strip(" \t"):
        return [Splice(start, rest.end(), "")]
    return [member, Splice(comma, comma + 1, "")]


def _comma_behind(text: str, at: int) -> int:
    """The comma that follows a member, not one in a comment; 0 where none follows."""
    found = _TO_COMMA.match(text, at)
    return found.end() - 1 if found else 0


def emptied(node: Node) -> list[Splice]:
    """Take out everything between the brackets."""
    return [Splice(node.start + 1, node.end - 1, "")]


def was_made(text: str, node: Node) -> bool:
    """Whether a mapping looks made for what is in it: a blank follows its brace, no comment."""
    blank = node.kind is Kind.MAPPING and text[node.start + 1 : node.start + 2].isspace()
    return blank and not has_comments(text, node)


def has_comments(text: str, node: Node) -> bool:
    """Whether there is a comment in its brackets, beside what it holds."""
    at = node.start
    for first, last in _members(node):
        if "#" in text[at : first.start]:
            return True
        at = last.end
    return "#" in text[at : node.end]


def fills_a_line(text: str, node: Node) -> bool:
    """Whether nothing else is on the lines of a mapping."""
    end = LINE_END.search(text, node.end)
    behind = text[node.end : end.start() if end else len(text)]
    before = text[line_start(text, node.start) : node.start]
    return not before.strip() and not behind.strip()


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
