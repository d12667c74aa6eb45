"""Holders come and go on real processes: every key gets new fragments and stays the same key."""

from __future__ import annotations

import time

import pytest

from process_rig import SECONDS


def await_epoch(town, epoch, *holders):
    """These sync until every key is active in its epoch of this number, held by all of them."""
    deadline = time.monotonic() + SECONDS
    while True:
        town.sync(*holders)
        keys = town.json("key", "list", "--profile", holders[0])
        if {(key["state"], key["epoch"]) for key in keys} == {("active", epoch)}:
            return keys
        assert time.monotonic() < deadline, f"no epoch {epoch}: {keys}"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("C7")
@pytest.mark.requirement("C9")
@pytest.mark.requirement("C10")
@pytest.mark.requirement("X3")
def test_a_holder_joins_another_is_removed_and_the_keys_stay(town, tmp_path):
    """carol is lost: she never answers again, and what her device holds is of no more use."""

    def finals(name, by):
        for key in ("payroll", "vault"):
            town.get(key, tmp_path / f"{key}-{name}", by=by)
        return [(tmp_path / f"{key}-{name}").read_bytes() for key in ("payroll", "vault")]

    before = finals("before", ("alice", "carol"))
    town.enrol("dora", by=("alice", "bob"))
    joined = await_epoch(town, 2, "alice", "bob", "carol", "dora")
    assert [key["acknowledged"] for key in joined] == [[1, 2, 3, 4]] * 2
    assert finals("joined", ("carol", "dora")) == before

    remove = ("holder", "remove", "carol", "--profile", "alice")
    asked = town.json(*remove, "--no-wait")
    assert asked["state"] == "waiting"
    town.run("holder", "approve", asked["proposal"], "--profile", "carol", code=3)
    assert town.approve(asked["proposal"], "dora")["state"] == "complete"
    left = await_epoch(town, 3, "alice", "bob", "dora")
    assert [key["acknowledged"] for key in left] == [[1, 2, 4]] * 2
    assert [h["name"] for h in town.json("holder", "list", "--profile", "bob")] == [
        *("alice", "bob", "dora"),
    ]
    assert town.run("holder", "sync", "--profile", "carol", code=3).out == ""
    assert finals("left", ("bob", "dora")) == before

    town.authority_down()
    town.authority_up()
    town.run("holder", "unlock", "--profile", "carol", code=3)
    assert town.json("authority", "status", "--profile", "hq")["state"] == "locked"
    town.unlock("dora")
    assert finals("again", ("alice", "dora")) == before


@pytest.mark.slow
@pytest.mark.requirement("C7")
def test_a_requester_is_removed(town, tmp_path):
    asked = town.json("requester", "remove", "app", "--profile", "alice", "--no-wait")
    town.approve(asked["proposal"], "carol")
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", tmp_path / "k")
    town.run(*get, "--wait", "1", code=3)
    assert not (tmp_path / "k").exists()
    assert town.json("roster", "show", "--profile", "bob")["requesters"] == []
