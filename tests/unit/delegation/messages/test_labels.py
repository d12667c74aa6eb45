from __future__ import annotations

import unicodedata

import pytest

from tigertally.base.errors import MalformedMessage
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.labels import (
    KEYS_SUFFIX,
    Component,
    LabelId,
    LabelKey,
    label_text,
    new_label,
    parse_label,
)

BAD = [
    "",
    ".",
    "..",
    "a/b",
    "a\x00",
    "a\n",
    "x.keys",
    "x.KEYS",  # the same object as x.keys where a store does not tell cases apart
    ".x.partial",
    ".keys",
    "e\u0301",
    "é" * 125 + "x",  # with .keys behind it no file system takes it
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


def test_an_id_does_not_print():
    """Who sees it finds, and may add to, everything below."""
    id_ = LabelId(b"\xab" * 32)
    assert "abab" not in f"{id_} {id_!r} {Level(id=id_, key=LabelKey(bytes(33)), version=1)}"


def test_the_longest_name_fits_with_its_slots():
    assert len(f"{Component('é' * 125)}{KEYS_SUFFIX}".encode()) == 255


UNSEEN = [
    "pay\u200broll",  # zero-width space
    "pay\u200droll",  # a joiner where nothing joins
    "\u200cpay",
    "fdp.\u202egnp",  # reads as pay.png backwards
    "a\u2066b",
    "a\u2028b",
    "a\u2029b",
    "a\u00adb",
    "a\ufeff",
    "x.key\u017f",  # .keys where a store folds letters
]
SEEN = ["Übersicht 2026", "सर्\u200dवर", "می\u200cخواهم", "👩\u200d🚀", "❤️\u200d🔥", "ﬁle", "keys"]


@pytest.mark.parametrize("name", UNSEEN)
def test_nothing_new_goes_to_a_name_that_people_cannot_see_but_it_stays_readable(name):
    with pytest.raises(MalformedMessage):
        new_label(parse_label(f"a/{name}"))
    assert parse_label(f"a/{name}") == ("a", name)


@pytest.mark.parametrize("name", SEEN)
def test_names_of_all_scripts_can_be_new(name):
    assert new_label(parse_label(name)) == (unicodedata.normalize("NFC", name),)
