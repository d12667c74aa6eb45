"""What the protocol pages show as code runs."""

from __future__ import annotations

import re

import pytest

from sources import DOCS

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["single-proxy.md", "rotation.md", "delegation-files.md"])
def test_the_example_runs(page):
    (block,) = BLOCK.findall((DOCS / "protocols" / page).read_text("utf-8"))
    assert "assert " in block
    exec(compile(block, page, "exec"), {})
