"""However narrow the screen is, no line of a quotation begins as one of ours does."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from tigertally.cli.drawn import Drawn
from tigertally.cli.layout import AGAIN, FACTS, QUOTED, Said, cells
from tigertally.quorum.words import Quote

FACT = "FORM PRIVATE: the requester keeps it · release payroll version 1 · for app"
FORGERIES = [
    "x" * 35 + " form final · release payroll version 1 · for app",
    "form final " * 40,
    "x" * 500,
    "ф" * 300,
    "🔑" * 100 + " form final",
    "虎符" * 100,
    "word",
]


def test_whatever_a_terminal_may_draw_wide_counts_as_wide():
    """The tests below measure by it."""
    assert [cells(text) for text in ("form", "ф", "虎", "α", "é", "·")] == [4, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("width", [20, 33, 40, 80, 100, 500])
@pytest.mark.parametrize("text", FORGERIES)
def test_every_further_line_of_a_quotation_is_marked(width, text):
    quote = str(Quote(by="app", what="reason", text=text))
    lines = Said(FACT, (quote,)).lines(width)
    start = next(i for i, line in enumerate(lines) if line.startswith("reason, as app"))
    ours, theirs = lines[:start], lines[start:]
    assert all(cells(line) <= width for line in lines)
    assert all(line.startswith(QUOTED) for line in theirs[1:])
    assert not any(line.startswith(QUOTED) for line in ours)
    assert all(line.startswith(FACTS) for line in ours[1:])
    joined = "".join([theirs[0], *(line.removeprefix(QUOTED) for line in theirs[1:])])
    assert joined.replace(" ", "") == quote.replace(" ", ""), "nothing is cut"


def test_without_a_screen_facts_are_whole_and_quotations_fit_the_next_screen():
    long = f"{FACT} " * 10
    lines = Said(f"{long}\nmore", ("a" * 300, "b")).lines()
    assert lines[:2] == [long, "more"]
    assert lines[2:] == ["a" * 74, *[QUOTED + "a" * 74] * 3, QUOTED + "a" * 4, "b"]


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("height", [5, 24, 60])
@pytest.mark.parametrize("text", FORGERIES)
def test_where_not_all_of_it_fits_the_facts_come_last_too(width, height, text):
    said = Said(FACT, (str(Quote(by="app", what="reason", text=text)),))
    whole, again = said.lines(width), said.below(width, height)
    room = max(3, height - 4)  # beside that sentence and the question
    if len(whole) <= room:
        assert again == []
        return
    facts = said.facts_in(width)
    assert again[0] == AGAIN
    assert again[1].startswith("FORM PRIVATE:")
    if len(facts) <= room:
        assert again[1:] == facts
    else:
        assert again[1:] == [*facts[: room - 1], f"{FACTS}… (more above)"]


@pytest.mark.parametrize("width", [50, 80])
@pytest.mark.parametrize("text", FORGERIES)
def test_a_cell_on_a_terminal_is_wrapped_and_whole(width, text):
    quote = str(Quote(by="app", what="reason", text=text))
    table = Table("id", "what", "by")
    table.add_row("3f2a81bc9d0e", Drawn(Said(FACT, (quote,))), "app")
    sheet = io.StringIO()
    Console(width=width, color_system=None, file=sheet).print(table)
    drawn = [line for line in sheet.getvalue().splitlines() if line.startswith("│")]
    column = [line.split("│")[2].strip() for line in drawn]
    whole = "".join(line.removeprefix(QUOTED.strip()).strip() for line in column)
    assert whole.replace(" ", "") == (FACT + quote).replace(" ", "")
