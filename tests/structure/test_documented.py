"""Every module loads, says what it is for, and so does everything public in it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from sources import PACKAGE, Function, name_of, package_files, tree

MIGRATIONS = PACKAGE / "storage" / "migrations"  # loaded by Alembic, by path


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def undocumented(module: ast.Module) -> list[str]:
    """Public functions and classes without a docstring, and public methods of interfaces."""
    found = []
    for node in module.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            found.append(node.name)
        if isinstance(node, ast.ClassDef) and is_interface(node):
            found += [
                f"{node.name}.{method.name}"
                for method in node.body
                if isinstance(method, Function)
                and not method.name.startswith("_")
                and ast.get_docstring(method) is None
            ]
    return found


def is_interface(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).startswith("Protocol") for base in node.bases)


FILES = [path for path in package_files() if MIGRATIONS not in path.parents]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_module_says_what_it_is_for(path):
    module = tree(path)
    if module.body:  # an empty package file only marks the folder
        assert ast.get_docstring(module), "the head of the file says what it is for"
    assert undocumented(module) == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_module_loads_and_exports_what_it_says(path):
    module = importlib.import_module(module_name(path))
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name), f"__all__ names {name}, which is not there"


def test_a_missing_docstring_is_found():
    source = (
        "from typing import Protocol\n"
        "def public(): pass\n"
        "def _private(): pass\n"
        "class Thing(Protocol):\n"
        '    """An interface."""\n'
        "    def call(self): ...\n"
    )
    assert undocumented(ast.parse(source)) == ["public", "Thing.call"]
