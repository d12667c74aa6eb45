"""From `--out` to an output that destroys nothing: the rule of docs/commands.md, "Outputs"."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tigertally.base.errors import UsageError
from tigertally.cli.options import OutName

if TYPE_CHECKING:
    from tigertally.crypto.outputs import Apart, Output

_READ = "what the command reads"
_PROFILE = "a profile"


def claimed(
    out: OutName,
    force: bool,
    *,
    reads: Iterable[Path] = (),
    folder: bool = False,
    resumes: bool = False,
) -> Output:
    """The output of a command, once it is sure that nothing is lost by it.

    Args:
        out: what `--out` says.
        force: what `--force` says.
        reads: files and folders that the command reads.
        folder: it may become a folder.
        resumes: the same command again goes on; it may have written the file already.

    Raises:
        UsageError: it cannot be written, or something would be lost.
    """
    from tigertally.crypto.outputs import Output, apart

    if out.text == "-":
        dash = UsageError("--out names a file, and - is not standard output")
        dash.add_note("a file of that name is ./-")
        raise dash
    path = Path(out.text)
    try:
        path.parent.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{path.parent} is a link that leads nowhere") from error
    kept = (*apart(reads, _READ), *profiles_above(path))
    output = Output(path=path, force=force, apart=kept, resumes=resumes)
    if folder and path.is_dir():
        taken = UsageError(f"{path} is there already, a folder, which nothing replaces")
        taken.add_note("choose another name, or one in that folder")
        raise taken
    output.check()
    return output


def also_reads(output: Output, *paths: Path) -> Output:
    """The same output, kept apart from what has turned out to be read, too."""
    from tigertally.crypto.outputs import check_apart

    checked = output.beside(paths, _READ)
    check_apart(checked.path, checked.apart)
    return checked


def check_replaced(path: Path, *, reads: Iterable[Path]) -> None:
    """Refuse to put into a file that the command exists to replace what would destroy another.

    Args:
        path: the file, for example a document.
        reads: files that the command reads; a pipe has no file.

    Raises:
        UsageError: it is one of them, or a profile, or lies in one.
    """
    from tigertally.crypto.outputs import apart, check_apart

    check_apart(path, (*apart(reads, _READ), *profiles_above(path)))


def check_object(path: Path, *, reads: Iterable[Path], force: bool, ours: bool) -> None:
    """Refuse to store an object where something would be lost.

    Args:
        path: the object's file.
        reads: what is stored.
        force: what `--force` says.
        ours: an object of the same label is there, which the command exists to replace.

    Raises:
        UsageError: as `check_replaced`; or another file is there.
    """
    from tigertally.crypto.outputs import apart, check_apart, check_expendable, taken

    check_apart(path, apart(reads, _READ))
    if ours or not os.path.lexists(path):
        return
    if path.is_dir():
        error = UsageError(f"{path} is a folder, and a file replaces none")
        error.add_note("use another label")
        raise error
    if not force:
        raise taken(path)
    check_expendable(path)


def profiles_above(path: Path) -> tuple[Apart, ...]:
    """The profiles of this home, and any other folder above a path that looks like one."""
    from tigertally.crypto.outputs import apart
    from tigertally.node.profile import IDENTITY, STORE, home, profile_names

    found: list[Path] = []
    with suppress(UsageError, OSError):  # no home: no profile in it
        found = [home() / name for name in profile_names(home())]
    parts = (IDENTITY, STORE)
    for folder in (path.absolute(), *path.parent.resolve().parents, path.parent.resolve()):
        if all(os.path.lexists(folder / part) for part in parts):
            found.append(folder)
    return apart(found, _PROFILE)
