"""What a person at the terminal names, is shown, and is asked.

**Security:** whoever answers has seen what they answer to. So the text and the question go where a
person reads them, and what was typed before the question stood there is thrown away.
"""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterable
from typing import TextIO

from tigertally.base.errors import Refused, UsageError
from tigertally.base.ids import ProposalId
from tigertally.cli.errors import one_line
from tigertally.cli.layout import Said
from tigertally.cli.output import session

_YES = ("y", "yes")
_USUAL_WIDTH, _USUAL_HEIGHT = 80, 24
_ALL_DIGITS = 2 * ProposalId.SIZE


def at_terminal() -> bool:
    """Whether a person at a terminal can answer: standard input is one."""
    return sys.stdin is not None and sys.stdin.isatty()


def show(said: Said) -> None:
    """Show something that comes before the result: with `--json` on standard error.

    On a screen that is too short for all of it the facts stand below as well, where a question
    follows.
    """
    screen = _screen()
    lines = said.lines()
    if screen.isatty():  # one that does not say how large it is says 0
        size = os.get_terminal_size(screen.fileno())
        width = size.columns or _USUAL_WIDTH
        lines = said.lines(width) + said.below(width, size.lines or _USUAL_HEIGHT)
    print("\n".join(lines), file=screen, flush=True)


def show_lines(lines: Iterable[str]) -> None:
    """Show lines of our own making where `show` shows a text."""
    print("\n".join(map(one_line, lines)), file=_screen(), flush=True)


def named_by(text: str, *, beginning: bool) -> ProposalId | str:
    """Return the whole id, or the checked digits of a beginning.

    Args:
        beginning: whether one will do: a person sees which proposal it stands for.

    Raises:
        UsageError: it is neither, or a beginning where the whole id is needed.
    """
    from tigertally.quorum.member.displayed import parse_beginning

    digits = parse_beginning(text)
    if len(digits) == _ALL_DIGITS:
        return ProposalId.from_text(digits)
    if not beginning:
        where = "with --yes" if at_terminal() else "without a terminal"
        error = UsageError(f"{where} a proposal is named by all {_ALL_DIGITS} digits of its id")
        error.add_note("`tally holder inbox --json` and `tally tally list --json` have them")
        raise error
    return digits


def check_screen() -> None:
    """Check that a person sees what is shown.

    Raises:
        UsageError: both outputs are sent elsewhere, and a question would wait unseen.
    """
    if not _screen().isatty():
        error = UsageError("neither standard output nor standard error is the terminal")
        error.add_note("nobody would see the question: give the whole id and --yes")
        raise error


def person_sees() -> bool:
    """Whether there is a person at a terminal, and what is shown comes to that terminal."""
    return at_terminal() and _screen().isatty()


def ask(question: str, *, otherwise: str, remains: str = "the proposal stays as it is") -> None:
    """Ask, and return if the answer is yes.

    Args:
        otherwise: what holds when it is not, for the error's line.
        remains: what that changes, behind it.

    Raises:
        Refused: any other answer, or none (Ctrl-D).
        KeyboardInterrupt: Ctrl-C.
    """
    screen = _screen()
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    try:
        print(f"{question} [y/N] ", end="", file=screen, flush=True)
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        line = "?\n"  # no letter that we know
    except KeyboardInterrupt as interrupt:
        print(file=screen, flush=True)
        interrupt.add_note(otherwise)
        raise
    if not line.endswith("\n"):
        print(file=screen, flush=True)
    if line.strip().lower() not in _YES:
        answer = "you answered no" if line.strip() else "no answer is a no"
        error = Refused(f"{answer}: {otherwise}")
        error.add_note(remains)
        raise error


def _screen() -> TextIO:
    """Where a person reads: standard output, unless that is for programs."""
    if session.json or (at_terminal() and not sys.stdout.isatty()):
        return sys.stderr
    return sys.stdout
