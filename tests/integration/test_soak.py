"""A random stretch of a domain's life; `make soak` makes it ten minutes."""

from __future__ import annotations

import os

import pytest

from process_rig import Town
from soak import Soak, seed_of

SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.requirement("C7")
@pytest.mark.requirement("C9")
@pytest.mark.requirement("C10")
def test_a_random_stretch_of_life(town: Town, tmp_path, capsys):
    soak = Soak(town=town, folder=tmp_path, seed=seed_of(os.environ.get("SOAK_SEED")))
    soak.go_on(SECONDS)
    with capsys.disabled():
        print("\n" + soak.report())
