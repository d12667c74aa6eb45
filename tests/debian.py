"""Debian packages that a test needs: installed once where we may, else the test skips in words."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_LOCK = Path(tempfile.gettempdir()) / f"tigertally-tests-apt-{os.getuid()}.lock"
_APT = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
_WAIT = ["-o", "DPkg::Lock::Timeout=60"]  # another apt may be at work


def need(**packages: str) -> None:
    """Make sure of programs, each with the packages it takes: `need(gcc="gcc libc6-dev")`."""
    if not _missing(packages):
        return
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        names = " ".join(_missing(packages).values())
        pytest.skip(f"needs the Debian packages {names}, and may not install them here")
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers of one run
        missing = sorted(" ".join(_missing(packages).values()).split())
        if missing and not _install(missing):
            _apt("update")
            if not _install(missing):
                pytest.skip(f"the Debian packages {' '.join(missing)} could not be installed")


def _missing(packages: dict[str, str]) -> dict[str, str]:
    return {program: name for program, name in packages.items() if shutil.which(program) is None}


def _install(names: list[str]) -> bool:
    return _apt("install", "--yes", "--no-install-recommends", *names)


def _apt(*words: str) -> bool:
    result = subprocess.run(
        ["apt-get", *_WAIT, "-qq", *words], env=_APT, capture_output=True, check=False
    )
    return result.returncode == 0
