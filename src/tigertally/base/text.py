"""Text of other people: what may be written anew, and how whatever was written is shown.

A `Text` that was signed or stored once is read for ever by the rule of `base/ids.py`. What is
written now must be a `PlainText`: nothing in it hides, and nothing in it makes room. What was
written before is shown by `visible`, which writes out whatever a reader would not see.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby
from typing import Self

from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Text
from tigertally.base.limits import MAX_MARKS, MAX_SPACES

# Not of category C or Z, and yet nothing to see: letters and symbols that are drawn as a blank,
# and what Unicode calls default-ignorable (DerivedCoreProperties.txt).
_BLANK = frozenset(map(chr, (0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0, 0x13441, 0x13442, 0x1D159)))
_IGNORABLE = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0xFE00, 0xFE0F),
        (0xE0000, 0xE0FFF),
    )
    for code in range(first, last + 1)
)
# Scripts that one text may well mix, as Japanese and Korean do, also with Latin.
_TOGETHER = frozenset(
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "VERTICAL"}
)
_OF_ANY = frozenset({"MODIFIER", "MICRO", "FEMININE", "MASCULINE", "VEDIC"})  # no script's own


class PlainText(Text):
    """A text that is written now: every character shows, none piles up, and no room is made.

    Beside the rule of `Text`: no space but U+0020, and at most `MAX_SPACES` of them together; no
    line or paragraph separator; no character that is drawn as nothing; at most `MAX_MARKS`
    combining marks on a character, and none without one.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if fault := fault_of(value):
            why = f"a text shows whatever is in it, and this has {fault}: write it without that"
            raise MalformedMessage(why)
        return super().__new__(cls, value)


def fault_of(text: str) -> str:
    """Say what in a text a reader would not see as it is; empty if everything shows."""
    at = 0
    marks = MAX_MARKS  # nothing to stand on yet
    for char, run in groupby(text):
        count = len(list(run))
        if _hides(char):
            return f"{_name(char)} at character {at + 1}"
        if char == " " and count > MAX_SPACES:
            return f"{count} spaces together at character {at + 1}"
        if _is_mark(char):
            if marks + count > MAX_MARKS:
                return f"more marks than a letter bears at character {at + 1}: {_name(char)}"
            marks += count
        else:
            marks = MAX_MARKS if char == " " else 0
        at += count
    return ""


def visible(text: str) -> str:
    """Write out, as `<U+2028>`, whatever in a text would not be seen as it is.

    For text that may be older than the rule of `PlainText`, or comes from anywhere.
    """
    parts = []
    marks = MAX_MARKS
    for char, run in groupby(text):
        count = len(list(run))
        if _hides(char) or (char == " " and count > MAX_SPACES):
            parts.append(_escaped(char, count))
            marks = MAX_MARKS
        elif _is_mark(char):
            fit = min(count, MAX_MARKS - marks)
            parts.append(char * fit)
            marks += fit
            if fit < count:
                parts.append(_escaped(char, count - fit))
                marks = MAX_MARKS
        else:
            parts.append(char * count)
            marks = MAX_MARKS if char == " " else 0
    return "".join(parts)


def scripts_of(text: str) -> tuple[str, ...]:
    """Name the scripts of a text's letters, in order, where they should not be mixed.

    Empty if there is only one, or if they go together: letters of two scripts look alike, so one
    word can be written in ways that a reader cannot tell apart.
    """
    every = dict.fromkeys(_script(char) for char in text if char.isalpha())
    found = [name for name in every if name not in _OF_ANY]
    mixed = len(found) > 1 and not _TOGETHER.issuperset(found)
    return tuple(name.capitalize() for name in found) if mixed else ()


def _hides(char: str) -> bool:
    if char == " ":
        return False
    return unicodedata.category(char)[0] in "CZ" or char in _BLANK or char in _IGNORABLE


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"


def _script(letter: str) -> str:
    """The script as the letter's name has it; no table of scripts comes with Python."""
    return unicodedata.name(letter, "UNNAMED").partition(" ")[0].partition("-")[0]


def _name(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip()


def _escaped(char: str, count: int) -> str:
    times = f" ×{count}" if count > 1 else ""
    return f"<U+{ord(char):04X}{times}>"
