"""What an edit of a document may change: one place, and nothing else. No I/O."""

from __future__ import annotations

from tigertally.delegation.protocol.looks import EMPTY, GONE, NOTHING, Content, Rest
from tigertally.delegation.protocol.nodes import Kind, Node, same, same_but_inside
from tigertally.delegation.protocol.places import Place, normal
from tigertally.delegation.protocol.yaml_text import Part

ABSENT = Node(Kind.SCALAR, 0, 0)  # what a text without anything says


def agree(
    old: tuple[Part, ...], new: tuple[Part, ...], part: int, place: Place, outcome: Content
) -> bool:
    """Whether only this place of only this part has changed, and holds the outcome."""
    before = list(old) or [Part(ABSENT, 0)]  # an empty file, or one with comments only
    after = list(new) or [Part(ABSENT, 0)]
    if len(before) != len(after):
        return False
    was, now = before.pop(part - 1).root, after.pop(part - 1).root
    if not all(same(a.root, b.root) for a, b in zip(before, after, strict=True)):
        return False
    return is_changed(was, now, place, outcome)


def is_changed(old: Node, new: Node, place: Place, outcome: Content) -> bool:
    """Whether only this place of a node has changed, and holds the outcome."""
    if not place:
        return holds(new, outcome)
    name, below = place[0], place[1:]
    if old.kind is Kind.SCALAR:  # there was nothing, or a value that a mapping takes the place of
        return (
            new.kind is Kind.MAPPING
            and not new.marks
            and len(new.pairs) == 1
            and new.pairs[0][0].text == name
            and is_changed(ABSENT, new.pairs[0][1], below, outcome)
        )
    if not same_but_inside(old, new):
        return False
    return _members_agree(old, new, name, below, outcome)


def _members_agree(old: Node, new: Node, name: str, below: Place, outcome: Content) -> bool:
    before, after = _named(old), _named(new)
    was = next((i for i, (key, _, _) in enumerate(before) if key == name), None)
    now = next((i for i, (key, _, _) in enumerate(after) if key == name), None)
    gone = outcome is GONE and not below
    if gone != (now is None):
        return False
    old_name, old_value = (None, ABSENT) if was is None else before.pop(was)[1:]
    new_name, new_value = (None, ABSENT) if now is None else after.pop(now)[1:]
    if len(before) != len(after):
        return False
    for (_, a_name, a), (_, b_name, b) in zip(before, after, strict=True):
        if (a_name is None) != (b_name is None) or not same(a, b):
            return False
        if a_name is not None and b_name is not None and not same(a_name, b_name):
            return False
    if gone:
        return was is not None
    if old_name is not None and (new_name is None or not same(old_name, new_name)):
        return False
    if was is not None and now != was:
        return False
    return is_changed(old_value, new_value, below, outcome)


def _named(node: Node) -> list[tuple[str, Node | None, Node]]:
    if node.kind is Kind.LIST:
        return [(str(number), None, item) for number, item in enumerate(node.items)]
    return [
        (normal(name.text) if name.kind is Kind.SCALAR else "", name, value)
        for name, value in node.pairs
    ]


def holds(node: Node, outcome: Content) -> bool:
    """Whether a node is what should be written there."""
    if node.marks:
        return False
    if isinstance(outcome, Rest):
        if outcome is NOTHING:
            return node.is_empty
        kind = Kind.MAPPING if outcome is EMPTY else Kind.LIST
        return node.kind is kind and not node.pairs and not node.items
    if isinstance(outcome, str):
        return node.kind is Kind.SCALAR and node.style == '"' and node.text == outcome
    return (
        node.kind is Kind.MAPPING
        and [name.text for name, _ in node.pairs] == list(outcome)
        and all(holds(value, outcome[name.text]) for name, value in node.pairs)
    )
