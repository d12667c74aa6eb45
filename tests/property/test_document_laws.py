"""Any text of YAML or JSON: a place is set and unset, and everything else stays as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from document_texts import YamlTexts, json_text
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.protocol import excerpts
from tigertally.delegation.protocol.agreement import agree
from tigertally.delegation.protocol.edits import Text
from tigertally.delegation.protocol.looks import look_of, spliced
from tigertally.delegation.protocol.nodes import Kind, Node
from tigertally.delegation.protocol.places import Place, normal, place_text, way_to
from tigertally.delegation.protocol.ways import ways_to_put
from tigertally.delegation.protocol.yaml_text import Part
from walks import examples

UNIT = "QUJD" * 20
NEW = (("zz",), ("zz new",), ("zz", "y"), ("zz", "y", "w/x"))
SEEDS = st.integers(0, 2**32)

pytestmark = pytest.mark.requirement("D11")


def places(node: Node, place: Place = ()) -> Iterator[tuple[Place, Node]]:
    """Where something new can be put: mappings, lists, and names without a value."""
    if node.marks or node.kind is Kind.ALIAS or any(name.marks for name, _ in node.pairs):
        return
    if node.pairs or node.items or node.kind is not Kind.SCALAR or node.is_empty:
        yield place, node
    for name, value in node.pairs:
        yield from places(value, (*place, normal(name.text)))
    for index, item in enumerate(node.items):
        if not item.is_empty:
            yield from places(item, (*place, str(index)))


def drawn(seed: int, *, in_json: bool) -> tuple[Text, int, Place, Place] | None:
    """A text, a document of it, a place that is new there, and how much of that was there."""
    random = Random(seed)
    text = json_text(random) if in_json else YamlTexts(random).text()
    try:
        found = Text.parse(text, json=in_json)
    except MalformedMessage:
        assert not in_json
        return None
    part = random.randint(1, max(1, len(found.parts)))
    root = found.root(part)
    choices = [((), None)] if root is None else list(places(root))
    if not choices:
        return None
    above, node = random.choice(choices)
    new = random.choice(NEW)
    if node is not None and node.kind is Kind.LIST:
        new = (str(len(node.items)), *new[1:])
    return found, part, (*above, *new), above


@settings(max_examples=examples(150))
@given(SEEDS, st.booleans(), st.booleans())
def test_set_then_unset_gives_the_original_bytes(seed, in_json, whole):
    made = drawn(seed, in_json=in_json)
    if made is None:
        return
    text, part, place, _ = made
    before, excerpts.LARGE = excerpts.LARGE, 10**9 if whole else -1
    try:
        changed = text.with_content(place, UNIT, part)
    except UsageError:
        # The file ends in a text without a last line end, which would get one.
        assert text.text[-1] not in "\r\n", place_text(place)
        return
    finally:
        excerpts.LARGE = before
    assert changed.text.count(UNIT) == 1
    assert changed.without(place, part).text == text.text


def without(value: Any, place: Place, above: Place) -> Any:
    """A parsed value without what is new in it."""
    depth = len(above)
    if not depth:
        if isinstance(value, list):
            return value[:-1]
        return {name: one for name, one in value.items() if name != place[0]}
    if isinstance(value, list):
        index = int(place[0])
        inner = without(value[index], place[1:], above[1:])
        return [*value[:index], inner, *value[index + 1 :]]
    name = next(name for name in value if normal(str(name)) == place[0])
    return {**value, name: without(value[name], place[1:], above[1:])}


@settings(max_examples=examples(60))
@given(SEEDS)
def test_json_with_exact_decimals_reads_the_same_elsewhere(seed):
    made = drawn(seed, in_json=True)
    assert made is not None
    text, part, place, above = made

    def read(one: str) -> Any:
        return json.loads(one, parse_float=Decimal, parse_int=Decimal)

    changed = read(text.with_content(place, UNIT, part).text)
    assert without(changed, place, above) == read(text.text)


@settings(max_examples=examples(60))
@given(SEEDS)
def test_a_reader_of_yaml_1_1_reads_the_same_elsewhere(seed):
    random = Random(seed)
    text = YamlTexts(random, marks=False).text()
    try:
        found = Text.parse(text, json=False)
        old = list(yaml.safe_load_all(text))
    except (MalformedMessage, yaml.YAMLError, ValueError):
        return
    part = random.randint(1, max(1, len(found.parts)))
    root = found.root(part)
    # Its names are text, its elements are its own: then a place is found in the values, too.
    choices = [
        (place, node)
        for place, node in (places(root) if root is not None else [((), None)])
        if node is None or node.kind is Kind.MAPPING
    ]
    if not choices:
        return
    above, _ = random.choice(choices)
    place = (*above, "zz")
    new = list(yaml.safe_load_all(found.with_content(place, UNIT, part).text))
    assert repr(new).replace(repr(UNIT), "") != repr(new)
    if not old:
        assert new == [{"zz": UNIT}]
        return
    assert repr(new[: part - 1] + new[part:]) == repr(old[: part - 1] + old[part:])
    assert repr(new[part - 1]).replace(f", 'zz': '{UNIT}'", "").replace(
        f"'zz': '{UNIT}', ", ""
    ).replace(f"'zz': '{UNIT}'", "") == repr(old[part - 1])


@settings(max_examples=examples(60))
@given(SEEDS, st.sampled_from([UNIT, {"n": UNIT, "m": {"k": UNIT}}, None]))
def test_any_place_is_replaced_or_taken_out_alone_or_refused(seed, content):
    random = Random(seed)
    text = YamlTexts(random).text() if seed % 3 else json_text(random)
    try:
        found = Text.parse(text, json=not seed % 3)
    except MalformedMessage:
        return
    part = random.randint(1, max(1, len(found.parts)))
    root = found.root(part)
    all_places = list(places(root)) if root is not None else []
    if not all_places:
        return
    place, _ = random.choice(all_places)
    try:
        changed = (
            found.without(place, part)
            if content is None
            else found.with_content(place, content, part)
        )
    except UsageError:
        return
    Text.parse(changed.text, json=found.json)
    others = [one.root for number, one in enumerate(found.parts, 1) if number != part]
    texts = [found.text[root.start : root.end] for root in others]
    assert all(one in changed.text for one in texts), "other documents"


@settings(max_examples=examples(120))
@given(
    SEEDS, st.booleans(), st.sampled_from(["", " ", "\n", "x", '"', ": y", "\n\n", "#", ",", "{"])
)
def test_an_excerpt_never_proves_what_the_whole_does_not(seed, in_json, wrong):
    """Also of edits that are wrong by a little."""
    made = drawn(seed, in_json=in_json)
    if made is None:
        return
    text, part, place, _ = made
    root = text.root(part)
    if root is None:
        return
    random = Random(seed)
    way = way_to(text.text, root, place)
    look = look_of(text.text, root, json=in_json)
    for splices in ways_to_put(text.text, way, UNIT, look):
        at = random.randrange(len(splices))
        one = splices[at]
        where = random.choice([0, len(one.text), random.randint(0, len(one.text))])
        shifted = one._replace(
            start=max(0, one.start - random.choice([0, 0, 1])),
            end=min(len(text.text), one.end + random.choice([0, 0, 1])),
            text=one.text[:where] + wrong + one.text[where:],
        )
        edit = [*splices[:at], shifted, *splices[at + 1 :]]
        found = excerpts.excerpt_of(text.text, way, place, edit, json=in_json, stays=len(place))
        if found is None or not found.agrees(UNIT, parts_of, json=in_json):
            continue
        after = parts_of(spliced(text.text, edit), json=in_json)
        assert agree(text.parts, after, part, place, UNIT)


def parts_of(text: str, *, json: bool) -> tuple[Part, ...]:
    return Text.parse(text, json=json).parts
