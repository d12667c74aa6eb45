from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.protocol.json_text import parse
from tigertally.delegation.protocol.nodes import Kind, Node

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def read(text: str, nested: int = 80, nodes: int = 10_000) -> Node:
    return parse(text, most_nested=nested, most_nodes=nodes)


def value(text: str, node: Node) -> object:
    """What a node says, from the characters that it names."""
    if node.kind is Kind.MAPPING:
        return {name.text: value(text, one) for name, one in node.pairs}
    if node.kind is Kind.LIST:
        return [value(text, one) for one in node.items]
    return json.loads(text[node.start : node.end])


@pytest.mark.requirement("D11")
@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_every_node_says_where_it_is(tree, indent, ascii_only):
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    assert value(text, read(text)) == tree
    assert read(f" \n{text}\t").end == 2 + len(text)


@pytest.mark.requirement("D11")
@pytest.mark.parametrize(
    "number",
    [
        "0",
        "-0",
        "-0.0",
        "1.10",
        "1E400",
        "1e-999",
        "12345678901234567890.123",
        "1.000000000000000005",
    ],
)
def test_numbers_stay_the_text_they_are(number):
    assert read(f"[{number}]").items[0].text == number


@pytest.mark.requirement("D11")
@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "01", "-", "+1", ".5", "1.", "1e", "0x1", "NaN", "Infinity", "tru", "nulll"),
        *("[", "]", "[1,]", "[,1]", "[1 2]", "[1}", "{]", "{,}", '{"a"}', '{"a":}', '{"a":1,}'),
        *("{1:2}", "{a:1}", '{"a":1 "b":2}', "[] []", '"', '"\t"', r'"\x"', r'"\u12"', "'a'"),
        *("[1]//", "/**/[]", "[\x0c]", "[\u00a01]", "\ufeff[]", '{"a":1}}', '[":"'),
    ],
)
def test_nothing_else_is_json(text):
    with pytest.raises(MalformedMessage, match=r"^the document is not JSON, line 1$"):
        read(text)
    lines = text.count("\n") + 3
    with pytest.raises(MalformedMessage, match=rf"line [1-{lines}]$"):
        read(f"\r\n\n{text}")


@pytest.mark.requirement("D11")
def test_limits_are_errors():
    read("[[1]]", nested=2)
    with pytest.raises(MalformedMessage, match="nested too deeply, line 1"):
        read("[[[1]]]", nested=2)
    with pytest.raises(MalformedMessage, match="nested too deeply"):
        read("[" * 100_000)
    read('{"a": [1]}', nodes=5)
    for text in ('{"a": [1, 2]}', "[[], [], [], [], []]"):
        with pytest.raises(MalformedMessage, match="too many values"):
            read(text, nodes=4)
