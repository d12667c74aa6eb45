"""Running a generator again gives exactly the vectors that are kept here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KEPT = {
    "generate_shamir.py": "shamir.json",
    "generate_pedersen.py": "pedersen.json",
    "generate_quorum_messages.py": "quorum_messages.json",
    "generate_custody_messages.py": "custody_messages.json",
    "generate_delegation.py": "delegation.json",
    "generate_single_pre.py": "single_pre.json",
}


@pytest.mark.parametrize("generator", KEPT)
def test_regenerating_gives_identical_files(generator: str) -> None:
    spec = importlib.util.spec_from_file_location(generator[:-3], HERE / generator)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate() == (HERE / KEPT[generator]).read_text()
