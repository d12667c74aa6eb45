"""Edits of YAML's mappings and lists that lines and indentation show. No I/O.

The functions say which pieces of the text change; whoever calls them reads the result again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tigertally.delegation.protocol.looks import (
    Content,
    Look,
    Splice,
    column_of,
    line_start,
)
from tigertally.delegation.protocol.nodes import LINE_END, Kind, Node

_EMPTY_LINES = re.compile(r"(?:[ \t]*(?:\r\n|\n|\r))*")


def added(text: str, node: Node, name: str, content: Content, look: Look) -> list[list[Splice]]:
    """Ways to add a pair to a mapping, or an item to a list, the best first."""
    indent = " " * column_of(text, node.start)
    if node.kind is Kind.LIST:
        lines = [f"{indent}- {look.flow(content)}"]
        return [[lines_after(text, node.items[-1].end, lines, look)]]
    lines = look.lines({name: content}, indent)
    # Behind the last pair; where that would give a text without a last line end one, before all.
    first = look.newline.join(lines)[len(indent) :] + look.newline + indent
    return [
        [lines_after(text, node.end, lines, look)],
        [Splice(node.start, node.start, first)],
    ]


def lines_after(text: str, at: int, lines: list[str], look: Look) -> Splice:
    """Put lines behind the one that holds this character."""
    end = LINE_END.search(text, at)
    if end is None:  # the last line has no end: so will the new last one
        return Splice(len(text), len(text), "".join(look.newline + line for line in lines))
    return Splice(end.end(), end.end(), "".join(line + end[0] for line in lines))


def lines_at_top(
    text: str, at: int, content: Mapping[str, Content], look: Look
) -> list[list[Splice]]:
    """Ways to fill a document that holds nothing, the best first."""
    lines = look.lines(content, "") if content else ["{}"]
    if not text:
        return [[Splice(0, 0, "".join(line + look.newline for line in lines))]]
    end = len(text)
    last = "".join(line + look.newline for line in lines)
    if text[-1] not in "\r\n":
        last = look.newline + last.removesuffix(look.newline)
    behind = [lines_after(text, at, lines, look)]
    here = [
        Splice(line_start(text, at), line_start(text, at), "".join(x + look.newline for x in lines))
    ]
    return [here, behind, [Splice(end, end, last)]]


def filled(
    text: str, value: Node, content: Mapping[str, Content], look: Look, indent: str
) -> list[Splice]:
    """Put a mapping where a name has no value: on a line of its own, in braces with blanks.

    `unset` knows by this that there was nothing before, not `{}`.
    """
    pairs = ", ".join(look.pair(name, below, ": ", None) for name, below in content.items())
    return [lines_after(text, value.start, [indent + "{ " + pairs + " }"], look)]


def replaced(
    text: str, name: Node | None, value: Node, content: Content, *, look: Look, indent: str
) -> list[Splice]:
    """Put other content where a value stands.

    Args:
        text: of the file.
        name: whose value it is; none for an item of a list.
        value: the old value.
        content: the new one; of a list's item in braces.
        look: how the text is written.
        indent: of what is below the name.
    """
    by_lines = name is not None and not isinstance(content, str) and bool(content)
    colon = text.index(":", name.end) + 1 if name is not None else value.start
    lines = look.lines(content, indent) if by_lines and not isinstance(content, str) else []
    word = "" if by_lines else look.flow(content)
    is_below = name is not None and line_start(text, value.start) > colon
    if is_below:
        # on lines of its own: a comment behind the name stays
        first = LINE_END.search(text, colon)
        assert first is not None
        if "#" in text[first.end() : value.start]:  # so do those above the value
            column = column_of(text, value.start)
            if word and name is not None and column > column_of(text, name.start):
                return [Splice(value.start, value.end, word)]
            start = line_start(text, value.start)
            return [Splice(start, value.end, look.newline.join(lines or [indent + word]))]
        below = "".join(first[0] + line for line in lines)
        spare = [Splice(colon, colon, " " + word)] if word else []
        return [*spare, Splice(first.start(), value.end, below)]
    if value.is_empty:
        return (
            [Splice(value.start, value.start, " " + word)]
            if word
            else [lines_after(text, value.start, lines, look)]
        )
    if not by_lines:
        return [Splice(value.start, value.end, word)]
    if value.style in ("|", ">"):
        return [Splice(colon, value.end, "".join(look.newline + line for line in lines))]
    return [Splice(colon, value.end, ""), lines_after(text, value.end, lines, look)]


def removed(text: str, node: Node, index: int) -> list[list[Splice]]:
    """Ways to take a pair out of a mapping, or an item out of a list, that has others, too."""
    first, last = node.pairs[index] if node.pairs else (node.items[index], node.items[index])
    start = line_start(text, first.start)
    inline = index == 0 and text[start : node.start].strip() != ""
    if not inline:
        out = lines_taken_out(text, start, last.end)
        # With the empty lines behind it: else they would belong to a text before that keeps them.
        return [[out], [out._replace(end=_behind_blanks(text, out.end))]]
    # The first pair of a mapping behind a dash: the next one moves there.
    end = LINE_END.search(text, last.end)
    rest = _behind_blanks(text, end.end() if end else last.end)
    while text[rest : rest + 1] == " ":
        rest += 1
    return [[Splice(first.start, rest, "")]]


def lines_taken_out(text: str, start: int, end: int) -> Splice:
    """Take out whole lines: from this beginning of one to that which holds the character `end`."""
    behind = LINE_END.search(text, end)
    if behind is not None:
        return Splice(start, behind.end(), "")
    before = start
    if text[before - 2 : before] == "\r\n":
        before -= 2
    elif before:
        before -= 1
    return Splice(before, len(text), "")


def _behind_blanks(text: str, at: int) -> int:
    """Behind the empty lines that begin here."""
    found = _EMPTY_LINES.match(text, at)
    return found.end() if found else at
