"""The only skips that `TALLY_REQUIRE_ALL=1` lets pass: oracles without a wheel, absent data.

Use the two functions below, so that the reason reads the same everywhere.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

NO_WHEEL = "no wheel for this Python: "
NO_FOLDER = "folder is not there: "
FOLDERS = ("evidence", "suites", "vectors")


def is_allowed(reason: str) -> bool:
    """Whether a skip with this reason stays a skip when everything is required."""
    folders = tuple(NO_FOLDER + name for name in FOLDERS)
    return reason.startswith(NO_WHEEL) or reason in folders


def require_oracle(module: str, *, wheel: bool) -> ModuleType:
    """Import an independent implementation; skip only where it offers no wheel (`wheel=False`)."""
    if not wheel:
        pytest.skip(NO_WHEEL + module)
    return importlib.import_module(module)


def require_folder(root: Path, name: str) -> Path:
    """The data folder `name` under `root`; skip where it is not part of this copy."""
    if name not in FOLDERS:
        raise ValueError(f"{name} is not one of {FOLDERS}")
    folder = root / name
    if not folder.is_dir():
        pytest.skip(NO_FOLDER + name)
    return folder
