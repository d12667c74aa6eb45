"""Text of other people: what may be written now, and how what was written before is shown."""

from __future__ import annotations

import unicodedata

import pytest

from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Text
from tigertally.base.text import PlainText, fault_of, scripts_of, visible

# All of Unicode but the long rows of letters that are much alike.
ALIKE = ((0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0x17000, 0x18CFF), (0x20000, 0xDFFFF))
EVERYTHING = [
    chr(code) for code in range(0xE1000) if not any(first <= code <= last for first, last in ALIKE)
]

GOOD = [
    "",
    "restore test",
    "Monday.  Then Tuesday: two spaces after a full stop",
    "l’urgence « réelle »",
    "虎符 合せて",
    "ทั้งที่",  # a vowel and a tone on one letter
    "किसी कारण",
    "x̌̂ two marks that have no letter of their own",
    "🔑 emoji",
]

# Written as it was allowed before; each of these is a `Text` to this day.
FORGED = {
    "form final" + " " * 442 + "x": "442 spaces together at character 11",
    "form final\u2028release": "U+2028 LINE SEPARATOR at character 11",
    "form final\u2029release": "U+2029 PARAGRAPH SEPARATOR at character 11",
    "form\u3164final": "U+3164 HANGUL FILLER at character 5",
    "form\u2800final": "U+2800 BRAILLE PATTERN BLANK at character 5",
    "form\uffa0final": "U+FFA0 HALFWIDTH HANGUL FILLER at character 5",
    "form\u115ffinal": "U+115F HANGUL CHOSEONG FILLER at character 5",
    "form\u1160final": "U+1160 HANGUL JUNGSEONG FILLER at character 5",
    "urgent\u202f!": "U+202F NARROW NO-BREAK SPACE at character 7",
    "a\u00a0b": "U+00A0 NO-BREAK SPACE at character 2",
    "wide\u3000space": "U+3000 IDEOGRAPHIC SPACE at character 5",
    "a\ufe0fb": "U+FE0F VARIATION SELECTOR-16 at character 2",
    "a\u034fb": "U+034F COMBINING GRAPHEME JOINER at character 2",
    "a\U000e0100b": "U+E0100 VARIATION SELECTOR-17 at character 2",
    "x" + "\u033f" * 499: "more marks than a letter bears at character 2: U+033F",
    "x\u033f\u0330\u033f": None,  # not in normal form C, in which marks stand in order
    "\u0301x": "more marks than a letter bears at character 1: U+0301",
    "a \u0301x": "more marks than a letter bears at character 3: U+0301",
}


@pytest.mark.parametrize("text", GOOD)
def test_what_shows_may_be_written(text):
    assert PlainText(text) == text
    assert visible(text) == text
    assert not fault_of(text)


@pytest.mark.parametrize(("text", "fault"), [pair for pair in FORGED.items() if pair[1]])
def test_what_does_not_show_cannot_be_written_any_more(text, fault):
    assert Text(text) == text, "what was signed before can be read for ever"
    with pytest.raises(MalformedMessage) as caught:
        PlainText(text)
    assert fault in str(caught.value), "it says which character, and where"
    assert fault_of(visible(text)) == "", "and is shown so that everything is seen"


def test_controls_and_lengths_are_no_text_at_all():
    for text in ("two\nlines", "\x1b[31mred", "right\u202eleft", "zero\u200bwidth", "x" * 501):
        for kind in (Text, PlainText):
            with pytest.raises(MalformedMessage):
                kind(text)


def test_what_is_hidden_is_written_out():
    assert visible("a\u2028b") == "a<U+2028>b"
    assert visible("final" + "\u3164" * 442 + "x") == "final<U+3164 ×442>x"
    assert visible("a" + " " * 442 + "b") == "a<U+0020 ×442>b"
    assert visible("\u0301x" + "\u033f" * 500) == "<U+0301>x\u033f\u033f<U+033F ×498>"
    assert visible("\x1b[2J\r\n") == "<U+001B>[2J<U+000D><U+000A>"


def test_no_character_that_a_text_may_hold_is_invisible():
    """What is shown has an outline, by what Unicode itself says of it."""
    shown = [char for char in EVERYTHING if visible(f"x{char}") == f"x{char}"]
    assert len(shown) > 30_000
    assert all(unicodedata.category(char)[0] not in "CZ" for char in shown if char != " ")
    names = {unicodedata.name(char, "") for char in shown}
    words = ("FILLER", "VARIATION SELECTOR", "BRAILLE PATTERN BLANK", "GRAPHEME JOINER")
    drawn = {"GAP FILLER", "LINE FILLER", "SCRIPT FILLER"}  # these have strokes
    assert not {
        name
        for name in names
        if any(word in name for word in words) and not any(word in name for word in drawn)
    }
    assert {" ", "a", "é", "ж", "\u0301"} <= set(shown)


def test_what_is_shown_of_any_character_has_no_fault():
    for char in EVERYTHING:
        assert not fault_of(visible(char))


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("payroll", ()),
        ("", ()),
        ("12:30, 5 µs, 1.º", ()),
        ("Зарплата", ()),
        ("データ data 合計", ()),
        ("한국 Korea", ()),
        ("pаyroll", ("Latin", "Cyrillic")),  # the first a is Cyrillic
        ("ΔT in Kelvin", ("Greek", "Latin")),
        ("form 𝐟𝐢𝐧𝐚𝐥", ("Latin", "Mathematical")),
        ("虎 и", ("Cjk", "Cyrillic")),
    ],
)
def test_scripts_that_do_not_go_together_are_named(text, scripts):
    assert scripts_of(text) == scripts
