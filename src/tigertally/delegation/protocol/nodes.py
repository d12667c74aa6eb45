"""What a text of YAML or JSON says, and where in the text it says it. No I/O.

A node keeps the text of each scalar as it was written: nothing is turned into a number or a date.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

LINE_END = re.compile(r"\r\n|\n|\r")


class Kind(Enum):
    """What a node is."""

    SCALAR = "scalar"
    MAPPING = "mapping"
    LIST = "list"
    ALIAS = "alias"


class Node(NamedTuple):
    """A value in a text.

    Attributes:
        start: its first character; that of its anchor or tag, where it has one.
        end: behind its last character, before the end of that line.
        text: a scalar's content, without quotes and escapes; the name of an alias.
        style: of a scalar `"`, `'`, `|`, `>`, or nothing where it is plain; of a mapping `{` and
            of a list `[` where it is written so, or nothing where lines and indentation show it.
        marks: anchor and tag.
        pairs: of a mapping, in order: name and value.
        items: of a list.
    """

    kind: Kind
    start: int
    end: int
    text: str = ""
    style: str = ""
    marks: str = ""
    pairs: tuple[tuple[Node, Node], ...] = ()
    items: tuple[Node, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written there: YAML reads null."""
        return self.kind is Kind.SCALAR and self.start == self.end and not self.style


def same(one: Node, other: Node) -> bool:
    """Whether two nodes say the same in the same words, wherever they stand."""
    return (
        _looks(one) == _looks(other)
        and len(one.pairs) == len(other.pairs)
        and len(one.items) == len(other.items)
        and all(
            same(a_name, b_name) and same(a, b)
            for (a_name, a), (b_name, b) in zip(one.pairs, other.pairs, strict=True)
        )
        and all(map(same, one.items, other.items))
    )


def same_but_inside(one: Node, other: Node) -> bool:
    """Whether two nodes are alike but for what they hold."""
    return _looks(one) == _looks(other)


def line_of(text: str, at: int) -> int:
    """The number of the line that holds this character, from 1."""
    return sum(1 for _ in LINE_END.finditer(text, 0, at)) + 1


def _looks(node: Node) -> tuple[Kind, str, str, str]:
    return node.kind, node.text, node.style, node.marks
