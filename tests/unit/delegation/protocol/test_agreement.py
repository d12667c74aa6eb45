"""Each thing that an edit may not change is seen, whatever way of editing would change it."""

from __future__ import annotations

import pytest

from tigertally.delegation.protocol.agreement import agree
from tigertally.delegation.protocol.edits import Text
from tigertally.delegation.protocol.looks import EMPTY, EMPTY_LIST, GONE, NOTHING

OLD = "a: 1\nb: {c: x, d: [1, 2]}\n---\ne: 1\n"
SET = 'a: 1\nb: {c: "@", d: [1, 2]}\n---\ne: 1\n'


def agrees(old, new, place, outcome, part=1):
    before, after = (Text.parse(text, json=False).parts for text in (old, new))
    return agree(before, after, part, tuple(place.split("/")), outcome)


def test_the_right_edits_agree():
    assert agrees(OLD, SET, "b/c", "@")
    assert agrees(OLD, OLD.replace("e: 1", 'e: "@"'), "e", "@", part=2)
    assert agrees(OLD, OLD.replace("c: x, ", ""), "b/c", GONE)
    assert agrees(OLD, OLD.replace("1, 2", '1, 2, "@"'), "b/d/2", "@")
    assert agrees("a: {b: 1}\n", "a: {}\n", "a", EMPTY)
    assert agrees("a: [1]\n", "a: []\n", "a", EMPTY_LIST)
    assert agrees("a:\n  {b: 1}\n", "a:\n", "a", NOTHING)
    assert agrees("a: 1\n", 'a: {b: {c: "@"}}\n', "a/b/c", "@")


@pytest.mark.requirement("D11")
@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("e: 1", "e: 2"),  # another document of the file
        ("e: 1", "e: 1\n---\nf: 1"),
        ("a: 1", "a: 01"),
        ("a: 1", "a: '1'"),
        ("a: 1", "a: !t 1"),
        ("a: 1", "'a': 1"),  # a name in other words
        ("a: 1\n", ""),
        ("b:", '"b":'),  # the same on the way
        ("b: {", "b: !t {"),
        ("b: {", "b: &n {"),
        ("c:", '"c":'),
        ("c:", "&n c:"),
        ("[1, 2]", "[2, 1]"),
        ("[1, 2]", "[1, 2, 3]"),
        ('c: "@", d: [1, 2]', 'd: [1, 2], c: "@"'),  # in another order
        ('a: 1\nb: {c: "@", d: [1, 2]}', 'b: {c: "@", d: [1, 2]}\na: 1'),
        ('{c: "@", d: [1, 2]}', '[c: "@", d: [1, 2]]'),
        ('"@"', "'@'"),  # the place itself
        ('"@"', '!t "@"'),
        ('"@"', '&n "@"'),
        ('"@"', '"@@"'),
        ('"@"', '["@"]'),
        ('c: "@"', 'c: "@", c: "@"'),
    ],
)
def test_whatever_else_changes_is_seen(was, becomes):
    assert was in SET
    assert not agrees(OLD, SET.replace(was, becomes, 1), "b/c", "@")


def test_what_is_taken_out_is_gone_and_nothing_else():
    for new in (OLD, "a: 1\nb: {}\n---\ne: 1\n", OLD.replace("c: x, d", "c: x, e")):
        assert not agrees(OLD, new, "b/c", GONE)
    assert not agrees(OLD, OLD, "b/x", GONE), "it was never there"
    assert not agrees("a: {b: 1}\n", "a: []\n", "a", EMPTY)
    assert not agrees("a: {b: 1}\n", "a: !t {}\n", "a", EMPTY)
    assert not agrees("a: {b: 1}\n", "a: ''\n", "a", NOTHING)
    assert not agrees("a: 1\n", 'a: !t {b: "@"}\n', "a/b", "@")
    assert not agrees("a: 1\n", 'a: {b: "@", c: 1}\n', "a/b", "@")
