"""Fixtures of mixed versions: the program of a landed version, unpacked and ready to fork."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from process_rig import ForkServer
from versions_rig import Recorded, recorded, unpack_program


@pytest.fixture(scope="session")
def base() -> Recorded:
    """The version before mixed versions were thought of."""
    return recorded()


@pytest.fixture(scope="session")
def old_server(
    base: Recorded, no_process_left_over: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForkServer]:
    """Forks of yesterday's program."""
    program = unpack_program(base.wheel, tmp_path_factory.mktemp("program"))
    server = ForkServer(program)
    yield server
    server.close()
