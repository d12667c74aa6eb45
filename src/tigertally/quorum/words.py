"""What people read of a proposal: our facts first, then what others say, each quoted.

Facts are clauses made from typed values; nobody else's text is in them. What somebody wrote is a
`Quote`: who says it, what it is, and the text between marks that cannot stand in it. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tigertally.base.limits import MAX_TEXT_LENGTH
from tigertally.base.text import scripts_of, visible

SEPARATOR = " · "
_CUT = "…"
# Whatever looks like a quotation mark of two strokes becomes an apostrophe between ours.
_MARKS = str.maketrans(dict.fromkeys('"“”„‟″‶❝❞〝〞〟＂«»', "'"))
_SHORTEST_QUOTE = 20  # characters; with less room it says nothing, and facts matter more


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Somebody's own words.

    Attributes:
        by: who says it, as a member's name; never taken from the text itself.
        what: what it is, in our words: `reason`, `invited by`.
        text: as it was written, perhaps before the rule of `PlainText`.
    """

    by: str
    what: str
    text: str

    @property
    def heading(self) -> str:
        """What stands before the quotation."""
        mixed = scripts_of(self.text)
        note = f" (in letters of several scripts: {', '.join(mixed)})" if mixed else ""
        return f"{self.what}, as {self.by} says{note}: "

    def __str__(self) -> str:
        return self.heading + quoted(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A proposal in words: facts in one line, and what others say in it."""

    facts: str
    quotes: tuple[Quote, ...] = ()


def clauses(*parts: str) -> str:
    """Join facts into one line, what matters most first; empty ones are left out."""
    return SEPARATOR.join(part for part in parts if part)


def quoted(text: str) -> str:
    """Return the text between quotation marks, of which none is left inside.

    **Security:** everything that would not be seen is written out, so that the quotation ends
    where its mark is, and what follows cannot be pushed out of sight.
    """
    return f"“{visible(text).translate(_MARKS)}”"


def in_one_line(facts: str, quotes: Iterable[Quote], *, most: int = MAX_TEXT_LENGTH) -> str:
    """Facts and quotations in one line, for the audit log; cut inside a quotation if too long."""
    line = facts if len(facts) <= most else facts[: most - 1] + _CUT
    for quote in quotes:
        whole = f"{SEPARATOR}{quote}"
        room = most - len(line)
        if len(whole) > room:
            whole = whole[: room - 2] + f"{_CUT}”" if room > _least(quote) else ""
        line += whole
    return line


def _least(quote: Quote) -> int:
    return len(SEPARATOR) + len(quote.heading) + _SHORTEST_QUOTE
