from __future__ import annotations

import pytest

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.messages.labels import Component, label_text, parse_label

BAD = [
    "",
    ".",
    "..",
    "a/b",
    "a\x00",
    "a\n",
    "x.keys",
    ".x.partial",
    ".keys",
    "e\u0301",
    "é" * 128,
    "\ud800",
]


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_none(name):
    with pytest.raises(MalformedMessage):
        Component(name)


@pytest.mark.parametrize("text", ["", "/", "a//b", "a/../b", "./a", "/".join("a" * 65)])
def test_labels_that_are_none(text):
    with pytest.raises(MalformedMessage):
        parse_label(text)


def test_labels_as_people_write_them():
    assert parse_label("/reports/2026/") == ("reports", "2026")
    assert parse_label("e\u0301") == ("é",)
    assert label_text(parse_label("a/b")) == "a/b"
    assert label_text(()) == "/"
