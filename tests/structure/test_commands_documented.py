"""`docs/commands.md` has every command of `tally` with all its options, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from sources import DOCS
from tigertally.cli.main import app

# Said once for all commands, in the section "Everywhere".
COMMON = {"--json", "--debug", "--help", "--profile", "--passphrase-file"}
_ROW = re.compile(r"^\| `(tally [^`]*)` \|", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it; hidden ones are left out."""
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    context = command.context_class(command, info_name=name)
    for word in command.list_commands(context):
        below = command.get_command(context, word)
        assert below is not None, f"{name} {word}"
        if not below.hidden:
            yield from commands(below, f"{name} {word}")


def words_of(usage: str) -> str:
    """The words that call the command: what stands before its first argument or option."""
    return re.split(r" (?=[A-Z\[-])", usage, maxsplit=1)[0]


def rows_of(page: str) -> dict[str, set[str]]:
    """Command to the options that its row names."""
    usages = _ROW.findall(page)
    rows = {words_of(usage): set(_OPTION.findall(usage)) for usage in usages}
    assert len(rows) == len(usages), "a command has two rows"
    return rows


def options_of(command: Any) -> set[str]:
    """What the command itself takes."""
    found = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    return found - COMMON


PAGE = (DOCS / "commands.md").read_text("utf-8")
ROWS = rows_of(PAGE)
COMMANDS = dict(commands(typer.main.get_command(app), "tally"))


def test_the_page_has_exactly_the_commands_that_exist():
    assert set(ROWS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_row_has_exactly_the_options_that_exist(name):
    assert ROWS[name] == options_of(COMMANDS[name])


@pytest.mark.parametrize("option", sorted(COMMON))
def test_common_options_are_explained(option):
    assert f"`{option}" in PAGE.partition("| exit code |")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name):
    assert COMMANDS[name].help, name


def test_the_walk_finds_groups_and_commands():
    assert "tally version" in COMMANDS
    assert "tally holder enrol" in COMMANDS
    assert "tally holder" not in COMMANDS
    assert "--pin" in options_of(COMMANDS["tally holder enrol"])


def test_rows_are_read():
    page = "| `tally key make NAME [--acks K] [--a\\|b]` | x |\n| `tally holder run` | |\n| no |\n"
    assert rows_of(page) == {"tally key make": {"--acks", "--a"}, "tally holder run": set()}
