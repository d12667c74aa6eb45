"""`tally quickstart`: the seconds of each step.

One run as a person has it: an authority, six holders and a requester, each a real process on this
machine. Nobody in it waits for a person, so a step is what programs take, and what they wait for
each other. A step above its aim is either work that grew or a wait that nobody ends: a long poll
that runs out takes 25 s. Run: `python bench/bench_quickstart.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "src"
TALLY = "from tigertally.cli.main import main; main()"
AIM, JOIN_AIM = 4.0, 2.5  # seconds, on a machine that does nothing else
_JOIN = " joins;"  # in the words of that step
_LONGEST = 300  # seconds; with every wait running out it is not over by then


def quickstart() -> Sequence[Mapping[str, Any]]:
    """Run it once; its steps.

    Raises:
        SystemExit: it failed, and said why on standard error.
    """
    environment = {name: value for name, value in os.environ.items() if name[:6] != "TALLY_"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", TALLY, "quickstart", "--json"]
    done = subprocess.run(
        command,
        env={**environment, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        timeout=_LONGEST,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"quickstart ended with {done.returncode}")
    steps: Sequence[Mapping[str, Any]] = json.loads(done.stdout)["steps"]
    return steps


def table(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each step, and one for all.

    Raises:
        SystemExit: not exactly one step is the join, whose aim is another.
    """
    if sum(_JOIN in step["what"] for step in steps) != 1:
        raise SystemExit("quickstart's steps are others by now: say here which one is the join")
    rows = []
    for step in steps:
        aim = JOIN_AIM if _JOIN in step["what"] else AIM
        within = "yes" if step["seconds"] <= aim else "NO"
        rows.append(
            {
                "step": step["what"],
                "seconds": f"{step['seconds']:.2f}",
                "aim": f"≤ {aim}",
                "within": within,
            }
        )
    total = sum(step["seconds"] for step in steps)
    return [*rows, {"step": "all of them", "seconds": f"{total:.2f}"}]


def run() -> list[dict[str, Any]]:
    """One row a step."""
    return table(quickstart())


if __name__ == "__main__":
    for one in run():
        print(one)
