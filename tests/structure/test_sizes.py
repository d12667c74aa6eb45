"""A file has at most 500 lines without imports and docstrings, a function under 50 without its own.

Everything else counts, blank lines and comments too.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sources import DOCS, TESTS, Function, functions, name_of, package_files, tree

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
MAX_DAEMON_LINES = 120  # what a new one costs that has nothing of its own to say: the toy's

# What may be longer, and the decision that says why: {"src/….py" or "src/….py:function": "ADR"}.
EXCUSED: dict[str, str] = {}

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def lines_of(node: ast.stmt) -> set[int]:
    """The numbers of a statement's lines."""
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def docstring_of(node: Documented) -> set[int]:
    """The numbers of the lines of its docstring, if it has one."""
    return set() if ast.get_docstring(node) is None else lines_of(node.body[0])


def file_length(text: str, module: ast.Module) -> int:
    """How many lines count: each but those of imports and docstrings, wherever they stand."""
    left_out: set[int] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= lines_of(node)
        elif isinstance(node, Documented):
            left_out |= docstring_of(node)
    return len(text.splitlines()) - len(left_out)


def function_length(function: Function) -> int:
    """How many lines count: each from `def` on but those of its docstring."""
    return len(lines_of(function) - docstring_of(function))


def too_long(path: Path) -> list[str]:
    found = []
    if (lines := file_length(path.read_text("utf-8"), tree(path))) > MAX_FILE_LINES:
        found.append(f"{name_of(path)}: {lines} lines")
    found += [
        f"{name_of(path)}:{function.name}: {lines} lines"
        for function in functions(path)
        if (lines := function_length(function)) >= MAX_FUNCTION_LINES
    ]
    return found


def is_excused(finding: str) -> bool:
    return finding.rpartition(":")[0] in EXCUSED


@pytest.mark.parametrize("path", package_files(), ids=name_of)
def test_nothing_is_too_long(path):
    assert [finding for finding in too_long(path) if not is_excused(finding)] == []


def test_a_whole_daemon_takes_at_most_120_lines():
    path = TESTS / "toy_daemon.py"
    assert file_length(path.read_text("utf-8"), tree(path)) <= MAX_DAEMON_LINES


def test_every_excuse_is_needed_and_names_a_decision():
    needed = {f.rpartition(":")[0] for path in package_files() for f in too_long(path)}
    assert set(EXCUSED) <= needed
    for decision in EXCUSED.values():
        assert list((DOCS / "adr").glob(f"{decision}-*.md")), f"no decision {decision}"


# Every line of which it is said that it counts does, and no other.
SAMPLE = '''"""The module.

Two paragraphs.
"""

from __future__ import annotations  # the blank line above counts

import os
from pathlib import (
    Path,
    PurePath,
)

if True:  # counts
    import sys

TEXT = """counts,
and counts"""


class Thing:  # counts
    """A class."""

    # a comment counts
    size = 1  # counts

    def of(self):  # counts
        """A method,

        described.
        """
        import json

        return json, os, sys, Path, PurePath  # counts
'''


def test_blank_lines_code_and_comments_count_imports_and_docstrings_do_not():
    module = ast.parse(SAMPLE)
    said = [line for line in SAMPLE.splitlines() if "counts" in line and "import" not in line]
    blank = [line for line in SAMPLE.splitlines() if not line]
    in_docstrings = 2
    assert len(said) == 8
    assert file_length(SAMPLE, module) == len(said) + len(blank) - in_docstrings
    thing = module.body[-1]
    assert isinstance(thing, ast.ClassDef)
    method = thing.body[-1]
    assert isinstance(method, ast.FunctionDef)
    assert function_length(method) == 4  # def, import, blank, return


@pytest.mark.parametrize(("lines", "is_too_long"), [(500, False), (501, True)])
def test_a_file_may_have_500_lines(tmp_path, monkeypatch, lines, is_too_long):
    path = tmp_path / "long.py"
    path.write_text('"""Docstring."""\nimport os\n' + "x = os\n" * lines)
    monkeypatch.setattr("sources.ROOT", tmp_path)
    assert bool(too_long(path)) is is_too_long


@pytest.mark.parametrize(("lines", "is_too_long"), [(48, False), (49, True)])
def test_a_function_has_under_50(tmp_path, monkeypatch, lines, is_too_long):
    path = tmp_path / "long.py"
    path.write_text('def f():\n    """Docstring."""\n' + "    x = 1\n" * lines)
    monkeypatch.setattr("sources.ROOT", tmp_path)
    assert too_long(path) == ([f"long.py:f: {lines + 1} lines"] if is_too_long else [])
