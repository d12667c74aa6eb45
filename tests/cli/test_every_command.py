"""What every command of the program has in common, those of later groups too."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from tigertally.cli.main import load
from tigertally.cli.table import COMMANDS


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word, inner in below.items():
        yield from leaves(f"{name} {word}", inner)


THERE = [name for name, e in COMMANDS.items() if importlib.util.find_spec(e.module) is not None]
LEAVES = dict(leaf for name in THERE for leaf in leaves(f"tally {name}", load(name)))


@pytest.mark.parametrize("name", LEAVES)
def test_it_has_help_and_an_example_that_is_this_command(name):
    command = LEAVES[name]
    assert command.help
    assert command.epilog, "no example"
    assert command.epilog.startswith(f"Example: {name}")


@pytest.mark.parametrize("name", LEAVES)
def test_the_example_has_only_options_that_exist(name):
    command = LEAVES[name]
    words = command.epilog.split()
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {o for p in command.params for o in getattr(p, "secondary_opts", ())}
    used = {word.rstrip(".,;") for word in words if word.startswith("--")}
    assert used <= known


@pytest.mark.parametrize("name", LEAVES)
def test_it_takes_the_options_that_everything_takes(name):
    found = {option: p for p in LEAVES[name].params for option in p.opts}
    assert {"--json", "--debug", "--profile"} <= found.keys()
    assert not found["--json"].expose_value, "the shell itself sees to --json"
    assert not found["--debug"].expose_value


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_explains_itself(name):
    for parameter in LEAVES[name].params:
        shown = parameter.opts[0].startswith("-") and not getattr(parameter, "hidden", False)
        assert not shown or parameter.help, parameter.opts


def test_the_walk_finds_commands():
    assert {"tally version", "tally profile list", "tally profile show"} <= LEAVES.keys()
