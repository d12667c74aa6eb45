"""A disk that fills up costs time and nothing else; real processes, every write below SQLite.

`full_disk` injects the fault; a file says to a process from outside when its disk is full.
"""

from __future__ import annotations

import json
import time

import pytest

from full_disk import Disk
from scraper import metric, page
from tigertally.audit.nodes import ENTRIES
from tigertally.custody.service.rows import KEYS
from tigertally.quorum.authority.rows import PROPOSALS, ROSTERS
from tigertally.storage.erasure import owed
from tigertally.storage.sql import SqlStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


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


def remove_carol(town) -> None:
    """alice proposes, bob approves: the removal is done."""
    asked = town.json("holder", "remove", "carol", "--profile", "alice", "--no-wait")
    assert town.approve(asked["proposal"], "bob")["state"] == "complete"


def is_out(town, name: str) -> None:
    """A removed holder is refused."""
    refused = town.run("holder", "sync", "--profile", name, code=3)
    assert "not a member" in refused.err


def await_erased(town) -> None:
    """Wait until the authority owes no erasure any more."""
    deadline = time.monotonic() + 60
    while metric(town, "erasures_owed ") != 0:
        assert time.monotonic() < deadline, "an erasure is owed for ever"


@pytest.mark.requirement("C6")
@pytest.mark.requirement("C9")
def test_a_disk_full_at_the_scrub_after_a_removal_costs_nothing(stopped_town, tmp_path):
    """Finding 2: memory kept the old barrier key, and what a stranger wrote then was lost."""
    town = stopped_town
    disk = Disk(tmp_path, "hq")
    town.authority_up(FAULT_FULL=str(disk.marker))
    town.unlock()
    town.get("payroll", tmp_path / "before")
    town.person("dora")
    with disk.full_from(1, only="database"):  # the log still takes commits, no scrub succeeds
        remove_carol(town)
        town.authority.await_words("erasing is put off")
        enrol = ("holder", "enrol", "--profile", "dora", *town.where)
        asked = town.json(*enrol, "--no-wait")
        assert metric(town, "erasures_owed ") >= 1
    assert disk.struck > 0, "the control"
    await_erased(town)
    is_out(town, "carol")
    town.authority_down()
    town.authority_up()
    town.unlock("bob")
    town.sync("alice", "bob")
    assert [one["id"] for one in town.json("holder", "inbox", "--profile", "alice")] == [
        asked["proposal"]
    ]
    town.approve(asked["proposal"], "alice", "bob")
    town.run(*enrol)
    is_out(town, "carol")
    for _ in range(2):
        town.sync("alice", "bob", "dora")
    town.get("payroll", tmp_path / "after")
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
    assert town.json("audit", "verify", "--profile", "dora")["ok"]


@pytest.mark.requirement("C6")
@pytest.mark.requirement("C9")
def test_a_reader_of_the_store_stalls_no_removal_and_old_rows_go_when_it_ends(town):
    """Finding 8: the writer stood still for 30 seconds, and rows under the old key stayed."""
    path = town.home / "hq" / "store.db"
    files = [path, path.with_name("store.db-wal")]
    store = SqlStore(path, create=False)

    def sealed() -> set[bytes]:
        with store.reading() as reader:
            return {row[:40] for _, row in (*reader.scan(KEYS), *reader.scan(PROPOSALS))}

    def entries() -> int:
        with store.reading() as reader:
            return len(list(reader.scan(ENTRIES)))

    old = sealed()
    with store.reading() as reader:
        assert reader.get(ROSTERS, (1).to_bytes(4, "big")) is not None
        written = entries()
        remove_carol(town)
        town.authority.await_words("erasing is put off")
        town.sync("alice", "bob")
        served = entries() - written
        raw = b"".join(one.read_bytes() for one in files)
        assert all(row in raw for row in old), "the control: the reader still needs them"
    assert served >= 4, "proposed, approved, changed, and more: the writer stands in nobody's way"
    assert not old & sealed(), "under another key from the commit on"
    store.close()
    await_erased(town)
    raw = b"".join(one.read_bytes() for one in files)
    assert not any(row in raw for row in old)
    with SqlStore(path, create=False).reading() as reader:
        later = owed(reader)  # what its child dealt anew since then may be owed for a moment
    if later is not None:
        await_erased(town)
        with SqlStore(path, create=False).reading() as reader:
            again = owed(reader)
        assert again is None or again.since > later.since
