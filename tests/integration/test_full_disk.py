"""A disk that fills up costs time and nothing else; real processes, every write below SQLite.

`full_disk` injects the fault; a file says to a process from outside when its disk is full.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Disk:
    """The disk of one process, seen from outside."""

    def __init__(self, folder: Path, name: str) -> None:
        self.marker = folder / f"{name}.full"
        self.struck_by = self.marker.with_suffix(".struck")

    @contextlib.contextmanager
    def full_from(self, number: int = 1) -> Iterator[None]:
        """Full inside the block, from its N-th write or flush on."""
        self.struck_by.unlink(missing_ok=True)
        fresh = self.marker.with_suffix(".new")
        fresh.write_text(str(number))
        fresh.rename(self.marker)
        try:
            yield
        finally:
            self.marker.unlink()

    @property
    def struck(self) -> int:
        """How many writes have failed."""
        return self.struck_by.stat().st_size if self.struck_by.exists() else 0


def page(town, path: str) -> tuple[int, str]:
    """A page of the authority, as a collector of metrics sees it."""
    pem = town.home.parent / "scraper.pem"
    if not pem.exists():
        town.run("authority", "scraper", "--out", pem)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(pem)
    try:
        with urllib.request.urlopen(town.url + path, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(town, name: str) -> float:
    """One number of `/metrics`, as a scrape now says it; 0 where it is not there yet."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status, text = page(town, "/metrics")
        if status == 200:
            lines = [line for line in text.splitlines() if line.startswith(f"tigertally_{name}")]
            return float(lines[0].rpartition(" ")[2]) if lines else 0.0
    raise AssertionError("no metrics")


@pytest.mark.requirement("C6")
def test_a_disk_that_is_full_for_a_moment_ends_no_daemon_and_locks_nothing(stopped_town, tmp_path):
    town = stopped_town
    disk, own = Disk(tmp_path, "hq"), Disk(tmp_path, "alice")
    ahead = tmp_path / "seconds ahead"
    faults = {"FAULT_FULL": str(disk.marker), "FAULT_CHORES": "0.2", "FAULT_CLOCK": str(ahead)}
    authority = town.authority_up(**faults)
    town.unlock("bob")
    town.get("payroll", tmp_path / "key")
    daemon = town.start("holder", "run", "--profile", "alice", FAULT_FULL=str(own.marker))
    daemon.await_words("^ready ")
    with disk.full_from(1), own.full_from(1):
        ahead.write_text(str(40 * 24 * 3600))  # there is something to tidy up from now on
        authority.await_words("tidying up is put off")
        refused = town.run("holder", "sync", "--profile", "bob", code=4)
        assert "disk" in refused.err
        daemon.await_words("waiting|fault")
        assert metric(town, 'background_failures_total{work="tidying up"}') >= 1
    assert disk.struck > 0, "the control"
    assert not authority.ended()
    ahead.unlink()
    town.run("holder", "sync", "--profile", "bob")
    assert town.json("authority", "status", "--profile", "hq")["state"] == "ready"
    assert json.loads(page(town, "/readyz")[1]) == {"ready": True, "state": "ready"}
    assert not daemon.ended()
    assert daemon.stop().code == 0
