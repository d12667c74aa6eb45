"""A key rotated, another imported, both destroyed: the three commands on real processes."""

from __future__ import annotations

import json
import os

import pytest

from tigertally.quorum.card import Role

KEEP = b"kept under the first version" * 100


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("C2")
@pytest.mark.requirement("C5")
@pytest.mark.requirement("C7")
def test_rotated_imported_destroyed(town, tmp_path):
    """Files of the old version open until it is destroyed; an import comes back to anybody."""
    plain, sealed, opened = (tmp_path / name for name in ("plain", "sealed", "opened"))
    plain.write_bytes(KEEP)

    file = ("--profile", "app", "--key", "payroll", "--reason", "a file")
    encrypted = town.release("encrypt", *file, "--in", plain, "--out", sealed)
    assert encrypted["version"] == 1

    rotate = ("key", "rotate", "payroll", "--profile", "alice")
    asked = town.json(*rotate, "--no-wait")
    assert {k: asked[k] for k in ("key", "version", "state")} == {
        "key": "payroll",
        "version": 2,
        "state": "waiting",
    }
    (one,) = town.json("holder", "inbox", "--profile", "bob")
    assert (one["kind"], one["body"]["version"]) == ("custody.rotate", 2)
    town.approve(one["id"], "bob")
    town.sync()
    again = town.json(*rotate, "--wait", "30")
    assert (again["proposal"], again["state"]) == (asked["proposal"], "active")
    shown = town.json("key", "show", "payroll", "--profile", "app")
    assert shown["version"] == 2
    assert shown["versions"] == [
        *({"version": 1, "state": "active"}, {"version": 2, "state": "active"}),
    ]
    old, new = tmp_path / "old", tmp_path / "new"
    assert town.get("payroll", new)["version"] == 2
    assert town.get("payroll", old, "--version", "1")["version"] == 1
    assert old.read_bytes() != new.read_bytes()
    decrypted = town.release("decrypt", *file, "--in", sealed, "--out", opened)
    assert decrypted["version"] == 1
    assert opened.read_bytes() == KEEP

    secret = tmp_path / "seed"
    secret.write_bytes(os.urandom(1000))
    bring = ("key", "import", "wallet", "--profile", "app", "--in", secret)
    made = town.json(*bring, "--no-wait")
    assert (made["key"], made["state"]) == ("wallet", "waiting")
    town.approve(made["proposal"], "alice", "bob")
    town.sync()
    wanted = town.json(*bring, "--no-wait")
    assert wanted["state"] == "waiting"
    assert wanted["proposal"] != made["proposal"], "now the release"
    town.approve(wanted["proposal"], "bob", "carol")
    town.sync("bob")
    stored = town.json(*bring, "--wait", "30")
    assert (stored["proposal"], stored["state"]) == (made["proposal"], "active")
    assert town.json("key", "show", "wallet", "--profile", "bob")["stored"] > 1000
    town.enrol("batch", Role.REQUESTER, by=("alice", "bob"))
    out = tmp_path / "wallet"
    get = ("key", "get", "wallet", "--profile", "batch", "--reason", "r", "--out", out)
    town.release(*get, "--form", "private")
    assert out.read_bytes() == secret.read_bytes()
    refused = town.run(*rotate[:2], "wallet", *rotate[3:], "--no-wait", code=3)
    assert "imported" in refused.err
    empty = tmp_path / "empty"
    empty.touch()
    town.run("key", "import", "none", "--profile", "app", "--in", empty, code=2)

    destroy = ("key", "destroy", "payroll", "--version", "1", "--profile", "alice")
    asked = town.json(*destroy, "--no-wait")
    assert asked["state"] == "waiting"
    town.approve(asked["proposal"], "bob")
    done = town.json(*destroy, "--wait", "30")
    assert (done["state"], done["erased"], done["missing"]) == ("destroyed", [1, 2], [3])
    late = town.run("decrypt", *file, "--in", sealed, "--out", tmp_path / "late", code=3)
    assert "destroyed" in late.err
    assert town.json("holder", "sync", "--profile", "carol")["erased"] == 1
    gone = town.json("key", "show", "payroll", "--version", "1", "--profile", "carol")
    assert (gone["state"], gone["erased"], gone["missing"]) == ("destroyed", [1, 2, 3], [])
    assert town.get("payroll", tmp_path / "still")["version"] == 2
    everything = town.json("key", "destroy", "wallet", "--profile", "bob", "--no-wait")
    town.approve(everything["proposal"], "carol")
    town.sync()
    entries = town.json("audit", "list", "--profile", "carol")
    kinds = [entry["kind"] for entry in entries]
    assert (kinds.count("custody.destroyed"), kinds.count("custody.erased")) == (2, 6)
    assert json.dumps(entries).count("custody.imported") == 1
    assert town.json("audit", "verify", "--profile", "alice")["ok"] is True
