"""Two commands of one profile at once, a daemon beside commands, clocks that are off."""

from __future__ import annotations

import time

import pytest

from tigertally.base.clock import time_text


def outcomes(*commands):
    return [command.wait() for command in commands]


@pytest.mark.requirement("C7")
def test_the_same_approval_twice_at_once_and_two_holders_at_once(town, tmp_path):
    """One outcome: a complete tally of two, and the fragments leave once."""
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", tmp_path / "k")
    asked = town.json(*get, "--no-wait")
    approve = ("holder", "approve", asked["proposal"], "--json", "--profile")
    for outcome in outcomes(
        town.start(*approve, "bob"), town.start(*approve, "bob"), town.start(*approve, "carol")
    ):
        assert outcome.code == 0, str(outcome)
    town.sync("bob", "carol")
    got = town.json(*get, "--wait", "20")
    assert (got["approved_by"], got["faulty"]) == (["bob", "carol"], [])
    last = town.json("tally", "list", "--profile", "alice")[-1]
    assert (last["state"], last["approvals"]) == ("complete", 2)


def test_approving_and_rejecting_at_once(town, tmp_path):
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", tmp_path / "k")
    asked = town.json(*get, "--no-wait")
    yes = town.start("holder", "approve", asked["proposal"], "--profile", "bob")
    no = town.start("holder", "reject", asked["proposal"], "--profile", "bob")
    assert sorted(outcome.code for outcome in outcomes(yes, no)) == [0, 3], "one vote"


def test_two_gets_of_the_same_and_of_another_reason(town, tmp_path):
    get = ("key", "get", "payroll", "--profile", "app", "--wait", "50", "--reason")
    same = [town.start(*get, "same", "--out", tmp_path / f"same{n}") for n in range(2)]
    other = town.start(*get, "other", "--out", tmp_path / "other")
    for one in town.asked(number=2):
        town.approve(one["id"], "alice", "carol")
    town.sync("alice")
    for outcome in outcomes(*same, other):
        assert outcome.code == 0, str(outcome)
    made = {path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert len(made) == 1
    tallies = town.json("tally", "list", "--profile", "alice")
    assert [one["kind"] for one in tallies].count("custody.release") == 2, "one for each reason"


@pytest.mark.slow
def test_a_daemon_and_the_commands_of_its_person(town, tmp_path):
    daemons = [town.holder_up(name) for name in ("alice", "bob")]
    gets = []
    for number in range(4):
        words = ("key", "get", "payroll", "--profile", "app", "--reason", f"r{number}")
        gets.append(town.start(*words, "--out", tmp_path / f"k{number}", "--wait", "50"))
    approvals = [
        town.start("holder", "approve", one["id"], "--profile", name)
        for one in town.asked(number=4, holder="carol")
        for name in ("alice", "bob")
    ]
    for outcome in outcomes(*approvals, *gets):
        assert outcome.code == 0, str(outcome)
    for daemon in daemons:
        outcome = daemon.stop()
        assert outcome.code == 0, str(outcome)
        assert '"level": "warning"' not in outcome.err


def test_a_second_authority_on_one_profile(town):
    told = town.run("authority", "run", "--profile", "hq", code=4)
    assert "in use by process" in told.err
    assert town.json("authority", "status", "--profile", "hq")["state"] == "ready"


def test_two_enrolments_of_one_profile_at_once(nowhere):
    pin = nowhere.make_authority()
    enrol = ("holder", "enrol", *nowhere.where, "--pin", pin, "--profile", "alice")
    codes = sorted(outcome.code for outcome in outcomes(*(nowhere.start(*enrol) for _ in "12")))
    assert codes[0] == 0
    assert codes[1] in {0, 2, 3}, "enrolled already, or the profile is being made"
    assert nowhere.json(*enrol)["state"] == "enrolled"
    assert len(nowhere.json("holder", "list", "--profile", "alice")) == 1


HOUR = 3600


def test_a_device_whose_clock_is_an_hour_ahead(town, tmp_path):
    ahead = {"FAULT_CLOCK": str(HOUR)}
    told = town.run("key", "create", "x", "--profile", "alice", "--no-wait", code=3, **ahead)
    assert "check both clocks" in told.err
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", tmp_path / "k")
    assert "clock" in town.run(*get, "--no-wait", code=3, **ahead).err
    # What others proposed it may answer: only expiry depends on its clock.
    asked = town.json(*get, "--no-wait")
    for name in ("alice", "bob"):
        town.run("holder", "approve", asked["proposal"], "--profile", name, **ahead)
    town.run("holder", "sync", "--profile", "alice", **ahead)
    assert town.json(*get, "--wait", "20", **ahead)["approved_by"] == ["alice", "bob"]


def test_a_device_whose_clock_is_an_hour_behind(town, tmp_path):
    behind = {"FAULT_CLOCK": str(-HOUR)}
    create = ("key", "create", "x", "--profile", "alice")
    asked = town.json(*create, "--no-wait", **behind)
    town.run("holder", "approve", asked["proposal"], "--profile", "bob", **behind)
    for name in ("alice", "bob", "carol"):
        town.run("holder", "sync", "--profile", name, **behind)
    assert town.json(*create, "--wait", "20", **behind)["state"] == "active"


def test_a_device_whose_clock_is_days_off_is_told_both_times(town, tmp_path):
    """By the time in the authority's answers: what is new must not look merely expired."""
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", tmp_path / "k")
    asked = town.json(*get, "--no-wait")
    approve = ("holder", "approve", asked["proposal"], "--profile", "bob")
    off = 48 * HOUR
    today = time_text(int(time.time()))[:11]
    for words, hours, day in ((approve, off, today), ((*get, "--no-wait"), -off, today)):
        late = [*words[:6], "another", *words[7:]] if hours < 0 else words
        told = town.run(*late, code=3, FAULT_CLOCK=str(hours))
        theirs = time_text(int(time.time()) + hours)[:11]
        assert f"this device's clock says {theirs}" in told.err
        assert f"the authority's {day}" in told.err
        assert "expired; ask those" not in told.err
    town.run(*approve)
    town.authority_down()
    assert "the authority's" not in town.run(*get, "--no-wait", code=4, FAULT_CLOCK=str(off)).err


def test_a_proposal_that_expires(town, tmp_path):
    """A day later nobody approves it any more, and asking again is a new request."""
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", tmp_path / "k")
    asked = town.json(*get, "--no-wait")
    town.run("holder", "approve", asked["proposal"], "--profile", "alice")
    town.authority_down()
    day = {"FAULT_CLOCK": str(25 * HOUR)}
    town.authority_up(**day)
    town.run("holder", "unlock", "--profile", "alice", **day)
    told = town.run("holder", "approve", asked["proposal"], "--profile", "bob", code=3, **day)
    assert "expired" in told.err
    told = town.run("holder", "approve", asked["proposal"], "--profile", "bob", code=3)
    assert "expired" in told.err, "whatever the device's own clock says"
    assert town.json("holder", "inbox", "--profile", "bob", **day) == []
    again = town.json(*get, "--no-wait", **day)
    assert again["proposal"] != asked["proposal"]
    assert town.json("tally", "list", "--profile", "bob", **day)[-2]["state"] == "expired"


def test_a_founder_whose_clock_is_off(nowhere):
    pin = nowhere.make_authority()
    nowhere.person("alice")
    enrol = ("holder", "enrol", "--profile", "alice", *nowhere.where, "--pin", pin)
    told = nowhere.run(*enrol, code=3, FAULT_CLOCK=str(HOUR))
    assert "clock" in told.err
    assert nowhere.json(*enrol)["state"] == "enrolled", "the PIN was not used up"
