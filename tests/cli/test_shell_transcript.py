"""The transcript `shell.md`, run as it stands by a real shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from console import Shell, steps_of
from tigertally.base.ids import Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.node.profile import create_profile
from tigertally.quorum.card import Role

PAGE = Path(__file__).with_name("shell.md")
# What is about descriptors is told to a Python that starts anew, the rest to forks of one.
ANEW = "## Pipes and disks"
PEOPLE = {"alice": Role.HOLDER, "hq": Role.AUTHORITY}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_page_is_what_happens(tmp_path, fork_server):
    for name, role in PEOPLE.items():
        create_profile(
            tmp_path / "home" / ".tigertally",
            Name(name),
            role=role,
            member=Name(name),
            passphrase=Secret(b"correct horse") if role is Role.HOLDER else None,
            randomness=SystemRandomness(),
            now=1_800_000_000,
            parameters=FOR_TESTS_ONLY,
        ).close()
    first, heading, last = PAGE.read_text("utf-8").partition(ANEW)
    parts = ((steps_of(first), fork_server.path), (steps_of(heading + last), None))
    assert sum(len(steps) for steps, _ in parts) > 30
    assert all(steps for steps, _ in parts)
    for steps, server in parts:
        environment = {"TALLY_PROFILE": "", "TALLY_DEBUG": ""}
        with Shell(tmp_path, environment=environment, fork_server=server) as shell:
            for step in steps:
                shell.run(step)
