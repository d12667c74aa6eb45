"""What a command says: one JSON document with `--json`, words and tables for people otherwise.

Results go to standard output, everything else (progress, notes, warnings) to standard error. The
document is written when the command ends, so that there is exactly one, also if it fails late.
"""

from __future__ import annotations

import io
import json
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.cli.errors import Report, one_line

if TYPE_CHECKING:
    from tigertally.cli.layout import Said

Document = Mapping[str, Any] | Sequence[Any]
Human = str | Callable[[], str | None]


@dataclass(slots=True)
class Session:
    """How this run of the program talks; set by the options that every command has."""

    json: bool = False
    debug: bool = False
    command: str = "tally"
    piped: bool = False
    document: Document | None = None
    interrupt: KeyboardInterrupt | None = None


session = Session()


def reset() -> None:
    """Forget the run before; for a process that runs several commands."""
    session.json = session.debug = False
    session.command = "tally"
    session.document = session.interrupt = None
    session.piped = _is_pipe()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")


def emit(data: Document, human: Human = "") -> None:
    """Say the result of a command; once, and also before an error that it should go with.

    Args:
        data: for `--json`: bytes become hex, enums their value, paths text.
        human: for people: the text, or a function that makes it (or prints by itself).

    Raises:
        RuntimeError: called twice in one command.
    """
    if session.document is not None:
        raise RuntimeError("a command has one result")
    session.document = data
    if session.json:
        return
    text = human if isinstance(human, str) else human()
    if text:
        print(text)  # noqa: T201 - this is the one place that writes to standard output


def finish(failure: Report | None = None) -> None:
    """With `--json`, write the document. A failure's object holds the result so far, too."""
    document: Any = session.document
    if failure is not None:
        before = document if isinstance(document, Mapping) else {}
        document = {**before, **failure.as_json()}
    if session.json and document is not None:
        print(json.dumps(document, default=_plain, indent=2))  # noqa: T201 - as above
    if sys.stdout is not None:
        sys.stdout.flush()


def forget_standard_output() -> None:
    """Nothing may be written there any more, also not when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    finally:
        os.close(nowhere)


def nobody_reads() -> bool:
    """Whether the pipe behind standard output has lost its reader.

    rich then puts /dev/null in its place before it raises: no pipe any more is the same sign.
    """
    if not session.piped or not _is_pipe():
        return session.piped
    look = select.poll()
    look.register(sys.stdout, 0)  # errors are told unasked
    return any(what & select.POLLERR for _, what in look.poll(0))


def _is_pipe() -> bool:
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # closed, replaced, or none
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def note(text: str) -> None:
    """A line on standard error."""
    print(one_line(text), file=sys.stderr, flush=True)  # noqa: T201 - as above


def facts(pairs: Mapping[str, object]) -> str:
    """One `name  value` a line, aligned; for one thing and what is known about it."""
    width = max((len(name) for name in pairs), default=0)
    return "\n".join(f"{name:<{width}}  {cell(value)}" for name, value in pairs.items())


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: `1 holder`, `2 holders`."""
    return f"{number} {one if number == 1 else many}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> Human:
    """A table for `emit`: drawn on a terminal, plain columns in a pipe (nothing is cut there).

    Args:
        columns: their heads.
        rows: one cell for each column; a `Said` may take several lines.
        empty: what to say if there are no rows.
    """
    from tigertally.cli.layout import Said

    cells = [[v if isinstance(v, Said) else Said(cell(v)) for v in row] for row in rows]
    if not cells:
        return empty
    if not sys.stdout.isatty():
        return _plain_table([[Said(head.upper()) for head in columns], *cells])
    return lambda: _draw(columns, cells)


def cell(value: object) -> str:
    """A value in words, safe to print: control characters of others are taken out."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return one_line(str(value.value))
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(item) for item in value) or "-"
    if type(value) is bytes:
        return value.hex()
    return one_line(str(value))


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while bytes are worked on; nothing where that is no terminal.

    Gives a function to call with the number of bytes done so far.
    """
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


def _plain_table(rows: list[list[Said]]) -> str:
    """Columns as wide as their widest fact; quotations stand below theirs."""
    from tigertally.cli.layout import PAGE

    widths = [max(len(said.facts) for said in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        facts = (said.facts.ljust(width) for said, width in zip(row, widths, strict=True))
        lines.append("  ".join(facts).rstrip())
        for number, said in enumerate(row):
            before = " " * sum(width + 2 for width in widths[:number])
            lines += [before + part for part in said.quotes_in(PAGE - len(before))]
    return "\n".join(lines)


def _draw(columns: Sequence[str], cells: list[list[Said]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from tigertally.cli.drawn import Drawn

    drawn = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in cells:
        drawn.add_row(*map(Drawn, row))
    Console().print(drawn)


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):  # our fixed sizes say by themselves how they read
        return value.hex() if type(value) is bytes else str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")
