"""Own classes stand on at most two others of their own: parts are passed in, not inherited."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from sources import PACKAGE, package_files, tree

MOST = 3
Place = tuple[str, str]  # file, class


def named(base: ast.expr) -> str:
    """`Table` of `Table`, `table.Table` and `Table[K, V]`."""
    while isinstance(base, ast.Subscript):
        base = base.value
    return ast.unparse(base).rpartition(".")[2]


def depths(files: Mapping[str, ast.Module], errors: str) -> dict[Place, int]:
    """How many own classes each class is made of, itself counted; 0 for an error.

    A base is the class of that name in the same file, else in any other.
    """
    bases: dict[Place, list[str]] = {}
    for file, module in files.items():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                bases[file, node.name] = [named(base) for base in node.bases]
    by_name: dict[str, list[Place]] = {}
    for place in bases:
        by_name.setdefault(place[1], []).append(place)

    def above(place: Place) -> list[Place]:
        file, name = place
        return [
            one
            for base in bases[place]
            if base != name
            for one in ([(file, base)] if (file, base) in bases else by_name.get(base, []))
        ]

    def is_error(place: Place) -> bool:
        return place[0] == errors or any(map(is_error, above(place)))

    def depth(place: Place) -> int:
        return 0 if is_error(place) else 1 + max(map(depth, above(place)), default=0)

    return {place: depth(place) for place in bases}


def test_no_chain_of_own_classes_is_longer_than_three() -> None:
    files = {str(path): tree(path) for path in package_files()}
    found = depths(files, str(PACKAGE / "base" / "errors.py"))
    assert max(found.values()) >= 2, "the control: chains are seen at all"
    assert {place: deep for place, deep in found.items() if deep > MOST} == {}


def test_a_chain_across_files_and_brackets_is_seen() -> None:
    sources = {
        "errors.py": "class Fault(Exception): ...",
        "one.py": "class A: ...\nclass B(A): ...",
        "two.py": "import one\nclass C(one.B): ...\nclass D(Generic[T], C[int]): ...",
        "three.py": "class E(Fault): ...\nclass F(E): ...\nclass A(Other): ...\nclass G(A): ...",
    }
    found = depths({file: ast.parse(text) for file, text in sources.items()}, "errors.py")
    assert {f"{file} {name}": deep for (file, name), deep in found.items() if deep} == {
        "one.py A": 1,
        "one.py B": 2,
        "two.py C": 3,
        "two.py D": 4,
        "three.py A": 1,
        "three.py G": 2,
    }
