"""Lines that fit a screen, so that what others say never looks like what we say.

Every line of our own begins at the margin; where a quotation needs more than one, all but its
first begin with a mark that no text can put there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

QUOTED = "  > "  # before each further line of a quotation
FACTS = "  "  # before each further line of a fact
PAGE = 78  # cells of a line that goes into a pipe, and from there perhaps onto a screen
AGAIN = "Once more, since the screen is too short for all of it:"
_BESIDE = 4  # lines of a screen for that sentence, where it is narrow too, and for the question
_LEAST = 3  # lines of facts, on a screen however short
NARROWEST = 20  # cells; a screen that says it has fewer is not believed
_WORDS = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class Said:
    """Facts, each a line, and below them quotations, each a line or more of its own."""

    facts: str
    quotes: tuple[str, ...] = ()

    def lines(self, width: int | None = None) -> list[str]:
        """Return its lines, none wider than `width` cells of a screen.

        Args:
            width: None where there is no screen: facts are as long as they are, and quotations fit
                most screens on which somebody may read them later.
        """
        return [*self.facts_in(width), *self.quotes_in(width or PAGE)]

    def below(self, width: int, height: int) -> list[str]:
        """Return the facts once more where all lines do not fit a screen of this size; else none.

        What matters most stands first in them, so of facts that are too long the end is left out.

        **Security:** what others say may be longer than the screen. Facts that have scrolled out of
        it are not what a person has before their eyes when they answer.
        """
        room = max(height - _BESIDE, _LEAST)
        if len(self.lines(width)) <= room:
            return []
        facts = self.facts_in(width)
        cut = [f"{FACTS}… (more above)"] if len(facts) > room else []
        return [AGAIN, *facts[: room - len(cut)], *cut]

    def facts_in(self, width: int | None) -> list[str]:
        """Return the lines of the facts."""
        facts = self.facts.splitlines()
        return facts if width is None else [p for line in facts for p in fold(line, width, FACTS)]

    def quotes_in(self, width: int) -> list[str]:
        """Return the lines of the quotations."""
        return [part for line in self.quotes for part in fold(line, width, QUOTED)]


def cells(text: str) -> int:
    """Return how many cells of a screen a text takes at most.

    **Security:** terminals disagree about everything but ASCII, some draw Greek and Cyrillic
    letters two cells wide. A line that is longer than was counted goes on without its mark.
    """
    return sum(1 if char.isascii() else 2 for char in text)


def fold(line: str, width: int, mark: str) -> Iterator[str]:
    """Break a line between words, or inside one that is too wide.

    Args:
        width: of the screen, in cells.
        mark: stands before each part but the first.
    """
    width = max(width, NARROWEST)
    part = ""
    for word in _pieces(line, width - len(mark)):
        if part.strip() and cells(part + word.rstrip()) > width:
            yield part.rstrip()
            part = mark
        part += word
    yield part.rstrip()


def _pieces(line: str, width: int) -> Iterator[str]:
    """The words with the spaces behind them, those that do not fit in parts."""
    for word in _WORDS.findall(line):
        part = ""
        for char in word:
            if cells(part + char) > width and not char.isspace():
                yield part
                part = ""
            part += char
        yield part
