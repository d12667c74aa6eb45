"""The day of a 2-of-3 domain, `day.md`, run as it stands by a real shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from console import Shell, steps_of

PAGE = Path(__file__).with_name("day.md")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("C1")
@pytest.mark.requirement("C7")
@pytest.mark.requirement("C8")
def test_the_day_is_what_happens(tmp_path, fork_server):
    environment = {"TALLY_PASSPHRASE": "correct horse battery", "TALLY_PROFILE": ""}
    with Shell(tmp_path, environment=environment, fork_server=fork_server.path) as shell:
        for step in steps_of(PAGE.read_text("utf-8")):
            shell.run(step)
