"""Read only the changed part of a long document again, where that proves the same. No I/O.

A pair of a mapping stands by itself: JSON's grammar does not look around a value, and of YAML the
whole lines of a pair are read the same with and without the lines before and behind them.
Whatever this does not prove, `edits.py` reads as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.protocol.agreement import holds, is_changed
from tigertally.delegation.protocol.looks import Content, Splice, column_of, line_start, spliced
from tigertally.delegation.protocol.nodes import LINE_END, Kind, Node, same
from tigertally.delegation.protocol.places import Place, Way
from tigertally.delegation.protocol.yaml_text import Part

_ENDS = ("\n", "\r")
_BLANK_LINE = re.compile(r"[ \t]*[\r\n]")
LARGE = 1_000_000  # characters; what is shorter is read as a whole in a tenth of a second


class Parser(Protocol):
    """What reads a text."""

    def __call__(self, text: str, *, json: bool) -> tuple[Part, ...]: ...


class Excerpt(NamedTuple):
    """One pair of a mapping, as it shall be.

    Attributes:
        text: its text alone: of JSON the value, or a new pair in braces; of YAML the lines.
        pair: its name and value before; nothing where it is new.
        column: where its name begins; lines before it would belong to what is above.
        place: from its own name on.
    """

    text: str
    pair: tuple[Node, Node] | None
    column: int
    place: Place

    def agrees(self, outcome: Content, parse: Parser, *, json: bool) -> bool:
        """Whether only this place has changed in it, and holds the outcome."""
        try:
            parts = parse(self.text, json=json)
        except MalformedMessage:
            return False
        if len(parts) != 1:
            return False
        root, below = parts[0].root, self.place[1:]
        if json and self.pair is not None:
            return is_changed(self.pair[1], root, below, outcome)
        if root.kind is not Kind.MAPPING or len(root.pairs) != 1 or root.marks:
            return False
        name, value = root.pairs[0]
        if not json and (root.style or name.start != self.column):
            return False
        if self.pair is not None:
            return same(self.pair[0], name) and is_changed(self.pair[1], value, below, outcome)
        expected = outcome
        for inner in reversed(below):
            expected = {inner: expected}
        return name.text == self.place[0] and holds(value, expected)


def excerpt_of(
    text: str, way: Way, place: Place, splices: Sequence[Splice], *, json: bool, stays: int
) -> Excerpt | None:
    """The pair that these pieces change, if they change one alone; else nothing.

    Args:
        text: of the file.
        way: to where the change is.
        place: what changes.
        splices: the pieces.
        json: the language.
        stays: how many names of the place are there afterwards.
    """
    if way.missing and way.end.pairs:
        return _added(text, way.end, place[len(way.nodes) :], splices, json)
    depth = min(len(way.nodes), stays) - 1
    while depth >= 0 and way.nodes[depth].kind is not Kind.MAPPING:
        depth -= 1
    if depth < 0:
        return None
    around, index = way.nodes[depth], way.indexes[depth]
    name, value = around.pairs[index]
    if json:
        start, end = value.start, value.end
    elif around.style or text[line_start(text, name.start) : name.start].strip(" "):
        return None
    else:
        start, end = line_start(text, name.start), _end_of_lines(text, around, index)
    changed = _within(text, start, end, splices)
    if changed is None or not (json or changed.endswith(_ENDS)):
        return None
    return Excerpt(changed, (name, value), name.start - start, place[depth:])


def _added(
    text: str, node: Node, place: Place, splices: Sequence[Splice], json: bool
) -> Excerpt | None:
    """A new pair at the end of a mapping."""
    if len(splices) != 1 or splices[0].start != splices[0].end:
        return None
    new, at = splices[0].text, splices[0].start
    if json:
        if at != node.pairs[-1][1].end or not new.startswith(","):
            return None
        return Excerpt("{" + new[1:] + "}", None, 0, place)
    if node.style or line_start(text, at) != at or at < node.end or not new.endswith(_ENDS):
        return None
    return Excerpt(new, None, column_of(text, node.start), place)


def _end_of_lines(text: str, around: Node, index: int) -> int:
    """Where the lines of a pair end: before the next one, or before what is around."""
    if index + 1 < len(around.pairs):
        return line_start(text, around.pairs[index + 1][0].start)
    end = LINE_END.search(text, around.end)
    at = end.end() if end else len(text)
    # Empty lines behind could become part of a text that keeps them: those are looked at, too.
    return -1 if _BLANK_LINE.match(text, at) else at


def _within(text: str, start: int, end: int, splices: Sequence[Splice]) -> str | None:
    """A piece of the text with what changes; nothing if something around it changes."""
    if not all(start <= one.start and one.end <= end for one in splices):
        return None
    shifted = [Splice(one.start - start, one.end - start, one.text) for one in splices]
    return spliced(text[start:end], shifted)
