"""Samples of walks: the same for one seed, different for another, everything in a whole walk."""

from __future__ import annotations

import itertools
import re

import pytest

import walks
from sources import TESTS


@pytest.fixture
def as_in(monkeypatch):
    def set_(*, seed=7, whole=False):
        monkeypatch.setattr(walks, "SEED", seed)
        monkeypatch.setattr(walks, "WHOLE", whole)

    return set_


def test_a_sample_is_drawn_by_the_seed_and_the_name(as_in):
    as_in(seed=7)
    first = walks.sampled(range(1000), 10, "remove")
    assert len(set(first)) == 10
    assert first == sorted(first) == walks.sampled(range(1000), 10, "remove")
    assert first != walks.sampled(range(1000), 10, "join")
    as_in(seed=8)
    assert first != walks.sampled(range(1000), 10, "remove")


def test_every_case_is_taken_by_some_seed(as_in):
    taken = set()
    for seed in range(200):
        as_in(seed=seed)
        taken.update(walks.sampled("abcdefghij", 2, "letters"))
    assert taken == set("abcdefghij")


def test_strides_reach_every_number_by_some_seed_and_each_in_a_whole_walk(as_in):
    taken = set()
    for seed in range(200):
        as_in(seed=seed)
        first, second, third = itertools.islice(walks.strides(4, "steps"), 3)
        assert (second - first, third - second) == (4, 4)
        assert first == next(walks.strides(4, "steps"))
        taken.add(first)
    assert taken == {1, 2, 3, 4}
    as_in(whole=True)
    assert list(itertools.islice(walks.strides(4, "steps"), 9)) == list(range(1, 10))


def test_few_cases_and_whole_walks_are_taken_whole(as_in):
    as_in()
    assert walks.sampled(iter("abc"), 3, "letters") == ["a", "b", "c"]
    assert walks.examples(25) == 25
    as_in(whole=True)
    assert walks.sampled(range(1000), 10, "remove") == list(range(1000))
    assert walks.examples(25) > 500


def test_whatever_is_sampled_belongs_to_the_whole_walk():
    """`make walk` runs what is marked: a sample without the mark would never be taken whole."""
    draws = re.compile(r"^from walks import .*\b(sampled|strides)\b", re.MULTILINE)
    sampling = {
        path.name
        for path in TESTS.rglob("test_*.py")
        if draws.search(text := path.read_text("utf-8")) and "mark.walk" not in text
    }
    assert sampling == set()
