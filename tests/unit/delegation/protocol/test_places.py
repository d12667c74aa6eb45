from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import UsageError
from tigertally.delegation.messages.labels import parse_label
from tigertally.delegation.protocol.places import (
    component_of,
    label_of,
    normal,
    parse_place,
    place_text,
)

NAMES = st.text(
    st.sampled_from(["a", "~", "0", "1", "/", ".", "é", "#", "2", " "]), min_size=1, max_size=6
)
pytestmark = pytest.mark.requirement("D11")


@given(st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4))
def test_a_place_is_read_as_it_is_written(names):
    place = tuple(map(normal, names))
    written = "/".join(name.replace("~", "~0").replace("/", "~1") for name in place)
    assert parse_place(written) == place
    assert parse_place(place_text(place)) == place


@given(NAMES, NAMES)
def test_two_names_never_have_one_label(one, other):
    names = [name for name in (one, other) if name not in (".", "..")]
    assert len({component_of(name) for name in names}) == len({normal(name) for name in names})


@given(NAMES.filter(lambda name: "/" not in name and name not in (".", "..")))
def test_a_landed_name_keeps_its_label(name):
    if "~0" not in name and "~1" not in name:
        assert component_of(name) == normal(name)


def test_places_and_labels():
    assert parse_place("/") == ()
    assert place_text(()) == "/"
    assert parse_place("/a/b/") == ("a", "b")
    assert parse_place("a~1b/c~01d/~/e~2") == ("a/b", "c~1d", "~", "e~2")
    assert parse_place("cafe\u0301") == ("caf\u00e9",)
    for text in ("", "//", "a//b"):
        with pytest.raises(UsageError, match="none is empty"):
            parse_place(text)
    document = parse_label("app.yaml")
    assert label_of(document, ("a/b", "c"), 1) == parse_label("app.yaml/a~1b/c")
    assert label_of(document, ("a",), 3) == parse_label("app.yaml/#3/a")
    for place in (("#3", "a"), ("..",), ("a.keys",), ("\0",), ("x" * 251,), ("a",) * 64):
        with pytest.raises(UsageError):
            label_of(document, place)
