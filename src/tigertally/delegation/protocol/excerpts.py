"""Read only the changed part of a long document again, where that proves the same. No I/O.

A member of a mapping at the top stands by itself: JSON's grammar does not look around it, and of
YAML whole lines of a pair that begins in the first column are read the same with and without what
is before and behind them. Whatever this does not prove, `edits.py` reads as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.protocol.agreement import holds, is_changed
from tigertally.delegation.protocol.looks import Content, Splice, line_start, spliced
from tigertally.delegation.protocol.nodes import Kind, Node, same
from tigertally.delegation.protocol.places import Place, normal
from tigertally.delegation.protocol.yaml_text import Part

LARGE = 1_000_000  # characters; what is shorter is read as a whole in a tenth of a second


class Parser(Protocol):
    """What reads a text."""

    def __call__(self, text: str, *, json: bool) -> tuple[Part, ...]: ...


class Excerpt(NamedTuple):
    """One member of the mapping at the top, as it shall be.

    Attributes:
        text: its text alone: of JSON the value, of YAML the lines.
        name: its name, where it was there before.
        value: its value before; nothing where it is new.
        json: its language.
    """

    text: str
    name: Node | None
    value: Node | None
    json: bool

    def agrees(self, place: Place, outcome: Content, parse: Parser) -> bool:
        """Whether only this place has changed in it, and holds the outcome."""
        try:
            parts = parse(self.text, json=self.json)
        except MalformedMessage:
            return False
        if len(parts) != 1:
            return False
        root = parts[0].root
        if self.json and self.value is not None:
            return is_changed(self.value, root, place[1:], outcome)
        if root.kind is not Kind.MAPPING or len(root.pairs) != 1 or root.marks:
            return False
        name, value = root.pairs[0]
        if self.value is None:
            expected = outcome
            for inner in reversed(place[1:]):
                expected = {inner: expected}
            return name.text == place[0] and holds(value, expected)
        same_name = self.name is not None and same(self.name, name)
        return same_name and is_changed(self.value, value, place[1:], outcome)


def excerpt_of(
    text: str, root: Node, place: Place, splices: Sequence[Splice], json: bool
) -> Excerpt | None:
    """The member that these pieces change, if they change one alone; else nothing."""
    if root.kind is not Kind.MAPPING or root.marks or not place or not root.pairs:
        return None
    index = next(
        (i for i, (name, _) in enumerate(root.pairs) if normal(name.text) == place[0]), None
    )
    if json:
        return _of_json(root, index, splices, text)
    return _of_yaml(text, root, index, splices) if not root.style else None


def _of_json(root: Node, index: int | None, splices: Sequence[Splice], text: str) -> Excerpt | None:
    if index is None:
        new = splices[0].text if len(splices) == 1 else ""
        at_end = splices[0].start == splices[0].end == root.pairs[-1][1].end
        if not at_end or not new.startswith(","):
            return None
        return Excerpt("{" + new[1:] + "}", None, None, True)
    name, value = root.pairs[index]
    changed = _within(text, value.start, value.end, splices)
    return None if changed is None else Excerpt(changed, name, value, True)


def _of_yaml(text: str, root: Node, index: int | None, splices: Sequence[Splice]) -> Excerpt | None:
    if index is None:
        new = splices[0].text if len(splices) == 1 else ""
        start, end = splices[0].start, splices[0].end
        lines = start == end and line_start(text, start) == start and new.endswith(("\n", "\r"))
        return Excerpt(new, None, None, False) if lines and start >= root.end else None
    name, value = root.pairs[index]
    start = name.start
    end = root.pairs[index + 1][0].start if index + 1 < len(root.pairs) else len(text)
    if line_start(text, start) != start or (end < len(text) and line_start(text, end) != end):
        return None
    changed = _within(text, start, end, splices)
    if changed is None or not changed.endswith(("\n", "\r")):
        return None
    return Excerpt(changed, name, value, False)


def _within(text: str, start: int, end: int, splices: Sequence[Splice]) -> str | None:
    """A piece of the text with what changes; nothing if something around it changes."""
    if not all(start <= one.start and one.end <= end for one in splices):
        return None
    shifted = [Splice(one.start - start, one.end - start, one.text) for one in splices]
    return spliced(text[start:end], shifted)
