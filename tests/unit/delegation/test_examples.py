"""The examples run, stay short, and are all shown."""

from __future__ import annotations

import ast
import runpy

import pytest

from sources import DOCS, ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MOST = 12  # lines of code behind the imports


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_is_short(path):
    runpy.run_path(str(path), run_name="__main__")
    text = path.read_text("utf-8")
    begins = next(
        node.lineno
        for node in ast.parse(text).body[1:]
        if not isinstance(node, ast.Import | ast.ImportFrom)
    )
    code = [line for line in text.splitlines()[begins - 1 :] if line.strip()]
    assert len(code) <= MOST, path.name


def test_every_example_is_shown():
    readme = (ROOT / "examples" / "README.md").read_text("utf-8")
    page = (DOCS / "examples.md").read_text("utf-8")
    for path in EXAMPLES:
        assert f"[{path.name}]({path.name})" in readme
        assert f'--8<-- "examples/{path.name}"' in page
