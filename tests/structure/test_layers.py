"""Imports point down only, and every folder of the package has chosen its floor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [command, "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_of_the_house(folder: Path) -> Path:
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "src" / "tigertally"


def test_imports_point_down_only():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_an_arrow_pointing_up_is_found(tmp_path):
    package = copy_of_the_house(tmp_path)
    (package / "base" / "sneaky.py").write_text("import tigertally.storage\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "tigertally.base.sneaky -> tigertally.storage" in result.stdout


def test_a_folder_without_a_floor_is_found(tmp_path):
    package = copy_of_the_house(tmp_path)
    (package / "attic").mkdir()
    (package / "attic" / "__init__.py").write_text("")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "attic" in result.stdout
