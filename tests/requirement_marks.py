"""What `docs/requirements.md` says and what the tests say. Run as a script it mends the page.

`python tests/requirement_marks.py` (`make requirements`) writes the column of tests anew from the
marks. A planned row that found its first test becomes `partly`; only a person writes `done`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "requirements.md"
STATES = ("done", "partly", "planned")
FAMILIES = {"C": 13, "E": 13, "S": 9, "D": 19, "L": 9, "X": 9}
IDS = tuple(f"{letter}{i}" for letter, last in FAMILIES.items() for i in range(1, last + 1))

_ROW = re.compile(r"^\| ([A-Z]\d+) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$")
_LINK = re.compile(r"\]\(([^)#]+)")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the page; `pages` and `tests` are the paths it names."""

    id: str
    what: str
    state: str
    page: str
    tests: str

    @property
    def pages(self) -> tuple[str, ...]:
        return tuple(_LINK.findall(self.page))

    @property
    def test_files(self) -> tuple[str, ...]:
        return tuple(re.findall(r"`([^`]+)`", self.tests))

    def __str__(self) -> str:
        return f"| {self.id} | {self.what} | {self.state} | {self.page} | {self.tests} |"


def rows(text: str) -> list[Row]:
    """Every row of the page, in order."""
    names = ("id", "what", "state", "page", "tests")
    matches = (_ROW.match(line) for line in text.splitlines())
    return [Row(**dict(zip(names, m.groups(), strict=True))) for m in matches if m]


def marks_in(source: str) -> set[str]:
    """The ids of every `requirement(...)` mark in one file."""
    if "requirement(" not in source:
        return set()
    return {
        argument.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "requirement"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def marked_tests(root: Path = ROOT) -> dict[str, set[str]]:
    """Requirement id to the test files that carry its mark."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((root / "tests").rglob("test_*.py")):
        for mark in marks_in(path.read_text("utf-8")):
            found[mark].add(path.relative_to(root).as_posix())
    return dict(found)


def mended(text: str, tests: dict[str, set[str]]) -> str:
    """The page with its column of tests as the marks have it."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        for row in rows(line):
            files = sorted(tests.get(row.id, ()))
            state = "planned" if not files else "partly" if row.state == "planned" else row.state
            named = ", ".join(f"`{name.removeprefix('tests/')}`" for name in files)
            lines[number] = str(
                Row(id=row.id, what=row.what, state=state, page=row.page, tests=named or "—")
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(mended(PAGE.read_text("utf-8"), marked_tests()), "utf-8")
