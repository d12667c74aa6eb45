"""YAML: what a text says, and where, by the marks of PyYAML's events. No I/O.

A file may hold several documents, anchors, tags and comments: they are seen, not interpreted.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.protocol.nodes import Kind, Node, line_of

# The same language read in C, many times as fast, where PyYAML was built with libyaml.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNSEEN = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_HEADER = re.compile(r"[|>][0-9+-]*")


class Part(NamedTuple):
    """One of the YAML documents in a file: what it says, and where it ends."""

    root: Node
    end: int


def parse(text: str, *, most_nested: int, most_nodes: int) -> tuple[Part, ...]:
    """The YAML documents that a text is; none where it has only comments.

    Args:
        text: without a byte-order mark.
        most_nested: how deep mappings and lists may lie in each other.
        most_nodes: how many names, lists and values it may have.

    Raises:
        MalformedMessage: PyYAML cannot read it, or it is beyond these limits; says the line.
    """
    builder = _Builder(text, most_nested, most_nodes)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except (yaml.YAMLError, ValueError) as error:
        # not `from error`: it quotes the text, in which there may be a secret
        where = _line_of(text, error)
        raise MalformedMessage(
            f"this is not YAML, or a kind of YAML that is not supported{where}"
        ) from None
    return tuple(builder.parts)


def _line_of(text: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:  # the end of the text counts as a line of its own there
        return f", line {min(mark.line + 1, line_of(text, len(text.rstrip())))}"
    unseen = _UNSEEN.search(text)  # what a reader of YAML refuses before it looks at lines
    return f", line {line_of(text, unseen.start())}" if unseen else ""


class _Open:
    """A mapping, list or document that is not at its end yet."""

    def __init__(self, kind: Kind | None, event: Any) -> None:
        self.kind = kind
        self.start = event.start_mark.index
        self.end = event.end_mark.index
        self.marks = _marks(event)
        self.flow = bool(getattr(event, "flow_style", False))
        self.nodes: list[Node] = []


class _Builder:
    def __init__(self, text: str, most_nested: int, most_nodes: int) -> None:
        self.parts: list[Part] = []
        self._text = text
        self._open: list[_Open] = []
        self._nested = most_nested + 1  # a document is around everything
        self._left = most_nodes

    def take(self, event: Any) -> None:
        """The next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event))
        elif isinstance(event, yaml.AliasEvent):
            start, end = event.start_mark.index, event.end_mark.index
            self._add(Node(Kind.ALIAS, start, end, event.anchor))
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin(Kind.MAPPING, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin(Kind.LIST, event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._begin(None, event)
        elif isinstance(event, yaml.DocumentEndEvent):
            self.parts.append(Part(self._open.pop().nodes[0], event.start_mark.index))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end(event)

    def _begin(self, kind: Kind | None, event: Any) -> None:
        if len(self._open) == self._nested:
            raise MalformedMessage(
                f"the document is nested too deeply, line {event.start_mark.line + 1}"
            )
        self._open.append(_Open(kind, event))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        nodes, end = done.nodes, event.end_mark.index
        if not done.flow:  # its own mark is where something else begins
            end = nodes[-1].end if nodes else done.end
        if done.kind is Kind.LIST:
            style = "[" if done.flow else ""
            node = Node(Kind.LIST, done.start, end, "", style, done.marks, (), tuple(nodes))
        else:
            pairs = tuple(zip(nodes[::2], nodes[1::2], strict=True))
            style = "{" if done.flow else ""
            node = Node(Kind.MAPPING, done.start, end, "", style, done.marks, pairs)
        self._add(node)

    def _add(self, node: Node) -> None:
        self._left -= 1
        if self._left < 0:
            raise MalformedMessage("the document has too many values: write them as files")
        self._open[-1].nodes.append(node)

    def _scalar(self, event: Any) -> Node:
        start, end, style = event.start_mark.index, event.end_mark.index, event.style or ""
        if style in ("|", ">"):
            end = self._end_of_block(start, end)
        return Node(Kind.SCALAR, start, end, event.value, style, _marks(event))

    def _end_of_block(self, start: int, end: int) -> int:
        """Where a block scalar's last line ends; blank lines that it keeps are part of it."""
        lines = self._text[start:end]
        header = _HEADER.search(lines)
        if header and "+" in header[0]:
            return start + len(re.sub(r"(?:\r\n|\n|\r)\Z", "", lines))
        return start + len(lines.rstrip("\r\n"))


def _marks(event: Any) -> str:
    anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
    if anchor is None and tag is None:
        return ""
    return " ".join((f"&{anchor}" if anchor else "", tag or "")).strip()
