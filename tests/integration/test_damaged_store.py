"""A row that somebody or something has changed on a real disk, under a program that runs or not.

Whose store it is decides who is told what: exit 6 only for who runs that program. Every table and
every kind of damage, in memory: `scenarios/test_damaged_rows.py`.
"""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing

import pytest

from scraper import metric, page
from tigertally.base.ids import Name
from tigertally.custody.client.rows import PUBLISHED
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.service.barrier import ENVELOPES
from tigertally.custody.service.rows import KEYS
from tigertally.storage.sql import SqlStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.requirement("C6")]

PAYROLL = KeyRef(name=Name("payroll"), version=1).to_bytes()


def damage(town, profile: str, table: str, key: bytes | None = None) -> bytes:
    """Flip a bit in the middle of a row (of the only one), as it lies on the disk; its key."""
    with (
        closing(SqlStore(town.home / profile / "store.db", create=False)) as store,
        store.transaction() as tx,
    ):
        if key is None:
            ((key, _),) = tx.scan(table)
        row = tx.get(table, key)
        assert row is not None
        half = len(row) // 2
        tx.put(table, key, row[:half] + bytes([row[half] ^ 1]) + row[half + 1 :])
    return key


def told(town, key: bytes) -> int:
    """How many entries of the audit log say that this row is damaged."""
    log = town.json("audit", "list", "--profile", "alice")
    found = [one["summary"] for one in log if one["kind"] == "store.damaged"]
    return len([summary for summary in found if key.hex() in summary])


def await_damaged(town, count: int) -> None:
    """Wait until `/metrics` counts so many damaged rows; the log says it a moment before."""
    deadline = time.monotonic() + 30
    while metric(town, "damaged_rows") != count:
        assert time.monotonic() < deadline


def test_a_row_that_is_damaged_while_the_authority_runs_holds_up_its_key_alone(
    stopped_town, tmp_path
):
    town = stopped_town
    authority = town.authority_up(FAULT_CHORES="0.2")
    town.unlock()
    assert metric(town, "damaged_rows") == 0
    damage(town, "hq", KEYS, PAYROLL)
    authority.await_words(f"{PAYROLL.hex()}.*{KEYS}.*set aside")  # nobody has asked for it
    await_damaged(town, 1)
    for profile in ("app", "alice"):
        shown = town.json("key", "show", "payroll", "--profile", profile, code=4)
        assert (shown["error"], KEYS in shown["message"]) == ("damaged", True)
        assert PAYROLL.hex() in shown["message"]
    town.get("vault", tmp_path / "before")
    assert [one["key"] for one in town.json("key", "list", "--profile", "app")] == ["vault"]
    assert not authority.ended()
    town.authority_down()
    town.authority_up(FAULT_CHORES="0.2")
    town.unlock("bob")
    town.get("vault", tmp_path / "after")
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
    await_damaged(town, 1)
    assert told(town, PAYROLL) == 1, "named once"
    assert json.loads(page(town, "/readyz")[1])["state"] == "ready", "nothing rests on that row"
    assert town.json("audit", "verify", "--profile", "carol")["ok"]


def test_an_unlock_that_a_damaged_row_prevents_says_which_and_whose(stopped_town):
    town = stopped_town
    key = damage(town, "hq", ENVELOPES)
    authority = town.authority_up()
    refused = town.json("holder", "unlock", "--profile", "alice", code=4)
    assert refused["error"] == "damaged"
    assert (ENVELOPES in refused["message"], key.hex() in refused["message"]) == (True, True)
    assert town.json("authority", "status", "--profile", "hq")["state"] == "locked"
    assert not authority.ended()
    assert damage(town, "hq", ENVELOPES) == key  # the same bit again: it is right
    town.unlock()
    town.run("holder", "sync", "--profile", "bob")


def test_exit_6_is_for_whose_own_store_is_damaged(town, tmp_path):
    daemon = town.holder_up("bob")
    daemon.send(signal.SIGSTOP)  # whatever it was doing, what it reads next is damaged
    key = damage(town, "bob", PUBLISHED)
    daemon.send(signal.SIGCONT)
    outcome = town.json("holder", "sync", "--profile", "bob", code=6)
    assert outcome["error"] == "corrupt"
    assert (PUBLISHED in outcome["message"], key.hex() in outcome["message"]) == (True, True)
    town.get("payroll", tmp_path / "key", by=("alice", "carol"))  # wakes bob's daemon
    assert daemon.wait().code == 6
    assert '"cannot go on"' in daemon.said()
    town.sync("alice", "carol")
    assert town.json("authority", "status", "--profile", "hq")["state"] == "ready"
