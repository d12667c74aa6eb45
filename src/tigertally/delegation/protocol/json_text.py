"""JSON, by RFC 8259 and nothing beside it: what a text says, and where. No I/O.

Numbers stay the text they are.
"""

from __future__ import annotations

import json
import re

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.protocol.nodes import Kind, Node, line_of

_STRING = (
    r'"[^"\\\x00-\x1f]*+'
    r'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
)
_TOKEN = re.compile(
    rf"[ \t\n\r]*+(?:(?P<string>{_STRING})"
    r"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)"
    r"|(?P<word>true|false|null)"
    r"|(?P<mark>[\[\]{},:])"
    r"|(?P<end>\Z))"
)


def parse(text: str, *, most_nested: int, most_nodes: int) -> Node:
    """The value that a text of JSON is.

    Args:
        text: without a byte-order mark.
        most_nested: how deep mappings and lists may lie in each other.
        most_nodes: how many names, lists and values it may have.

    Raises:
        MalformedMessage: it is not JSON, or beyond these limits; says the line.
    """
    return _Scanner(text, most_nested, most_nodes).document()


class _Frame:
    """A mapping or list that is not at its end yet."""

    def __init__(self, start: int, mark: str) -> None:
        self.start = start
        self.mark = mark
        self.name: Node | None = None
        self.pairs: list[tuple[Node, Node]] = []
        self.items: list[Node] = []

    def is_fresh(self) -> bool:
        """Whether nothing was read behind its opening mark."""
        return self.name is None and not self.pairs and not self.items

    def node(self, end: int) -> Node:
        kind = Kind.MAPPING if self.mark == "{" else Kind.LIST
        return Node(
            kind,
            self.start,
            end,
            style=self.mark,
            pairs=tuple(self.pairs),
            items=tuple(self.items),
        )

    def take(self, node: Node) -> None:
        if self.name is not None:
            self.pairs.append((self.name, node))
            self.name = None
        else:
            self.items.append(node)


class _Scanner:
    def __init__(self, text: str, most_nested: int, most_nodes: int) -> None:
        self._text = text
        self._at = 0  # behind the token read last
        self._start = 0  # its first character
        self._word = ""
        self._nested = most_nested
        self._left = most_nodes

    def document(self) -> Node:
        stack: list[_Frame] = []
        kind = self._next()
        while True:
            node = self._value(kind, stack)
            if node is None:  # something was opened: its first name or item comes
                kind = self._kind_of_item(self._next(), stack[-1])
                continue
            while stack and self._ended(stack[-1], node):
                node = stack.pop().node(self._at)
            if not stack:
                if self._next() != "end":
                    raise self._wrong()
                return node
            kind = self._kind_of_item(self._next(), stack[-1])

    def _ended(self, frame: _Frame, node: Node) -> bool:
        """Take what is complete into the mapping or list around it; is that one complete, too?"""
        if node.start != node.end:  # else nothing: the mapping or list is empty
            frame.take(node)
            self._next()
        if self._word == _CLOSING[frame.mark]:
            return True
        if self._word != ",":
            raise self._wrong()
        return False

    def _value(self, kind: str, stack: list[_Frame]) -> Node | None:
        if kind == "string":
            return Node(Kind.SCALAR, self._start, self._at, self._content(), '"')
        if kind in ("number", "word"):
            return Node(Kind.SCALAR, self._start, self._at, self._word)
        if kind == "mark" and self._word in _CLOSING:
            if len(stack) == self._nested:
                raise MalformedMessage(f"the document is nested too deeply{self._line()}")
            self._count()
            stack.append(_Frame(self._start, self._word))
            return None
        if stack and self._word == _CLOSING[stack[-1].mark] and stack[-1].is_fresh():
            return Node(Kind.SCALAR, self._at, self._at)  # nothing: it is empty
        raise self._wrong()

    def _kind_of_item(self, kind: str, frame: _Frame) -> str:
        """In a mapping, take a name and its colon; the kind of the token that begins a value."""
        if frame.mark == "[" or (self._word == "}" and not frame.pairs):
            return kind
        if kind != "string":
            raise self._wrong()
        frame.name = Node(Kind.SCALAR, self._start, self._at, self._content(), '"')
        self._next()
        if self._word != ":":
            raise self._wrong()
        return self._next()

    def _next(self) -> str:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            blank = _BLANK.match(self._text, self._at)
            self._start = blank.end() if blank else self._at
            raise self._wrong()
        kind = found.lastgroup or ""
        self._start, self._at = found.span(kind)
        self._word = found[kind]
        if kind != "mark":
            self._count()
        return kind

    def _content(self) -> str:
        bare = self._word[1:-1]
        return json.loads(self._word) if "\\" in bare else bare

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise MalformedMessage("the document has too many values: write them as files")

    def _wrong(self) -> MalformedMessage:
        return MalformedMessage(f"the document is not JSON{self._line()}")

    def _line(self) -> str:
        return f", line {line_of(self._text, self._start)}"


_CLOSING = {"{": "}", "[": "]"}
_BLANK = re.compile(r"[ \t\n\r]*")
