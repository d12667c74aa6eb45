"""The requester's recovery file, invitations, and a roster hash told out of band (C5, C8)."""

from __future__ import annotations

import stat

import pytest

from tigertally.quorum.card import Role


@pytest.mark.slow
@pytest.mark.requirement("C5")
def test_a_restored_device_secret_makes_the_same_final_key(town, tmp_path):
    first, other, again = tmp_path / "first", tmp_path / "other", tmp_path / "again"
    recovery = tmp_path / "recovery"
    town.get("payroll", first)
    saved = town.json("requester", "backup", "--profile", "app", "--out", recovery)
    assert saved["bytes"] == recovery.stat().st_size
    assert stat.S_IMODE(recovery.stat().st_mode) == 0o600
    enrolled = town.home / "app" / "recovery.sealed"
    assert stat.S_IMODE(enrolled.stat().st_mode) == 0o600, "enrolment wrote one"

    town.enrol("app2", Role.REQUESTER, by=("alice", "bob"))
    get = ("key", "get", "payroll", "--profile", "app2", "--reason", "r", "--out")
    town.release(*get, other)
    assert other.read_bytes() != first.read_bytes(), "final keys are the device's own"
    restore = ("requester", "restore", "--profile", "app2", "--in")
    town.run(*restore, recovery, "--file-passphrase-file", __file__, code=3)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(recovery.read_bytes()[:-1])
    town.run(*restore, damaged, code=3)
    for file in (recovery, enrolled):
        assert town.json(*restore, file)["restored"] == "app"
        town.release(*get, again)
        assert again.read_bytes() == first.read_bytes()
        again.unlink()
    # What is backed up now is the restored one.
    recovery.unlink()
    town.run("requester", "backup", "--profile", "app2", "--out", recovery)
    town.run("holder", "sync", "--profile", "alice")
    town.run(*restore, recovery)
    town.release(*get, again)
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.requirement("C8")
def test_a_holder_pulls_another_in(town, tmp_path):
    invitation = tmp_path / "dora.invitation"
    made = town.json("holder", "invite", "--profile", "alice", "--out", invitation)
    shown = town.json("roster", "show", "--profile", "alice")
    assert made["roster_hash"] == shown["hash"]
    town.person("dora")
    enrol = ("holder", "enrol", "--profile", "dora", "--invitation", invitation)
    town.run(*enrol, "--url", town.url, code=2)
    asked = town.json(*enrol, "--no-wait")
    assert asked["state"] == "waiting"
    (one,) = town.asked("roster.join")
    assert one["quoted"] == [
        {"by": "dora (not yet a member)", "what": "invited by", "text": "alice"}
    ], "who invites, as the joiner says"
    fingerprint = town.json("profile", "show", "--profile", "dora")["fingerprint"]
    assert fingerprint in one["summary"], "approvers compare it"
    town.approve(asked["proposal"], "bob", "carol")
    done = town.json(*enrol)
    assert (done["state"], done["index"]) == ("enrolled", 4)
    town.run("holder", "sync", "--profile", "dora")


@pytest.mark.requirement("C8")
def test_whom_an_invitation_makes_one_trust_is_shown_and_asked_first(town, tmp_path):
    """Its signature proves nothing yet: on a terminal nobody is contacted before a yes."""
    invitation = tmp_path / "dora.invitation"
    town.run("holder", "invite", "--profile", "alice", "--out", invitation)
    roster = town.json("roster", "show", "--profile", "alice")
    shown = (town.url, str(town.fingerprint), "alice", roster["hash"])
    enrol = ("holder", "enrol", "--profile", "dora", "--invitation", invitation, "--no-wait")
    terminal = town.at_terminal(*enrol)
    screen = terminal.asked("Go there?")
    assert all(word in screen for word in shown)
    outcome = terminal.answer("n\n")
    assert outcome.code == 3
    assert "nobody was contacted" in outcome.err
    assert "dora" not in [one["profile"] for one in town.json("profile", "list")]
    assert town.json("holder", "inbox", "--profile", "alice") == []
    terminal = town.at_terminal(*enrol)
    terminal.asked("Go there?")
    assert terminal.answer("y\n").code == 0
    assert len(town.asked("roster.join")) == 1
    again = town.at_terminal(*enrol).wait()  # it has met the authority: nothing to ask
    assert again.code == 0
    assert "Go there" not in again.err
    town.person("emil")  # without a terminal it is said, and goes on
    said = town.run("holder", "enrol", "--profile", "emil", *enrol[4:]).err
    assert all(word in said for word in shown)


@pytest.mark.requirement("C8")
def test_invitations_that_are_no_good(town, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    town.run("holder", "invite", "--profile", "alice", "--out", good, "--expires", "1h")
    raw = good.read_bytes()
    url = town.url.encode()
    assert url in raw
    bad.write_bytes(raw.replace(b"alice", b"carol"))
    town.person("dora")
    enrol = ("holder", "enrol", "--profile", "dora", "--invitation", bad)
    asked = town.json(*enrol, "--no-wait")
    town.approve(asked["proposal"], "bob", "carol")
    town.run(*enrol, code=5)  # not signed so by alice
    town.person("emil")
    expired = tmp_path / "expired"
    town.run("holder", "invite", "--profile", "alice", "--out", expired, "--expires", "0s", code=2)


@pytest.mark.requirement("C8")
@pytest.mark.requirement("C13")
def test_another_history_than_the_one_told_out_of_band(town):
    roster = town.json("roster", "show", "--profile", "bob")["hash"]
    wrong = roster[:-1] + ("0" if roster[-1] != "0" else "1")
    for role, name in ((Role.HOLDER, "dora"), (Role.REQUESTER, "app2")):
        town.person(name, role)
        enrol = (role.value, "enrol", "--profile", name, *town.where, "--roster-hash")
        asked = town.json(*enrol, wrong, "--no-wait")
        town.approve(asked["proposal"], "alice", "bob")
        told = town.json(*enrol, wrong, code=5)
        assert (told["error"], told["culprits"]) == ("peer-fault", ["authority"])
        assert town.json(*enrol, roster)["state"] == "enrolled", "an older version is in it too"
    town.run(*enrol, "zz", code=2)
