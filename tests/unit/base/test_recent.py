"""A cache that neither many nor long values can make large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.recent import Recent


def test_the_one_used_longest_ago_goes_first():
    recent = Recent(entries=2, size=100)
    recent.put("a", 1, 10)
    recent.put("b", 2, 10)
    assert recent.get("a") == 1
    recent.put("c", 3, 10)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_long_values_push_out_more():
    recent = Recent(entries=10, size=100)
    for name in "abc":
        recent.put(name, name, 30)
    recent.put("d", "d", 70)
    assert [recent.get(name) for name in "abcd"] == [None, None, "c", "d"]


def test_what_is_longer_than_all_of_it_is_not_kept():
    recent = Recent(entries=10, size=100)
    recent.put("a", "a", 100)
    recent.put("b", "b", 101)
    assert (recent.get("a"), recent.get("b")) == ("a", None)


def test_the_same_key_again_counts_once():
    recent = Recent(entries=10, size=100)
    for _ in range(5):
        recent.put("a", "a", 60)
    recent.put("b", "b", 40)
    assert recent.get("a") == "a"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=60))
def test_it_never_holds_more_than_it_may(puts):
    recent, sizes = Recent(entries=5, size=100), {}
    for key, size in puts:
        recent.put(key, key, size)
        sizes[key] = size
        assert len(recent) <= 5
        assert sum(sizes[k] for k in sizes if recent.get(k) is not None) <= 100
