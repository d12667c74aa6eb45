"""From an error to one line, an exit code and, with `--json`, one object. Codes: docs/commands.md.

The line says what happened, whose fault it is and what to do: `tally: WHAT; FAULT; ADVICE`. Where
an error carries notes (`error.add_note`), they are the advice. The only place that decides on exit
codes.
"""

from __future__ import annotations

import errno
import re
import signal
import sys
from dataclasses import dataclass, field

import typer

from tigertally.base.errors import (
    Corrupt,
    Damaged,
    InvalidEvidence,
    Locked,
    MalformedMessage,
    NewerVersion,
    NoSuchDoor,
    PeerFault,
    Refused,
    TigertallyError,
    Unavailable,
    UsageError,
    WrongTime,
)

EXIT_OTHER = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # as shells have it: 128 + SIGINT
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # a run that gets one cleans up and ends
SIGNALLED = {128 + number: number.name for number in SIGNALS}

_RESUMES = "the same command resumes"
_ANEW = "the same command begins anew"
_AFTER_THE_END = {
    **dict.fromkeys(("tally write", "tally read", "tally secret set", "tally secret get"), _ANEW),
    "tally stream read": f"{_ANEW}, or from a record with --from",
    "tally stream write": "what was stored can be read; another stream needs another label",
}


class UnfitFile(MalformedMessage):
    """A file that a person named is not of the kind that is wanted; its maker may be blameless."""


# Whose fault, and what to do, where the error itself does not say; the first class that fits.
_ADVICE: tuple[tuple[type[TigertallyError], str, str], ...] = (
    (NoSuchDoor, "the server does not know this request", "upgrade the program that is older"),
    (UsageError, "", "see {command} --help"),
    (UnfitFile, "", "get it again from where it was kept"),
    (MalformedMessage, "whoever made these bytes is at fault", "get them again from the source"),
    (InvalidEvidence, "", "do not trust this enclave with a key"),
    (PeerFault, "", "nothing was accepted; ask the other members before you try again"),
    (NewerVersion, "nobody is at fault", "upgrade the program that is older"),
    (WrongTime, "", "propose it again, or check the clock of this device"),
    (Refused, "", "ask those who decide, or whoever sent you here"),
    (Locked, "nobody is at fault", "a holder unlocks it: tally holder unlock"),
    (Damaged, "this device's is not concerned", "whoever runs it finds more in its log"),
    (Unavailable, "nobody is to blame yet", "try again; the same command resumes"),
    (Corrupt, "the store of this device is damaged", "keep a copy of it and restore a backup"),
)

_LINE_ENDS = re.compile(r" *[\t\r\n][ \t\r\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is said about an error that ended a command."""

    slug: str
    code: int
    what: str
    fault: str = ""
    advice: str = ""
    culprits: tuple[str, ...] = field(default=())
    sure: bool = False

    def line(self) -> str:
        """The line for people; empty where help was shown instead."""
        if not self.what:
            return ""
        parts = [self.what.rstrip(". "), self.fault, self.advice]
        return "tally: " + "; ".join(one_line(part) for part in parts if part)

    def as_json(self) -> dict[str, object]:
        """The object for scripts."""
        return {
            "error": self.slug,
            "code": self.code,
            "message": one_line(self.what),
            "culprits": list(self.culprits),
            "sure": self.sure,
        }


def report(error: BaseException, *, command: str = "tally") -> Report:
    """What to say about any exception, one of ours or not.

    Args:
        error: what ended the command.
        command: its full name, for the advice.
    """
    if isinstance(error, TigertallyError):
        return _ours(error, command)
    if isinstance(error, typer.TyperException):
        return _of_command_line(error)
    if isinstance(error, KeyboardInterrupt):
        advice = _notes(error) or _AFTER_THE_END.get(command, _RESUMES)
        return _ended("interrupted", EXIT_INTERRUPTED, advice=advice)
    if isinstance(error, typer.Abort):
        return _ended("aborted", EXIT_OTHER, advice=_RESUMES)
    if isinstance(error, SystemExit):
        return _of_exit(error, command)
    if isinstance(error, OSError):
        return _of_system(error)
    return Report(
        slug="error",
        code=EXIT_OTHER,
        what=f"unexpected {type(error).__name__}",
        fault="a fault of this program",
        advice="run it again with --debug and report what it prints",
    )


def one_line(text: str) -> str:
    """Text that cannot move the cursor, colour the screen or begin a line of its own.

    Whatever would not be seen is written out; ends of lines become spaces.
    """
    from tigertally.base.text import visible  # not before there is something to say

    return visible(_LINE_ENDS.sub(" ", text).strip())


def _ours(error: TigertallyError, command: str) -> Report:
    fault, advice = next(
        ((fault, advice) for kind, fault, advice in _ADVICE if isinstance(error, kind)), ("", "")
    )
    sure = getattr(error, "sure", False)
    if error.culprits:
        fault = f"at fault: {', '.join(error.culprits)}" + ("" if sure else " (not proven)")
    if error.advice:  # what it says ends with it already
        advice = ""
    return Report(
        slug=error.slug,
        code=error.code,
        what=str(error) or type(error).__name__,
        fault=fault,
        advice=_notes(error) or advice.format(command=command),
        culprits=error.culprits,
        sure=sure,
    )


def _of_command_line(error: typer.TyperException) -> Report:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tally"
    message = error.format_message().replace("Input should be", "it must be")
    if message[1:2].islower():
        message = message[0].lower() + message[1:]
    return Report(
        slug=UsageError.slug,
        code=EXIT_USAGE,
        what=message,
        advice=f"see {command} --help",
    )


def _notes(error: BaseException) -> str:
    return "; ".join(getattr(error, "__notes__", []))


def _of_exit(error: SystemExit, command: str) -> Report:
    if error.code in SIGNALLED:
        advice = _AFTER_THE_END.get(command, _RESUMES)
        return _ended(f"ended by {SIGNALLED[error.code]}", error.code, advice=advice)
    return Report(slug="error", code=EXIT_OTHER, what=str(error.code))


def _ended(what: str, code: int, *, advice: str = "") -> Report:
    return Report(slug="interrupted", code=code, what=what, advice=advice)


def _of_system(error: OSError) -> Report:
    advice = {
        errno.ENOSPC: "free some space and repeat it",
        errno.EDQUOT: "free some space and repeat it",
        errno.EACCES: "check who owns it and its mode",
        errno.EPERM: "check who owns it and its mode",
        errno.EROFS: "the file system is mounted read-only",
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "check the path",
    }.get(error.errno or 0, "")
    where = f": {error.filename}" if error.filename is not None else ""
    what = f"{error.strerror or type(error).__name__}{where}"
    return Report(
        slug="system",
        code=EXIT_OTHER,
        what=what,
        fault="the system said no",
        advice=_notes(error) or advice,
    )


def print_traceback(error: BaseException) -> None:
    """The whole story, on standard error; for `--debug`."""
    import traceback

    traceback.print_exception(error, file=sys.stderr)
