"""`docs/requirements.md` lists every requirement, and says of each what the tests say."""

from __future__ import annotations

from collections import Counter

import pytest

import requirement_marks
from requirement_marks import IDS, PAGE, STATES, marked_tests, marks_in, mended, rows

ROWS = rows(PAGE.read_text("utf-8"))
TESTS = marked_tests()


def test_every_id_has_exactly_one_row_in_order():
    assert tuple(row.id for row in ROWS) == IDS
    assert len(IDS) == 72


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row_says_what_the_tests_say(row):
    assert row.state in STATES
    assert row.what
    files = {f"tests/{name}" for name in row.test_files}
    assert files == TESTS.get(row.id, set()), "run: make requirements"
    assert (row.state == "planned") == (not files)


def test_done_is_shown_on_real_processes():
    done = [row for row in ROWS if row.state == "done"]
    assert len(done) > 10
    for row in done:
        assert any(name.startswith(("integration/", "cli/")) for name in row.test_files), row.id


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row_names_pages_that_exist(row):
    assert row.state == "planned" or row.pages, "a page that explains it"
    for page in row.pages:
        assert (PAGE.parent / page).is_file(), page


def test_every_mark_names_a_requirement_that_is_not_planned():
    built = {row.id for row in ROWS if row.state != "planned"}
    assert set(TESTS) <= set(IDS), "a mark names an unknown id"
    assert set(TESTS) <= built, "run: make requirements"


def test_marks_are_found_wherever_they_stand():
    source = (
        "import pytest\n"
        "pytestmark = [pytest.mark.requirement('C1')]\n"
        "@pytest.mark.requirement('C2', 'C3')\n"
        "@pytest.mark.parametrize('n', [pytest.param(1, marks=pytest.mark.requirement('C4'))])\n"
        "def test_it(n): assert n\n"
    )
    assert marks_in(source) == {"C1", "C2", "C3", "C4"}


def test_mending_fills_in_tests_and_nothing_else():
    page = (
        "head\n| C1 | text | planned | [p](a.md) | — |\n| C2 | other | done | [q](b.md) | `x` |\n"
    )
    assert mended(page, {"C1": {"tests/unit/test_a.py"}}) == (
        "head\n"
        "| C1 | text | partly | [p](a.md) | `unit/test_a.py` |\n"
        "| C2 | other | planned | [q](b.md) | — |\n"
    )
    assert Counter(row.id for row in requirement_marks.rows(page)) == {"C1": 1, "C2": 1}
