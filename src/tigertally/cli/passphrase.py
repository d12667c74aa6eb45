"""Where passphrases come from: `--passphrase-file`, `TALLY_PASSPHRASE`, the terminal.

They are tried in this order. Exactly the typed characters count, in Unicode normal form C, UTF-8;
of a file the first line.

**Security:** other programs of the same user can read an environment variable; a file of mode
0600 is better. Python keeps copies of what was typed until their memory is used again.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tigertally.base.errors import UsageError
from tigertally.cli.output import note

if TYPE_CHECKING:
    from tigertally.base.secret import Secret

VARIABLE = "TALLY_PASSPHRASE"
STANDARD_INPUT = Path("-")  # as the name of a file: a line for each passphrase that is asked for
_MAX_BYTES = 4096
_MIN_LENGTH = 8  # of a new one typed at the terminal; a script knows what it does


def passphrase_source(file: Path | None, *, of: str) -> Callable[[], Secret]:
    """What asks for the passphrase of an existing profile, for `open_profile`.

    Args:
        file: what `--passphrase-file` says.
        of: what the passphrase opens, for the question, for example `profile alice`.
    """

    def ask() -> Secret:
        given = _from_environment() if file is None else _from_file(file)
        return given if given is not None else _typed(f"Passphrase of {of}: ")

    return ask


def new_passphrase(file: Path | None, *, of: str, replaces: bool = False) -> Secret:
    """The passphrase of something new; at the terminal it is asked for twice.

    Args:
        file: what `--passphrase-file` (or the like) says.
        of: what it shall open, for the question.
        replaces: another passphrase is asked for beside it: `TALLY_PASSPHRASE` is that one.

    Raises:
        UsageError: there is none and no terminal to ask at; or the two differ, or it is short.
    """
    given = _from_file(file) if file is not None else None if replaces else _from_environment()
    if given is not None:
        return given
    first = _typed(f"New passphrase of {of}: ")
    if len(first) < _MIN_LENGTH:
        raise UsageError(f"the passphrase is shorter than {_MIN_LENGTH} characters")
    if not first.matches(_typed("The same again: ")):
        raise UsageError("the two passphrases differ; nothing was made")
    return first


def pin_of(given: str | None, file: Path | None) -> str | None:
    """The one-time PIN from `--pin` or the first line of `--pin-file`; None if neither was given.

    Raises:
        UsageError: both were given, or the file cannot be read.
    """
    if file is None:
        return given
    if given is not None:
        raise UsageError("say --pin or --pin-file, not both")
    with _from_file(file, what="PIN") as pin, pin.exposed() as raw:
        return bytes(raw).decode("utf-8", "replace")


def typed_pin() -> str | None:
    """The one-time PIN from the terminal, not shown; None where there is none to ask at."""
    if not _has_terminal():
        return None
    question = "PIN, as `tally authority init` printed it: "
    with _typed(question, what="PIN") as pin, pin.exposed() as raw:
        return bytes(raw).decode("utf-8", "replace")


def _from_environment() -> Secret | None:
    text = os.environ.get(VARIABLE)
    return None if text is None else _secret(text, VARIABLE)


def _from_file(path: Path, *, what: str = "passphrase") -> Secret:
    if path == STANDARD_INPUT:
        return _from_input(what)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the {what} file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the {what} file {path} is not UTF-8 text") from error
    if stat.S_ISREG(mode) and mode & 0o077:
        note(f"tally: warning: others can read {path}; chmod go= it")
    return _secret(text.partition("\n")[0].removesuffix("\r"), str(path), what=what)


def check_input_free(*files: Path | None, what: str) -> None:
    """Refuse where standard input would have to be a passphrase and something else, too.

    Raises:
        UsageError: one of these files is `-`.
    """
    if STANDARD_INPUT in files:
        raise UsageError(f"standard input has {what}: give the passphrase another way")


def _from_input(what: str) -> Secret:
    """The next line of standard input; what follows it stays for whoever reads on."""
    if sys.stdin is None:
        raise UsageError(f"standard input is closed: there is no {what}")
    if sys.stdin.isatty():
        return _typed(f"{what.capitalize()}: ", what=what)
    raw = bytearray()
    while len(raw) <= _MAX_BYTES and (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        raw += byte
    try:
        return _secret(raw.decode().removesuffix("\r"), "standard input", what=what)
    except UnicodeDecodeError as error:
        raise UsageError(f"the {what} on standard input is not UTF-8 text") from error


def _typed(question: str, *, what: str = "passphrase") -> Secret:
    if not _has_terminal():
        error = UsageError("no passphrase and no terminal to ask for it")
        error.add_note(f"give --passphrase-file FILE or set {VARIABLE}")
        raise error
    try:
        return _secret(getpass.getpass(question), "what you typed", what=what)
    except (EOFError, KeyboardInterrupt) as error:
        note("")  # ends the line of the question
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UsageError(f"no {what} was typed") from error


def _has_terminal() -> bool:
    streams = (sys.stdin, sys.stderr)
    if not any(stream is not None and stream.isatty() for stream in streams):
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _secret(text: str, where: str, *, what: str = "passphrase") -> Secret:
    from tigertally.base.secret import Secret

    raw = unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")
    if not raw:
        raise UsageError(f"the {what} is empty: {where}")
    if len(raw) > _MAX_BYTES:
        raise UsageError(f"the {what} is longer than {_MAX_BYTES} bytes: {where}")
    return Secret(bytearray(raw))
