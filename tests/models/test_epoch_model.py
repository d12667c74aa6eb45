"""The model of the epoch change: every variant holds, every broken variant is found out.

What a search finds depends on the model's code alone. So while that is what `SEARCHED` names, which
was searched whole, the suite searches a sample; after any change of it, all.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import debian
from sources import DOCS
from walks import sampled

MODEL = DOCS / "models" / "epoch.pml"

# SHA-256 of the model, without its comments, whose every variant was searched: the last test says
# when to change it.
SEARCHED = "fa559fbc28c6909dcbb2b3d7df1481160d943d887ddc3041b9f296b28ad14846"

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
    # No check is out here: it must be possible that a key is shared anew, after every change.
    ("GOAL", "ACROSS"): "never_shared",
    ("GOAL", "MAKING"): "never_shared",
    ("GOAL", "CROOKED"): "never_shared",
    ("BREAK_REMOVAL", "FEW_ACKS", "ACROSS"): "never_zero_usable",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.walk,
    pytest.mark.requirement("C9"),
    pytest.mark.requirement("C12"),
]


def digest() -> str:
    code = re.sub(r"/\*.*?\*/", "", MODEL.read_text("utf-8"), flags=re.DOTALL)
    lines = (line.rstrip() for line in code.splitlines() if line.strip())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def some(cases: Iterable[tuple[str, ...]], most: int, name: str) -> list[tuple[str, ...]]:
    """A sample; all of them while the model is another than the one that was searched whole."""
    return sampled(cases, most, f"epoch model {name}") if digest() == SEARCHED else list(cases)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a verifier is made; it is large, so it goes at once."""
    debian.need(spin="spin", gcc="gcc libc6-dev", cpp="cpp")
    yield tmp_path
    shutil.rmtree(tmp_path)


def search(
    folder: Path, switches: tuple[str, ...], *, optimise: str, claim: str | None = None
) -> str:
    """Search all states of one variant (or all its endless runs for a claim); what is found."""
    shutil.copy(MODEL, folder)

    def run(*words: str) -> str:
        result = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False, timeout=100
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    run("spin", "-a", *(f"-D{switch}" for switch in switches), MODEL.name)
    kind = "-DSAFETY" if claim is None else "-DNOFAIR"
    run("gcc", optimise, "-w", kind, "-DCOLLAPSE", "-DMEMLIM=1400", "-o", "pan", "pan.c")
    return run("./pan", "-m100000", "-w22", *([] if claim is None else ["-a", "-N", claim]))


@pytest.mark.parametrize("switches", some(VARIANTS, 2, "holds"), ids="-".join)
def test_the_model_holds(folder: Path, switches: tuple[str, ...]) -> None:
    small = VARIANTS[switches] < 500_000  # then compiling takes longer than searching
    report = search(folder, switches, optimise="-O0" if small else "-O1")
    assert "errors: 0" in report, report
    assert "Search not completed" not in report, "the bounds are too wide for this machine"
    assert "max search depth too small" not in report
    stored = re.search(r"(\d+) states, stored", report)
    assert stored is not None
    assert int(stored[1]) >= VARIANTS[switches], "a step of the model can no longer be taken"


@pytest.mark.parametrize("switches", some([("TRAITOR",), ("CROOKED",)], 1, "quiet"), ids="-".join)
def test_the_quiet_ends(folder: Path, switches: tuple[str, ...]) -> None:
    report = search(folder, ("ENDS", *switches), optimise="-O1", claim="ends")
    assert "acceptance   cycles \t+" in report, report
    assert "errors: 0" in report, report
    assert "Search not completed" not in report


@pytest.mark.parametrize("switches", some(BROKEN, 4, "broken"), ids="-".join)
def test_a_broken_model_is_found_out(folder: Path, switches: tuple[str, ...]) -> None:
    report = search(folder, switches, optimise="-O0")
    assert f"assertion violated {BROKEN[switches]}" in report, report


def test_the_model_is_the_one_that_was_searched_whole() -> None:
    """It fails once after each change: the other tests of this run have searched all of it."""
    assert digest() == SEARCHED, f"if every other test here passed: SEARCHED = {digest()!r}"
