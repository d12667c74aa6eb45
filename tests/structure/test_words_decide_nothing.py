"""No decision rests on the words of an error: the program asks for types, statuses, attributes.

Words are for people. They are mended and put into other languages; and from the network anybody
writes them.
"""

from __future__ import annotations

import ast
import builtins
from functools import cache

import pytest

from sources import PACKAGE

# Only whether a line is logged, or shown to a person, a second time.
ALLOWED = {
    ("custody/client/report.py", "if str(held_up) not in self.waiting_for:"),
    ("custody/client/report.py", "if text not in self.problems:"),
    ("host/daemon.py", "new, self._said = str(error) != self._said, str(error)"),
}
ASKS = {
    *("startswith", "endswith", "find", "rfind", "index", "count", "partition", "rpartition"),
    *("split", "removeprefix", "removesuffix", "search", "match", "fullmatch", "findall", "sub"),
}
NAMES = {"error", "fault", "exc", "refused"}  # where no annotation says it
TEXTS = {"args", "message", "detail", "title", "__notes__", "advice"}


@cache
def error_classes() -> frozenset[str]:
    """Every exception of Python and of the package, by name."""
    known = {n for n, v in vars(builtins).items() if isinstance(v, type)}
    known = {n for n in known if issubclass(getattr(builtins, n), BaseException)}
    trees = [ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")]
    classes = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    while True:
        more = {c.name for c in classes if {ast.unparse(base) for base in c.bases} & known}
        if more <= known:
            return frozenset(known)
        known |= more


def errors_in(tree: ast.AST) -> set[str]:
    """Variables that hold an error: caught, or said to be one."""
    names = set(NAMES)
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        if isinstance(node, ast.arg) and node.annotation is not None:
            kind = ast.unparse(node.annotation).strip("'\"")
            names |= {node.arg} if set(kind.split(" | ")) & error_classes() else set()
    return names


def is_text(node: ast.AST, errors: set[str], texts: set[str]) -> bool:
    """Is this expression what an error says?"""
    if isinstance(node, ast.Name):
        return node.id in texts
    if isinstance(node, ast.Attribute):
        return node.attr in TEXTS and isinstance(node.value, ast.Name) and node.value.id in errors
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        shown = node.func.id in ("str", "repr", "format", "visible", "one_line")
        return shown and any(isinstance(a, ast.Name) and a.id in errors for a in node.args)
    if isinstance(node, ast.FormattedValue):
        return isinstance(node.value, ast.Name) and node.value.id in errors
    return False


def decisions(source: str) -> list[str]:
    """The lines of a source that compare or search what an error says."""
    tree = ast.parse(source)
    lines = source.splitlines()
    found = set()
    scopes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in scopes:
        errors, texts = errors_in(scope), set[str]()

        def says(node: ast.AST | None, errors: set[str] = errors, texts: set[str] = texts) -> bool:
            return node is not None and any(is_text(n, errors, texts) for n in ast.walk(node))

        for node in ast.walk(scope):  # what an error says, kept under another name
            if isinstance(node, ast.Assign) and is_text(node.value, errors, texts):
                texts |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        for node in ast.walk(scope):
            if isinstance(node, ast.Compare):
                asks = (ast.In, ast.NotIn, ast.Eq, ast.NotEq)
                sides = zip([node.left, *node.comparators], node.ops, strict=False)
                compared = [side for side, op in sides if isinstance(op, asks)]
                guilty = any(map(says, [*compared, *(node.comparators if compared else [])]))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                parts = [node.func.value, *node.args]
                guilty = node.func.attr in ASKS and any(map(says, parts))
            elif isinstance(node, ast.Match):
                guilty = says(node.subject)
            else:
                continue
            if guilty:
                found.add(lines[node.lineno - 1].strip())
    return sorted(found)


@pytest.mark.parametrize(
    "line",
    [
        'if "replaced" in str(error): pass',
        'if str(error) == "no": pass',
        'if error.args[0].startswith("no"): pass',
        'if PATTERN.search(f"{error}"): pass',
        'if re.search("again", str(error).lower()): pass',
        'if error.detail.endswith("no"): pass',
        'said = str(error)\n        if said.find("no") >= 0: pass',
        'match str(error):\n            case "no": pass',
    ],
)
def test_a_decision_by_words_is_found(line: str) -> None:
    source = f"def f():\n    try: g()\n    except Refused as error:\n        {line}\n"
    assert decisions(source)
    assert decisions(
        source.replace("except Refused as error", "except Refused as e_")
        .replace("(error", "(e_")
        .replace("{error", "{e_")
        .replace("error.", "e_.")
    )


def test_what_a_type_or_a_status_decides_is_not_found() -> None:
    body = "if error.code == 3 or type(error) in KINDS: log(str(error), why=error.args)"
    assert not decisions(f"def f(error):\n    {body}\n")


def test_no_decision_rests_on_the_words_of_an_error() -> None:
    found = {
        (str(path.relative_to(PACKAGE)), line)
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in decisions(path.read_text("utf-8"))
    }
    assert found == ALLOWED
