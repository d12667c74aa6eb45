"""The commands of README and tutorial, run as they stand, against the real command line.

Daemons run in the background as the pages start them; the pages stop them, and the shell ends
whatever a failing page leaves.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from console import Shell, Step, steps_of
from sources import ROOT

# README as a newcomer does it, Python starting anew for each command; the tutorial in forks.
PAGES = {"README.md": False, "docs/tutorial.md": True}


def as_a_copy(step: Step) -> Step:
    """`git clone ADDRESS` fetches this very checkout, wherever the page says it lives."""
    command = re.sub(r"\bgit clone \S+", f"git clone --quiet '{ROOT}'", step.command)
    return Step(command=command, expected=step.expected, code=step.code)


@pytest.mark.slow
@pytest.mark.requirement("C1")
@pytest.mark.requirement("C6")
@pytest.mark.requirement("C8")
@pytest.mark.requirement("X1")
@pytest.mark.requirement("X5")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("page", "forked"), PAGES.items())
def test_page_runs(tmp_path, fork_server, page, forked):
    steps = steps_of((ROOT / page).read_text("utf-8"))
    assert steps, "the page has no console block"
    # A linked environment is used as it is: no second one is built for the copy.
    environment = tmp_path / "environment"
    environment.symlink_to(Path(sys.executable).parents[1])
    extra = {"VENV": str(environment), "GIT_CONFIG_GLOBAL": os.devnull}
    work = tmp_path / "work"
    work.mkdir()
    server = fork_server.path if forked else None
    with Shell(work, environment=extra, seconds=240, fork_server=server) as shell:
        for step in steps:
            shell.run(as_a_copy(step))
