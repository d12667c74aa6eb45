"""Patterns mean what Python's `re` means, and no text makes one slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tigertally.base.errors import UsageError
from tigertally.base.pattern import MAX_PATTERN_LENGTH, Pattern, glob

ATOMS = st.sampled_from(["a", "b", "-", ".", r"\d", r"\w", r"\S", "[ab]", "[^a]", "[0-9b-]", r"\."])
TREES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(TREES, st.lists(st.text("ab-.1 \n", max_size=8), max_size=5))
def test_it_means_what_python_means(text: str, samples: list[str]) -> None:
    ours, theirs = Pattern(text), re.compile(text, re.ASCII)
    for sample in samples:
        assert ours.matches(sample) == bool(theirs.fullmatch(sample))


@pytest.mark.parametrize("text", ["(a*)*b", "(a|aa)+b", "(a|a|a)*b", "a*a*a*a*a*a*b", "(.*)*b"])
def test_what_stops_a_backtracking_engine_does_not_stop_this_one(text: str) -> None:
    assert not Pattern(text).matches("a" * 500)
    assert Pattern(text).matches("a" * 499 + "b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a" * (MAX_PATTERN_LENGTH + 1), "at most"),
        ("(" * 21 + ")" * 21, "deep"),
        ("((a{100}){100}){100}", "too large"),
        ("a{2000}b", "too large"),
        ("a{999999999}", "too often"),
        ("^a$", "whole text"),
        ("(?=a)", "group is"),
        ("a**", "repetition of a repetition"),
        ("a*?", "repetition of a repetition"),
        ("*a", "cannot stand here"),
        ("a{2,1}", "fewer to more"),
        ("a{,2}", "repetition is"),
        ("(a", "too early"),
        ("a)", "closes nothing"),
        ("[a", "too early"),
        ("[]", "something in it"),
        ("[b-a]", "a range"),
        (r"[\D]", "in a class"),
        (r"\1", "not known"),
        (r"\b", "not known"),
        ("a\\", "too early"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Pattern(text)


def test_globs() -> None:
    assert glob("night-*").matches("night-")
    assert glob("night-*").matches("night-1.b")
    assert not glob("night-?").matches("night-12")
    assert not glob("a.b").matches("axb")
    assert Pattern("a") == Pattern("a") != Pattern("b")
    assert len({Pattern("a"), Pattern("a")}) == 1
    assert repr(Pattern("a")) == "Pattern('a')"
