from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.protocol.markup import dump_json, dump_yaml, parse_json, parse_yaml

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and not name.lower().endswith(".keys")
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: "e" not in repr(x))
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.requirement("D11")
@given(TREES)
def test_what_is_written_is_read(tree):
    if isinstance(tree, dict) and "<<" in str(tree):
        return
    assert parse_json(dump_json(tree)) == tree
    back = parse_yaml(dump_yaml(tree))
    assert back == tree
    assert repr(back) == repr(tree), "also 1 is not 1.0 and not true"


@pytest.mark.requirement("D11")
@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n",
        "a: &x 1\n",
        "a: !!python/object/apply:os.system [id]\n",
        "a: !!str 1\n",
        "a: !x 1\n",
        "a: 1\na: 2\n",
        "b: {a: 1, 'a': 2}\n",
        "1: a\n",
        "true: a\n",
        "? [a]\n: b\n",
        "<<: {a: 1}\n",
        "a: 1\n---\nb: 2\n",
        "a: [",
        "a: \x00",
        "a: '\x01'",
        "[" * 200 + "]" * 200,
        "a: .nan\nb: 1\nb: 2\n",
    ],
)
def test_yaml_that_hides_what_it_says(text):
    with pytest.raises(MalformedMessage):
        parse_yaml(text)


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "NaN", "[Infinity]", "{", "[" * 100_000, ""])
def test_json_that_hides_what_it_says(text):
    with pytest.raises(MalformedMessage):
        parse_json(text)


@pytest.mark.requirement("D11")
def test_a_name_that_no_field_can_have_is_named_with_its_line():
    for text, name in (('{"a": 1,\n"": 2}', '""'), ('{"a":\n{"x.keys": 2}}', "x.keys")):
        for parse in (parse_json, parse_yaml):
            with pytest.raises(MalformedMessage, match=rf"^line 2: {name} cannot be the name"):
                parse(text)
    assert parse_json('[{"": 1}]') == [{"": 1}], "one value"


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_yaml, text) for text in ("a: {0}: x", "a: [{0}", 'a: "{0}\\q"', "a: &{0} 1")),
        *((parse_json, text) for text in ('{{"a": {0}}}', '["{0}', '["{0}",]')),
    ],
)
def test_an_error_quotes_nothing_of_the_text(parse, text):
    """It may hold a secret, and `--debug` prints all that led to an error."""
    with pytest.raises(MalformedMessage) as caught:
        parse(text.format("hunter" + "2"))
    assert "hunter" + "2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "word",
    [
        "yes",
        "No",
        "on",
        "010",
        "1_000",
        "12:30:15",
        "2026-01-02",
        "0x10",
        "0o10",
        "1e3",
        ".5",
        "5.",
        "-0",
        "+49",
        "1.10",
        "1e+2",
        ".inf",
        "-.INF",
        ".nan",
        "0b1",
        "=",
        "12345678901234567890.123",
    ],
)
def test_what_programs_read_differently_is_refused(word):
    """YAML 1.1 and 1.2, and numbers of 64 bits."""
    for text, line in ((word, 1), (f"a: 1\nb: [x, {word}]\n", 2), (f"{word}: 1\n", 1)):
        with pytest.raises(MalformedMessage, match=f"line {line}\\b.*put it in quotes"):
            parse_yaml(text)
    assert parse_yaml(f"'{word}'") == word, "in quotes it is text"


def test_scalars_that_everybody_reads_alike():
    text = "[~, null, true, FALSE, '1', 10, -7, 1.5, 1.0, y, a b, 12345678901234567890123]"
    assert repr(parse_yaml(text)) == repr(
        [None, None, True, False, "1", 10, -7, 1.5, 1.0, "y", "a b", 12345678901234567890123]
    )
    assert parse_yaml("") is None
    for number in ("1.0", "-0.5", "1.5e+300", "0", "10"):
        assert repr(parse_json(number)) == number
    for number in ("1.10", "1E2", "-0", "1.000000000000000005", "1E-999", "1e5"):
        with pytest.raises(MalformedMessage, match="would not keep its digits"):
            parse_json(number)


def test_too_long_or_too_deep():
    with pytest.raises(MalformedMessage):
        parse_yaml("a" * (16 * 1024 * 1024 + 1))
    with pytest.raises(MalformedMessage):
        parse_json('"' + "a" * (16 * 1024 * 1024) + '"')
    deep = "{a: " * 200 + "1" + "}" * 200
    with pytest.raises(MalformedMessage):
        parse_yaml(deep)
    for opening, closing in (('{"a":', "}"), ("[", "]"), ('[{"a":', "}]")):
        with pytest.raises(MalformedMessage, match="deeply"):
            parse_json(opening * 81 + "1" + closing * 81)
    assert parse_json('{"a":' * 80 + "1" + "}" * 80)


def test_too_many_values(monkeypatch):
    monkeypatch.setattr("tigertally.delegation.protocol.edits.MOST_NODES", 5)
    assert parse_yaml("{a: [1, 2]}") == {"a": [1, 2]}
    with pytest.raises(MalformedMessage, match="too many"):
        parse_yaml("{a: [1, 2, 3]}")
