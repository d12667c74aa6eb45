"""`tally`: the one place where a run begins and ends.

The commands are in `cli/table.py`. A command's module is loaded only when the command is used, so
that `tally --help` needs nothing but typer and rich.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from tigertally import __version__
from tigertally.base.errors import UsageError
from tigertally.cli import errors, output
from tigertally.cli.table import COMMANDS

COMPLETE = "_TALLY_COMPLETE"  # the shell asks through this variable what could be typed next


@cache
def load(name: str) -> Any:
    """The command or group of this name, with the options that every command has.

    Raises:
        UsageError: the table names a module that is not there.
    """
    entry = COMMANDS[name]
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        if error.name == entry.module:
            raise UsageError(f"this version has no 'tally {name}' yet") from error
        missing = UsageError(f"'tally {name}' needs the package {error.name}, not installed here")
        missing.add_note("install tigertally again with all of its requirements")
        raise missing from error
    found = getattr(module, entry.call)
    command: Any
    if isinstance(found, typer.Typer):
        command = typer.main.get_group(found)
        command.help = command.help or entry.help
    else:
        command = _single(name, found, epilog=f"Example: {entry.example}")
    command.name = name
    _give_common_options(command)
    return command


def preload(name: str) -> None:
    """Load a command and what typer loads only when it parses, for the forks of this process."""
    _preload(name, load(name))


def _preload(name: str, command: Any) -> None:
    if isinstance(command, TyperGroup):
        for inner_name, inner in command.commands.items():
            _preload(inner_name, inner)
    else:
        command.make_context(name, [], resilient_parsing=True)


class LazyGroup(TyperGroup):
    """The root. It lists its commands without loading them, and loads the one that is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._listing = False
        for name, entry in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=entry.help, rich_help_panel=entry.panel)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The real command; while they are listed, only its name and help."""
        known = super().get_command(ctx, cmd_name)
        return known if known is None or self._listing else load(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interrupt is kept with its notes, which typer would lose."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            output.session.interrupt = interrupt
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without loading a command."""
        with self._listed():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """What could be typed next, without loading a command."""
        with self._listed():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _listed(self) -> Iterator[None]:
        self._listing = True
        try:
            yield
        finally:
            self._listing = False


def _show_version(asked: bool) -> None:
    if asked:
        output.emit({"version": __version__}, f"tally {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    name="tally",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Example: tally quickstart. Each command explains itself: tally holder enrol --help.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Tigertally: keys that nobody holds alone; nothing happens without a quorum's tally."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: Sequence[str]) -> int:
    """Run one command; returns the exit code of docs/commands.md, whatever happens."""
    output.reset()
    warnings.showwarning = _warn  # type: ignore[assignment]
    with _signals_end_the_run():
        failure, code = _outcome(list(args))
        try:
            return _end(failure, code, args)
        except OSError as error:  # nobody reads, or the disk behind standard output is full
            output.forget_standard_output()
            return _end(error, code, ())


def _outcome(args: list[str]) -> tuple[BaseException | None, int]:
    """What ended the command, and its exit code where nothing failed."""
    standard_output = sys.stdout
    try:
        result = typer.main.get_command(app).main(args, prog_name="tally", standalone_mode=False)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer ends a run so
            sys.stdout = standard_output
            return error.__context__, errors.EXIT_OTHER
        if isinstance(error.code, int | None) and error.code not in errors.SIGNALLED:
            return None, error.code or 0
        return error, errors.EXIT_OTHER
    except BaseException as error:  # noqa: BLE001 - the end of the run: everything becomes a line
        return error, errors.EXIT_OTHER
    code = result if isinstance(result, int) else 0
    if code == errors.EXIT_INTERRUPTED:  # typer turns Ctrl-C into this
        return output.session.interrupt or KeyboardInterrupt(), code
    return None, code


def _end(failure: BaseException | None, code: int, args: Sequence[str]) -> int:
    """Write what is left to be said; returns the exit code."""
    if failure is None:
        output.finish()
        return code
    if isinstance(failure, BrokenPipeError) and output.nobody_reads():  # they have seen enough
        output.forget_standard_output()
        return errors.EXIT_BROKEN_PIPE
    report = errors.report(failure, command=output.session.command)
    # The options may not have been understood: look for ourselves.
    asked = args[: list(args).index("--")] if "--" in args else args
    output.session.json |= "--json" in asked
    if output.session.debug or "--debug" in asked:
        errors.print_traceback(failure)
    if (line := report.line()) and COMPLETE not in os.environ:
        print(line, file=sys.stderr)  # noqa: T201 - the one line
    output.finish(report)
    return report.code


def _single(name: str, function: Callable[..., Any], *, epilog: str) -> Any:
    single = typer.Typer(add_completion=False)
    single.command(name, epilog=epilog)(function)
    return typer.main.get_command(single)


def _use_json(context: typer.Context, value: bool) -> None:
    output.session.json |= value
    output.session.command = context.command_path


def _use_debug(value: bool) -> None:
    output.session.debug |= value


def _common(
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON document on standard output.",
            callback=_use_json,
            is_eager=True,
            expose_value=False,
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="On an error, print the traceback too.",
            callback=_use_debug,
            is_eager=True,
            expose_value=False,
        ),
    ] = False,
    profile: Annotated[
        str, typer.Option("--profile", hidden=True, expose_value=False, metavar="NAME")
    ] = "",
) -> None:
    """The options that every command has; `--profile` also where nothing depends on it."""


def _give_common_options(command: Any) -> None:
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            _give_common_options(inner)
        return
    taken = {option for parameter in command.params for option in parameter.opts}
    common: Any = _single("common", _common, epilog="")
    command.params += [option for option in common.params if not taken & set(option.opts)]


@contextmanager
def _signals_end_the_run() -> Iterator[None]:
    """SIGTERM and SIGHUP become an exception, so that everything on the way out is cleaned up."""

    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    mine = []
    if threading.current_thread() is threading.main_thread():
        mine = [n for n in errors.SIGNALS if signal.getsignal(n) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _warn(message: Warning | str, category: type[Warning], *_: object) -> None:
    if issubclass(category, RuntimeWarning):  # ours; others are for developers
        output.note(f"tally: warning: {message}")


if __name__ == "__main__":
    main()
