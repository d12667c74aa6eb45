"""What YAML's aliases mean: the last anchor of their name before them. No I/O.

PyYAML's events do not say it, so that an edit that takes an anchor away would be read as right:
its aliases would mean an anchor of the same name before it, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tigertally.delegation.protocol.nodes import Kind, Node


def alias_of_inside(root: Node, inside: Node) -> Node | None:
    """The first alias outside of a node that means something inside of it."""
    if not any(_anchor(node) for node in _nodes(inside)):
        return None
    means: dict[str, bool] = {}  # by an anchor's name, whether it is inside
    for node in _nodes(root):
        within = inside.start <= node.start < inside.end
        if node.kind is Kind.ALIAS and not within and means.get(node.text):
            return node
        if name := _anchor(node):
            means[name] = within
    return None


def alias_of_outside(node: Node) -> Node | None:
    """The first alias inside of a node that means nothing there."""
    known: set[str] = set()
    for one in _nodes(node):
        if one.kind is Kind.ALIAS and one.text not in known:
            return one
        known.add(_anchor(one))
    return None


def _anchor(node: Node) -> str:
    first = node.marks.partition(" ")[0]
    return first[1:] if first.startswith("&") else ""


def _nodes(root: Node) -> Iterator[Node]:
    """A node and all in it, as they stand in the text."""
    left = [root]
    while left:
        node = left.pop()
        yield node
        left += node.items[::-1]
        for name, value in node.pairs[::-1]:
            left += [value, name]
