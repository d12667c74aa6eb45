from __future__ import annotations

import re

from tigertally.algebra import tags

ALL = {name: value for name, value in vars(tags).items() if name.isupper()}


def test_tags_are_unique_and_none_begins_another() -> None:
    values = list(ALL.values())
    assert len(values) > 40
    assert len(set(values)) == len(values)
    for one in values:
        assert sum(other.startswith(one) for other in values) == 1


def test_a_tag_is_its_constants_name_and_ends_with_the_only_zero_byte() -> None:
    for name, value in ALL.items():
        assert re.fullmatch(rb"tigertally/v1/[a-z0-9-]+\x00", value), name
        assert value == b"tigertally/v1/" + name.lower().replace("_", "-").encode() + b"\0"
