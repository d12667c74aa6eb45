"""The model of the epoch change: every variant holds, every broken variant is found out."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import debian
from sources import DOCS

MODEL = DOCS / "models" / "epoch.pml"

# What holds, with the least number of states that the search must have seen.
VARIANTS = {
    (): 15_000,
    ("MAKING",): 900_000,
    ("ACROSS",): 1_000_000,
    ("ACROSS", "FEW_ACKS"): 1_400_000,
    ("TRAITOR",): 7_000,
    ("CROOKED",): 240_000,
    ("CROOKED", "MAKING"): 300_000,
    ("CROOKED", "FEW_ACKS"): 600_000,
    ("CROOKED", "TRAITOR"): 200_000,
}

# One check taken out of the code, and the property that no longer holds.
BROKEN = {
    ("BREAK_ERASE_EARLY",): "erased_only_below_certified",
    ("BREAK_UNCERTIFIED", "CROOKED"): "erased_only_below_certified",
    ("BREAK_RETAKE", "CROOKED", "MAKING"): "one_key",
    ("BREAK_COMMITMENT", "CROOKED", "TRAITOR"): "one_key",
    ("BREAK_ACK_FIRST",): "ends_in_one_epoch",
    ("BREAK_REPLACED", "CROOKED"): "taken_once",
    ("BREAK_LATE", "ACROSS", "FEW_ACKS"): "ends_in_one_epoch",
    ("BREAK_DONATION", "TRAITOR"): "ends_in_one_epoch",
    ("BREAK_REMOVAL", "FEW_ACKS", "ACROSS"): "never_zero_usable",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.requirement("C9"),
    pytest.mark.requirement("C12"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a verifier is made; it is large, so it goes at once."""
    debian.need(spin="spin", gcc="gcc", cpp="cpp")
    yield tmp_path
    shutil.rmtree(tmp_path)


def search(folder: Path, switches: tuple[str, ...], *, optimise: str) -> str:
    """Search all states of one variant; what the verifier says."""
    shutil.copy(MODEL, folder)

    def run(*words: str) -> str:
        result = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False, timeout=100
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run("spin", "-a", *(f"-D{switch}" for switch in switches), MODEL.name)
    run("gcc", optimise, "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=1400", "-o", "pan", "pan.c")
    return run("./pan", "-m100000", "-w22")


def unreached(report: str) -> list[tuple[str, int]]:
    """Steps that no search came to: (process, line)."""
    found, process = [], ""
    for line in report.splitlines():
        if named := re.match(r"unreached in proctype (\w+)", line):
            process = named[1]
        elif (step := re.match(r"\t\S+:(\d+), state \d+, \"(.*)\"", line)) and step[2] != "-end-":
            found.append((process, int(step[1])))
    return found


@pytest.mark.parametrize("switches", VARIANTS, ids="-".join)
def test_the_model_holds(folder: Path, switches: tuple[str, ...]) -> None:
    report = search(folder, switches, optimise="-O1")
    assert "errors: 0" in report, report
    assert "Search not completed" not in report, "the bounds are too wide for this machine"
    assert "max search depth too small" not in report
    stored = re.search(r"(\d+) states, stored", report)
    assert stored is not None
    assert int(stored[1]) >= VARIANTS[switches], "a step of the model can no longer be taken"
    dead = [line for process, line in unreached(report) if process == "World"]
    assert dead == [], "the world never does this"


@pytest.mark.parametrize("switches", BROKEN, ids="-".join)
def test_a_broken_model_is_found_out(folder: Path, switches: tuple[str, ...]) -> None:
    report = search(folder, switches, optimise="-O0")
    assert f"assertion violated {BROKEN[switches]}" in report, report
