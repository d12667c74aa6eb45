"""A cell of a table on a terminal, of as many lines as it needs; nothing is cut."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from tigertally.cli.layout import NARROWEST, Said, cells


class Drawn:
    """What rich asks for the lines of one cell, once it knows how wide the column is."""

    def __init__(self, said: Said) -> None:
        self._said = said

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._said.lines(options.max_width):
            yield Text(line, overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        every = (*self._said.facts.splitlines(), *self._said.quotes)
        widest = max(map(cells, every), default=0)
        return Measurement(min(widest, NARROWEST), widest).with_maximum(options.max_width)
