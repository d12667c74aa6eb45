"""The JSON keys, states and exit codes that scripts rely on, command by command."""

from __future__ import annotations

import json
import os
import stat

import pytest

from process_rig import HOLDERS, PASSPHRASE

KEY_COLUMNS = {
    *("key", "version", "epoch", "state", "suite", "threshold", "acknowledged"),
    "seen_by_authority",
}


def keys(document):
    assert isinstance(document, dict)
    return set(document)


def test_everywhere(town):
    assert keys(town.json("version")) >= {"version", "python", "openssl", "sodium", "secp256k1"}
    listed = town.json("profile", "list")
    assert [one["profile"] for one in listed] == ["alice", "app", "bob", "carol", "hq"]
    shown = town.json("profile", "show", "--profile", "bob")
    assert keys(shown) >= {"profile", "role", "name", "fingerprint", "store"}
    assert (shown["role"], shown["name"]) == ("holder", "bob")
    verified = town.json("audit", "verify", "--profile", "bob")
    assert keys(verified) >= {"ok", "entries", "root", "cosigned_by"}
    assert verified["ok"] is True
    assert verified["cosigned_by"] == ["alice", "bob"], "who has approved anything"
    entries = town.json("audit", "list", "--profile", "bob", "--since", "3")
    assert [entry["index"] for entry in entries] == list(range(3, entries[-1]["index"] + 1))
    assert all(keys(entry) >= {"time", "kind", "actor", "summary"} for entry in entries)


def test_the_authority(town):
    by_profile = town.json("authority", "status", "--profile", "hq")
    by_url = town.json("authority", "status", *town.where)
    assert by_profile == by_url
    assert keys(by_url) >= {
        *("state", "roster_version", "roster_hash", "holders", "threshold", "unlock"),
    }
    assert by_url["unlock"] == {"have": 1, "need": 1}
    assert (by_url["state"], by_url["holders"], by_url["threshold"]) == ("ready", 3, 2)


def test_init_prints_what_the_founder_needs(nowhere):
    made = nowhere.json(
        *("authority", "init", "--profile", "hq", "--listen", "127.0.0.1:0", "--threshold", "3"),
    )
    assert keys(made) == {"url", "fingerprint", "pin"}
    assert made["url"].startswith("https://127.0.0.1:")
    assert keys(nowhere.json("authority", "pin", "--profile", "hq")) == {"pin"}
    again = nowhere.run(
        *("authority", "init", "--profile", "hq", "--listen", "127.0.0.1:0", "--threshold", "3"),
        code=2,
    )
    assert "there is a profile hq already" in again.err
    assert stat.S_IMODE((nowhere.home / "hq").stat().st_mode) == 0o700


def test_members(town, tmp_path):
    holders = town.json("holder", "list", "--profile", "alice")
    assert [one["name"] for one in holders] == list(HOLDERS)
    assert all(keys(h) >= {"index", "state", "last_seen", "fragments"} for h in holders)
    assert {one["fragments"] for one in holders} == {2}
    enrolled = town.json("holder", "enrol", "--profile", "alice", *town.where)
    assert keys(enrolled) >= {"state", "proposal", "index", "roster_hash"}
    assert (enrolled["state"], enrolled["index"]) == ("enrolled", 1)
    synced = town.json("holder", "sync", "--profile", "carol")
    assert keys(synced) >= {"received", "sent", "acknowledged", "waiting_for"}
    unlocked = town.json("holder", "unlock", "--profile", "bob")
    assert unlocked == {"state": "ready", "have": 1, "need": 1, "restored": False}
    invited = town.json("holder", "invite", "--profile", "alice", "--out", tmp_path / "invitation")
    assert keys(invited) >= {"out", "roster_hash"}
    saved = town.json("requester", "backup", "--profile", "app", "--out", tmp_path / "recovery")
    assert keys(saved) >= {"out", "bytes"}
    assert "OLD_FRAGMENTS" in town.run("holder", "list", "--removed", "--profile", "bob").out
    own = town.run("holder", "remove", "alice", "--profile", "alice", "--no-wait", code=3)
    assert "alice has no vote on its own removal" in own.err
    for command in (("requester", "backup", "--out", tmp_path / "x"), ("authority", "status")):
        assert "is a holder, not a" in town.run(*command, "--profile", "alice", code=2).err


def test_a_refused_joiner_is_told_what_is_left_and_why(town, tmp_path):
    elsewhere = {"TALLY_HOME": str(tmp_path / "elsewhere")}
    enrol = ("holder", "enrol", *town.where, "--no-wait")
    taken = town.run(*enrol, "--profile", "new", "--name", "alice", code=3, **elsewhere)
    assert "the new profile new stays: try again with it, or delete" in taken.err
    renamed = town.run(*enrol, "--profile", "new", "--name", "new", code=2, **elsewhere)
    assert "a new name needs a new profile" in renamed.err
    asked = town.run(*enrol, "--profile", "dora", **elsewhere)
    whole = asked.out.split("tally holder approve ")[1][:64]
    for holder in ("alice", "bob"):
        town.run("holder", "reject", whole, "--reason", "who?", "--profile", holder)
    refused = town.run(*enrol, "--profile", "dora", code=3, **elsewhere)
    assert "the enrolment is rejected; why, as the authority says: “too many holders said no”" in (
        refused.err
    ), "no member reads who said no"
    listed = town.json("tally", "list", "--profile", "carol")
    assert (listed[-1]["state"], listed[-1]["why"]) == ("rejected", "who?; who?")


@pytest.mark.requirement("X1")
def test_rosters_and_tallies(town, tmp_path):
    shown = town.json("roster", "show", "--profile", "app")
    assert keys(shown) >= {"version", "hash", "holders", "requesters", "signed_by"}
    assert shown["signed_by"] == ["authority", "alice", "bob"]
    assert town.json("roster", "verify", "--profile", "app")["hash"] == shown["hash"]
    roster, tally = tmp_path / "roster", tmp_path / "tally"
    town.json("roster", "export", "--profile", "app", "--out", roster)
    offline = town.json("roster", "verify", "--in", roster, "--fingerprint", town.fingerprint)
    assert (offline["ok"], offline["hash"]) == (True, shown["hash"])
    listed = town.json("tally", "list", "--profile", "alice")
    made = [one for one in listed if one["kind"] == "custody.create"]
    assert sorted(one["body"]["key"] for one in made) == ["payroll", "vault"]
    town.json("tally", "export", made[0]["id"], "--profile", "alice", "--out", tally)
    verified = town.json("tally", "verify", tally, "--roster", roster)
    assert keys(verified) >= {"ok", "kind", "summary", "approved_by"}
    assert (verified["ok"], verified["approved_by"]) == (True, ["alice", "bob"])


def test_keys(town):
    listed = town.json("key", "list", "--profile", "app")
    assert all(keys(one) >= KEY_COLUMNS for one in listed)
    payroll = town.json("key", "show", "payroll", "--profile", "carol")
    vault = town.json("key", "show", "vault", "--profile", "carol")
    assert keys(payroll) >= KEY_COLUMNS
    assert (payroll["seen_by_authority"], vault["seen_by_authority"]) == (False, True)
    assert (payroll["suite"], vault["suite"]) == ("pedersen-ed25519", "shamir-gf256")
    assert (payroll["acknowledged"], payroll["threshold"], payroll["epoch"]) == ([1, 2, 3], 2, 1)
    assert town.run("key", "show", "nothing", "--profile", "app", code=3).out == ""


@pytest.mark.requirement("C7")
def test_a_key_from_proposal_to_file(town, tmp_path):
    create = ("key", "create", "wages", "--profile", "alice", "--requester", "app", "--acks", "2")
    asked = town.json(*create, "--no-wait")
    assert keys(asked) >= {"proposal", "key", "state"}
    assert (asked["key"], asked["state"]) == ("wages", "waiting")
    assert town.json(*create, "--no-wait")["proposal"] == asked["proposal"], "it resumes"
    (one,) = town.json("holder", "inbox", "--profile", "bob")
    assert keys(one) >= {
        *("id", "kind", "summary", "body", "proposer", "created", "expires"),
        *("approvals", "needed", "your_answer"),
    }
    assert one["your_answer"] is None
    assert (one["kind"], one["proposer"], one["approvals"], one["needed"]) == (
        *("custody.create", "alice", 1, 2),
    )
    assert keys(one["body"]) == {"key", "suite", "acks", "requester", "unattended"}
    approved = town.json("holder", "approve", one["id"], "--profile", "bob")
    assert keys(approved) >= {"id", "approvals", "needed", "state"}
    assert (approved["approvals"], approved["state"]) == (2, "complete")
    town.sync()
    done = town.json(*create, "--wait", "10")
    assert (done["proposal"], done["state"]) == (asked["proposal"], "active")

    out = tmp_path / "final"
    got = town.get("wages", out)
    assert keys(got) >= {"key", "version", "epoch", "approved_by", "out"}
    assert (got["key"], got["version"], got["epoch"], got["approved_by"]) == (
        *("wages", 1, 1, ["alice", "bob"]),
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.stat().st_size == 32


@pytest.mark.slow
@pytest.mark.requirement("C3")
@pytest.mark.requirement("C4")
@pytest.mark.requirement("C5")
@pytest.mark.requirement("C12")
def test_any_two_of_three_give_the_same_key(town, tmp_path):
    for key in ("payroll", "vault"):
        finals, privates = set(), set()
        for number, by in enumerate((("alice", "bob"), ("bob", "carol"))):
            final, private = tmp_path / f"{key}{number}", tmp_path / f"{key}{number}private"
            got = town.get(key, final, by=by)
            assert got["approved_by"] == sorted(by), "in the roster's order"
            town.get(key, private, "--form", "private", by=(by[1], by[0]))
            finals.add(final.read_bytes())
            privates.add(private.read_bytes())
        assert (len(finals), len(privates)) == (1, 1)
        assert not finals & privates


def test_waiting_for_a_release(town, tmp_path):
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", tmp_path / "k")
    waiting = town.json(*get, "--no-wait")
    assert waiting["state"] == "waiting"
    unanswered = town.json(*get, "--wait", "1", code=4)
    assert unanswered["proposal"] == waiting["proposal"], "the same request"
    assert (unanswered["error"], unanswered["code"]) == ("unavailable", 4)
    (one,) = town.asked()
    assert one["id"] == waiting["proposal"]
    assert one["body"]["reason"] == "r"
    town.approve(one["id"], "alice", "carol")
    town.sync("alice")
    assert not (tmp_path / "k").exists()
    assert town.json(*get, "--wait", "20")["approved_by"] == ["alice", "carol"]
    assert (tmp_path / "k").stat().st_size == 32


def test_a_rejected_release(town, tmp_path):
    out = tmp_path / "k"
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "no reason", "--out", out)
    waiting = town.start(*get, "--wait", "30", "--json")
    (one,) = town.asked()
    first = town.json("holder", "reject", one["id"], "--profile", "alice", "--reason", "not so")
    assert first["state"] == "pending"
    last = town.json("holder", "reject", one["id"], "--profile", "bob")
    assert last["state"] == "rejected"
    outcome = waiting.wait()
    assert outcome.code == 3, str(outcome)
    document = outcome.document()
    assert (document["error"], document["code"]) == ("refused", 3)
    assert "not so" in outcome.err
    assert not out.exists()
    again = town.json(*get, "--no-wait")
    assert again["proposal"] != one["id"], "one may ask again"


def test_a_rejected_key_and_a_rejected_holder(town):
    asked = town.json("key", "create", "odd", "--profile", "alice", "--no-wait")
    for name in ("bob", "carol"):
        town.run("holder", "reject", asked["proposal"], "--profile", name)
    told = town.run("key", "create", "odd", "--profile", "alice", "--wait", "1", code=3)
    assert "rejected" in told.err
    town.person("dora")
    enrol = ("holder", "enrol", "--profile", "dora", *town.where)
    joining = town.json(*enrol, "--no-wait")
    assert joining["state"] == "waiting"
    for name in ("bob", "carol"):
        town.run("holder", "reject", joining["proposal"], "--profile", name)
    assert "rejected" in town.run(*enrol, "--no-wait", code=3).err


@pytest.mark.requirement("C11")
def test_passphrases(town):
    sync = ("holder", "sync", "--profile", "alice")
    wrong = town.json(*sync, code=3, TALLY_PASSPHRASE="wrong")
    assert (wrong["error"], wrong["code"]) == ("refused", 3)
    none = town.json(*sync, code=2, TALLY_PASSPHRASE=None)
    assert "no terminal" in none["message"]
    file = town.home.parent / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    file.chmod(0o600)
    town.run(*sync, "--passphrase-file", file, TALLY_PASSPHRASE=None)


def test_malformed_files(town, tmp_path):
    """Exit 5, one line, nothing written."""
    rubbish, out = tmp_path / "rubbish", tmp_path / "out"
    rubbish.write_bytes(os.urandom(500))
    roster = tmp_path / "roster"
    town.run("roster", "export", "--profile", "alice", "--out", roster)
    decrypt = ("decrypt", "--profile", "app", "--key", "payroll", "--reason", "r")
    commands = (
        ("roster", "verify", "--in", rubbish),
        ("tally", "verify", rubbish, "--roster", roster),
        ("tally", "verify", roster, "--roster", roster),
        (*decrypt, "--in", rubbish, "--out", out),
        ("holder", "enrol", "--profile", "eve", "--invitation", rubbish),
        ("requester", "restore", "--profile", "app", "--in", rubbish),
    )
    for command in commands:
        outcome = town.run(*command, "--json", code=5)
        document = json.loads(outcome.out)
        assert document["error"] == "malformed", outcome
        assert outcome.err.count("\n") == 1
    assert not out.exists()
    assert not (town.home / "eve").exists()


def test_a_store_that_is_damaged(stopped_town):
    path = stopped_town.home / "hq" / "store.db"
    raw = bytearray(path.read_bytes())
    for offset in range(4096, len(raw), 512):
        raw[offset : offset + 64] = os.urandom(64)
    path.write_bytes(raw)
    outcome = stopped_town.run("authority", "run", "--profile", "hq", code=6)
    assert outcome.err.count("\n") == 1
    alice = stopped_town.home / "alice" / "identity"
    alice.write_bytes(alice.read_bytes()[:-1])
    damaged = stopped_town.json("holder", "inbox", "--profile", "alice", code=6)
    assert (damaged["error"], damaged["code"]) == ("corrupt", 6)


def test_usage(town):
    no_such = town.json("holder", "sync", "--profile", "nobody", code=2)
    assert no_such["error"] == "usage"
    assert town.run("holder", "sync", "--profile", "app", code=2).err.count("\n") == 1
    assert town.run("key", "get", "payroll", "--profile", "app", code=2).out == ""
    short = town.run("key", "create", "x", "--profile", "alice", "--acks", "1", code=2)
    assert "acks" in short.err
    many = town.run("key", "create", "x", "--profile", "alice", "--acks", "4", "--no-wait", code=3)
    assert "acks" in many.err
    unknown = ("key", "create", "x", "--profile", "alice", "--requester", "zoe", "--no-wait")
    assert "zoe" in town.run(*unknown, code=3).err
    taken = town.run("key", "create", "payroll", "--profile", "carol", "--no-wait", code=3)
    assert "already" in taken.err


def test_nobody_listens(stopped_town):
    told = stopped_town.json("holder", "sync", "--profile", "alice", code=4)
    assert (told["error"], told["code"]) == ("unavailable", 4)
    status = stopped_town.run("authority", "status", "--profile", "hq", code=4)
    assert status.err.count("\n") == 1


def test_a_wrong_fingerprint_sends_nothing(town):
    town.person("mallory")
    other = town.json("profile", "show", "--profile", "mallory")["fingerprint"]
    told = town.json(
        *("holder", "enrol", "--profile", "mallory", "--url", town.url, "--fingerprint", other),
        code=5,
    )
    assert told["error"] == "invalid-signature"
    town.run("authority", "status", "--url", town.url, "--fingerprint", other, code=5)


def test_no_home_and_no_tally_home(town):
    told = town.json("profile", "list", code=2, HOME=None, TALLY_HOME=None)
    assert "neither TALLY_HOME nor HOME" in told["message"]
    home = town.home.parent / "person"
    home.mkdir()
    town.home.rename(home / ".tigertally")
    listed = town.json("profile", "list", HOME=str(home), TALLY_HOME=None)
    assert len(listed) == 5
    (home / ".tigertally").rename(town.home)
