"""A file stays under 400 lines, a function under 50 without its docstring."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sources import DOCS, Function, functions, name_of, package_files

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50

# What may be longer, and the decision that says why: {"src/….py" or "src/….py:function": "ADR"}.
EXCUSED: dict[str, str] = {}


def length_without_docstring(function: Function) -> int:
    first, last = function.lineno, function.end_lineno or function.lineno
    lines = last - first + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def too_long(path: Path) -> list[str]:
    found = []
    if (lines := len(path.read_text("utf-8").splitlines())) >= MAX_FILE_LINES:
        found.append(f"{name_of(path)}: {lines} lines")
    found += [
        f"{name_of(path)}:{function.name}: {lines} lines"
        for function in functions(path)
        if (lines := length_without_docstring(function)) >= MAX_FUNCTION_LINES
    ]
    return found


def is_excused(finding: str) -> bool:
    return finding.rpartition(":")[0] in EXCUSED


@pytest.mark.parametrize("path", package_files(), ids=name_of)
def test_nothing_is_too_long(path):
    assert [finding for finding in too_long(path) if not is_excused(finding)] == []


def test_every_excuse_is_needed_and_names_a_decision():
    needed = {f.rpartition(":")[0] for path in package_files() for f in too_long(path)}
    assert set(EXCUSED) <= needed
    for decision in EXCUSED.values():
        assert list((DOCS / "adr").glob(f"{decision}-*.md")), f"no decision {decision}"


def test_a_docstring_does_not_count():
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert length_without_docstring(function) == 2
