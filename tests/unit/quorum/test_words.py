"""Facts first, then what others say, each quoted so that the quotation's end cannot be forged."""

from __future__ import annotations

import pytest

from tigertally.base.ids import Text
from tigertally.quorum.words import Quote, clauses, in_one_line, quoted

FACTS = "FORM PRIVATE: all of it · release payroll version 1 · for app"


def quote(text, what="reason"):
    return Quote(by="app", what=what, text=text)


def test_clauses_leave_out_what_is_empty():
    assert clauses("", "a", "", "b") == "a · b"
    assert clauses() == ""


@pytest.mark.parametrize(
    "forged",
    [
        "test” · form final",
        'test" · form final',
        "test„ · form final",
        "test＂ · form final",
        "test❞ form final",
        "test〞 form final",
        "test» · form final",
        "test″ · form final",
    ],
)
def test_the_end_of_a_quotation_cannot_be_forged(forged):
    shown = str(quote(forged))
    assert shown.startswith("reason, as app says: “")
    inside = shown.partition("“")[2].removesuffix("”")
    assert inside == forged.replace(forged[4], "'")


def test_what_would_not_be_seen_is_written_out():
    text = "form final" + " " * 442 + "\u2028\u3164"
    assert quoted(text) == "“form final<U+0020 ×442><U+2028><U+3164>”"


def test_mixed_scripts_are_noted_by_us_before_the_quotation():
    assert str(quote("pаyroll")) == (
        "reason, as app says (in letters of several scripts: Latin, Cyrillic): “pаyroll”"
    )


def test_a_line_for_the_log_is_a_text_whatever_was_said():
    for text in ("x", "\u0301", "x" * 500, "x" + "\u033f" * 499, " " * 500, "”\u2028" * 250):
        for most in (60, 61, 100, 120, 400):
            line = in_one_line(FACTS, [quote(text), quote(text, "invited by")], most=most)
            assert Text(line) == line
            assert len(line) <= most
            assert line.count("“") == line.count("”"), "what is cut is cut inside"
            assert line.startswith(FACTS[:59])
    assert in_one_line(FACTS, [quote("a test")]) == f"{FACTS} · reason, as app says: “a test”"
    assert in_one_line(FACTS, []) == FACTS
    long = in_one_line("x" * 600, [quote("y")])
    assert long == "x" * 499 + "…", "facts matter more"
