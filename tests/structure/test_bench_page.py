"""The benchmark page: sections that ran are replaced, everything else is left alone."""

from __future__ import annotations

import importlib.util
import math
import sys
from types import ModuleType

import pytest

from sources import ROOT


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"benchmark_{name}", ROOT / "bench" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run():
    return load("run")


PAGE = "# Head\n\n<!-- bench:begin -->\n\n<!-- bench:end -->\n\nTail.\n"


def test_a_section_is_put_in_and_replaced(run):
    first = run.kept(PAGE, {"b": run.section("B", [{"what": "x", "ours": "1 ms"}])})
    assert "| what | ours |\n|---|---|\n| x | 1 ms |" in first
    both = run.kept(first, {"a": run.section("A", [{"what": "y"}])})
    assert both.index("## A") < both.index("## B")
    again = run.kept(both, {"b": run.section("B", [{"what": "x", "ours": "2 ms"}])})
    assert "1 ms" not in again
    assert again.count("## ") == 2
    assert again.startswith("# Head\n")
    assert again.endswith("\n\nTail.\n")
    assert run.kept(again, {}) == again


def test_the_committed_page_has_the_marks(run):
    text = run.PAGE.read_text("utf-8")
    assert text.count(run.BEGIN) == text.count(run.END) == 1


def test_pairs_take_turns():
    pairs = load("pairs")
    calls: list[str] = []
    result = pairs.compare(
        lambda: calls.append("ours"), lambda: calls.append("peer"), pairs=3, loops=(2, 1)
    )
    assert calls[:2] == ["ours", "peer"]  # warm-up
    assert calls[2:] == ["ours", "ours", "peer", "peer", "ours", "ours", "ours", "ours", "peer"]
    assert result.ratio > 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (0.0125, "12.5 ms"), (3e-6, "3 µs"), (5e-9, "5 ns")]
)
def test_durations_read_well(seconds, text):
    assert load("pairs").duration(seconds) == text


def test_the_timing_test_takes_turns_and_sees_a_difference_of_means():
    timing = load("timing")
    seen: list[bytes] = []
    kinds = [[bytes([kind, i]) for i in range(128)] for kind in (0, 1)]
    t = timing.worst_t(seen.append, lambda raw: raw, *kinds, samples=1000)
    assert t >= 0
    counts = [sum(raw[0] == kind for raw in seen) for kind in (0, 1)]
    assert min(counts) >= 1000
    assert len(set(seen)) == 256
    assert timing.welch([1, 2, 3], [3, 2, 1]) == 0
    assert (timing.welch([2, 2], [2, 2]), timing.welch([1, 1], [2, 2])) == (0, -math.inf)
    assert timing.welch([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(-4.3818, abs=1e-4)


def test_each_step_of_quickstart_is_held_to_its_aim():
    bench = load("bench_quickstart")
    steps = [{"what": what, "seconds": 2.6} for what in ("five enrol", "fina joins; anew", "end")]
    rows = bench.table([*steps, {"what": "slow", "seconds": 4.01}])
    assert [row.get("within") for row in rows] == ["yes", "NO", "yes", "NO", None]
    assert rows[-1]["seconds"] == "11.81"
    for others in (steps[:1], [*steps, steps[1]]):
        with pytest.raises(SystemExit):
            bench.table(others)
