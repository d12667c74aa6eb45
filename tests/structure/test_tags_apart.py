"""Domain separation tags: no two alike, none the beginning of another, all in one file."""

from __future__ import annotations

import ast
from itertools import permutations

from sources import PACKAGE, name_of, package_files, tree
from tigertally.algebra import tags

TAGS = {name: value for name, value in vars(tags).items() if name.isupper()}


def test_tags_are_unique():
    assert len(TAGS) > 20
    assert len(set(TAGS.values())) == len(TAGS)


def test_no_tag_is_the_beginning_of_another():
    for (name, one), (other_name, other) in permutations(TAGS.items(), 2):
        assert not other.startswith(one), f"{name} begins {other_name}"


def test_every_tag_is_text_and_one_closing_zero():
    for name, value in TAGS.items():
        assert value.startswith(b"tigertally/v1/"), name
        assert value.index(b"\0") == len(value) - 1, name
        assert value[:-1].isascii(), name


def test_no_other_file_spells_a_tag():
    home = PACKAGE / "algebra" / "tags.py"
    for path in package_files():
        if path == home:
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                assert not node.value.startswith(b"tigertally/"), name_of(path)
