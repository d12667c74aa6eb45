"""Every command that writes a file goes through the one rule of outputs: no other way is left.

`--out` gives an `OutName`, which nothing can write to; `cli/outputs.py` makes an output of it and
asks for `--force`. Here it is shown that there is no other way.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from sources import PACKAGE, package_files
from tigertally.cli import options
from tigertally.cli.main import app

# Options and arguments with a path that is only read, beside those that must exist.
READ_ONLY = {
    *("--passphrase-file", "--new-passphrase-file", "--file-passphrase-file", "--pin-file"),
    *("--invitation", "--proof", "--rules", "--roster", "file", "--in"),
}
# What names a place to write without `--out`, and why `--force` is not asked for.
PLACES = {
    ("tally quickstart", "--dir"): "a folder that is empty, or not there",
    ("tally write", "--store"): "objects of the same label, by check_object",
    ("tally stream write", "--store"): "refuses a label that holds anything",
    ("tally secret set", "doc"): "the document is what the command exists to replace",
}
# Who in `cli` may write files itself.
WRITERS = {
    "enrolment.py": "the recovery file inside the profile, which it has just made",
    "quickstart.py": "the sample in its own new folder",
    "processes.py": "logs in the folder of quickstart",
}
_CALLS = {
    "write_file",
    "atomic_output",
    "write_bytes",
    "write_text",
    "mkstemp",
    "NamedTemporaryFile",
}


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield name, command
        return
    context = command.context_class(command, info_name=name)
    for word in command.list_commands(context):
        yield from commands(command.get_command(context, word), f"{name} {word}")


COMMANDS = dict(commands(typer.main.get_command(app), "tally"))


def parameters_of(command: Any) -> dict[str, Any]:
    """Option to what it is to the function behind the command."""
    hints = typing.get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    return {p.opts[0]: hints[p.name] for p in command.params if p.name in hints}


def kinds_in(hint: Any) -> set[Any]:
    """The classes that a hint is made of: of `Annotated[Path | None, …]` Path and None."""
    below = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated:
        return kinds_in(below[0])
    return {kind for one in below for kind in kinds_in(one)} if below else {hint}


@pytest.mark.parametrize("name", COMMANDS)
def test_whoever_takes_an_output_takes_force_and_only_they(name):
    found = parameters_of(COMMANDS[name])
    outputs = {option for option, hint in found.items() if options.OutName in kinds_in(hint)}
    assert outputs <= {"--out"}
    assert ("--out" in found) == bool(outputs), "an output that a path could get past the rule"
    assert ("--force" in found) == (bool(outputs) or name == "tally write")
    if "--force" in found:
        assert found["--force"] == options.Force, "one option, one help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_other_path_is_only_read(name):
    for option, hint in parameters_of(COMMANDS[name]).items():
        if Path not in kinds_in(hint):
            continue
        exists = any(getattr(told, "exists", False) for told in typing.get_args(hint)[1:])
        read = exists or option in READ_ONLY
        assert read or (name, option) in PLACES, f"{name} {option}: is it read, or written?"


def test_the_walk_sees_paths_and_outputs():
    def of(name, option):
        return kinds_in(parameters_of(COMMANDS[name])[option])

    assert Path in of("tally encrypt", "--in")
    assert Path in of("tally quickstart", "--dir")
    assert of("tally stream read", "--out") == {options.OutName, type(None)}
    assert kinds_in(list[Path] | None) == {Path, type(None)}


def calls(path: Path) -> set[str]:
    """Names of functions called in a file that write files, `open` for writing among them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if name in _CALLS or (
            name == "open" and any(set(m) & set("wax+") for m in modes if len(m) < 4)
        ):
            found.add(name)
    return found


@pytest.mark.parametrize("path", package_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_command_writes_a_file_by_itself(path):
    if path.relative_to(PACKAGE).parts[0] != "cli" or path.name in WRITERS:
        return
    found = calls(path)
    if path.name == "data.py":  # of an object in a store, after `_check_objects`
        found -= {"write_file"}
    assert not found, f"{path}: outputs are made by cli/outputs.py"


def test_calls_that_write_are_found(tmp_path):
    file = tmp_path / "x.py"
    for text, name in (
        ("write_file(out, b'')", "write_file"),
        ("with atomic_output(out) as f: pass", "atomic_output"),
        ("Path(out).open('wb')", "open"),
        ("open(out, mode='a')", "open"),
        ("out.write_text('x')", "write_text"),
    ):
        file.write_text(text)
        assert calls(file) == {name}
    file.write_text("source.open('rb'); open(x); sink.write(b'')")
    assert calls(file) == set()


def test_the_lists_name_what_there_is():
    for name, option in PLACES:
        assert option in parameters_of(COMMANDS[name]), (name, option)
    for name in WRITERS:
        assert (PACKAGE / "cli" / name).is_file()
