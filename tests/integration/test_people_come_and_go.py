"""People come and go on real processes: every key is shared anew, and stays the same key."""

from __future__ import annotations

import pytest


def private(town, tmp_path, reason, by):
    """The private key itself, released by these holders."""
    out = tmp_path / f"{reason}.key"
    get = ("key", "get", "payroll", "--profile", "app", "--reason", reason, "--out", out)
    get = (*get, "--form", "private")
    asked = town.json(*get, "--no-wait")
    town.approve(asked["proposal"], *by)
    town.sync(*by)
    town.run(*get, "--wait", "30")
    return out.read_bytes()


def shown(town):
    return town.json("key", "show", "payroll", "--profile", "alice")


@pytest.mark.requirement("C9")
@pytest.mark.requirement("X3")
def test_a_fourth_holder_joins_and_holds_a_fragment_of_the_same_key(town, tmp_path):
    before = private(town, tmp_path, "before", ("alice", "bob"))
    town.enrol("dora", by=("alice", "bob"))
    for _ in range(3):
        town.sync("alice", "bob", "carol", "dora")
    now = shown(town)
    assert (now["state"], now["epoch"], now["acknowledged"]) == ("active", 2, [1, 2, 3, 4])
    assert private(town, tmp_path, "after", ("dora", "carol")) == before


@pytest.mark.requirement("C10")
def test_a_lost_holder_is_voted_out_and_the_key_stays(town, tmp_path):
    before = private(town, tmp_path, "before", ("alice", "carol"))
    asked = town.json("holder", "remove", "carol", "--profile", "alice", "--no-wait")
    assert asked["state"] == "waiting"
    again = town.json("holder", "remove", "carol", "--profile", "alice", "--no-wait")
    assert again["proposal"] == asked["proposal"], "the same command again resumes"
    town.approve(asked["proposal"], "bob")
    for _ in range(3):
        town.sync("alice", "bob")
    now = shown(town)
    assert (now["state"], now["epoch"], now["acknowledged"]) == ("active", 2, [1, 2])
    town.run("holder", "sync", "--profile", "carol", code=3)
    town.authority_down()
    town.authority_up(started_anew=True)
    town.run("holder", "unlock", "--profile", "carol", code=3)
    town.unlock("bob")
    assert private(town, tmp_path, "after", ("alice", "bob")) == before
    kinds = [e["kind"] for e in town.json("audit", "list", "--profile", "bob")]
    assert "barrier.renewed" in kinds


@pytest.mark.requirement("C7")
def test_the_quorum_is_raised_and_a_requester_goes(town, tmp_path):
    before = private(town, tmp_path, "before", ("alice", "bob"))
    across = tmp_path / "across"
    get = ("key", "get", "payroll", "--profile", "app", "--form", "private", "--wait", "60")
    waiting = town.start(*get, "--reason", "across", "--out", across)
    waiting.await_words("waiting for holders")
    asked = town.json("quorum", "set", "--threshold", "3", "--profile", "alice", "--no-wait")
    town.approve(asked["proposal"], "bob", "carol")
    for _ in range(3):
        town.sync("alice", "bob", "carol")
    assert shown(town)["threshold"] == 3
    waiting.await_words("have changed since this was asked for: asked again as ")
    (anew,) = town.json("holder", "inbox", "--profile", "alice")
    town.approve(anew["id"], "alice", "bob", "carol")
    town.sync("alice", "bob")
    assert waiting.wait(60).code == 0
    assert across.read_bytes() == before
    assert private(town, tmp_path, "after", ("alice", "bob", "carol")) == before
    asked = town.json("requester", "remove", "app", "--profile", "bob", "--no-wait")
    town.approve(asked["proposal"], "alice", "carol")
    late = ("--reason", "late", "--out", tmp_path / "late")
    town.run("key", "get", "payroll", "--profile", "app", *late, code=3)
