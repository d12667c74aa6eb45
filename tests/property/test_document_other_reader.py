"""Another reader of YAML, `ruamel.yaml`, reads everything but the place as before."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from document_texts import YamlTexts
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.protocol.edits import Text
from tigertally.delegation.protocol.nodes import Kind, Node
from tigertally.delegation.protocol.places import Place, normal
from walks import examples

UNIT = "QUJD" * 20
Event = tuple[str, ...]


def events(text: str) -> list[Event] | None:
    """What a text says, in order; nothing where this reader cannot read it."""
    parts = ("value", "anchor", "tag", "style", "flow_style")
    try:
        return [
            (type(one).__name__, *(str(getattr(one, part, None)) for part in parts))
            for one in YAML(pure=True).parse(text)
        ]
    except (YAMLError, NotImplementedError):
        return None


def mappings(node: Node, place: Place = ()) -> list[Place]:
    """Places of mappings that no anchor, alias or tag leads to."""
    if node.marks or node.kind is Kind.ALIAS or any(name.marks for name, _ in node.pairs):
        return []
    found = [place] if node.kind is Kind.MAPPING else []
    for name, value in node.pairs:
        found += mappings(value, (*place, normal(name.text)))
    for index, item in enumerate(node.items):
        found += mappings(item, (*place, str(index)))
    return found


@pytest.mark.requirement("D11")
@settings(max_examples=examples(60))
@given(st.integers(0, 2**32))
def test_the_events_of_a_new_field_are_all_that_is_new(seed):
    random = Random(seed)
    text = YamlTexts(random).text()
    before: Any = events(text)
    try:
        found = Text.parse(text, json=False)
        part = random.randint(1, len(found.parts))
        above = random.choice(mappings(found.parts[part - 1].root))
        changed = found.with_content((*above, "zz"), UNIT, part).text
    except (MalformedMessage, UsageError, ValueError, IndexError):
        return
    if before is None:
        return
    after = events(changed)
    assert after is not None
    at = next(index for index, event in enumerate(after) if event[1] == UNIT)
    assert after[at - 1][:2] == ("ScalarEvent", "zz")
    assert after[: at - 1] + after[at + 1 :] == before
