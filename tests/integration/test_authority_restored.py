"""The authority's disk dies: its back-up becomes a new profile, and everybody sees it."""

from __future__ import annotations

import shutil
import signal
import stat

import pytest

from process_rig import HOLDERS

pytestmark = [pytest.mark.slow, pytest.mark.requirement("C6")]

KILLED = -signal.SIGKILL


def killed_at(town, step, *args):
    code = town.start(*args, FAULT_AT=str(step)).wait().code
    assert code in {KILLED, 0}, (args, step)
    return code == KILLED


def steps_until_done(town, *args):
    """The same command, killed at one step after the other, until it comes to its end."""
    step = 1
    while killed_at(town, step, *args):
        yield step
        step += 1


def test_the_authoritys_disk_dies(town, tmp_path):
    file, late = tmp_path / "hq.backup", tmp_path / "late"
    written = town.json("authority", "backup", "--profile", "hq", "--out", file)
    assert written["bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    town.create("late")
    town.get("late", late)
    town.authority.kill()
    shutil.rmtree(town.home / "hq")

    restore = ("authority", "restore", "--profile", "hq", "--in", file)
    town.run(*restore, code=3, TALLY_PASSPHRASE="wrong")
    died = 0
    for _ in steps_until_done(town, *restore):
        died += 1
        if (town.home / "hq").exists():  # killed just after it got its name: all of it is there
            break
    assert died >= 3
    town.run(*restore, code=2)
    assert not list(town.home.glob(".hq.*"))

    unlock = ("holder", "unlock", "--accept-rollback", "--profile")
    town.authority_up()
    status = town.json("authority", "status", "--profile", "hq")
    assert (status["state"], status["unlock"]) == ("locked", {"have": 0, "need": 2})
    assert status["restored"] is True
    said = town.run("holder", "unlock", "--profile", "alice", code=5).err
    assert "loses entries" in said
    town.authority.kill()
    town.authority_up(FAULT_AT="17")  # every step in memory: scenarios/test_restore.py
    for name in ("alice", "bob"):
        town.start(*unlock, name).wait()
    town.authority.kill()
    town.authority_up()
    town.start(*unlock, "alice").wait()
    town.run(*unlock, "bob")
    status = town.json("authority", "status", "--profile", "hq")
    assert (status["state"], status["restored"]) == ("ready", False)
    first = town.run("holder", "inbox", "--profile", "carol").err
    assert "restored from a back-up" in first
    assert "restored" not in town.run("holder", "inbox", "--profile", "carol").err, "told once"
    town.sync()
    again = tmp_path / "again"
    town.get("late", again, by=("bob", "carol"))
    assert again.read_bytes() == late.read_bytes()
    for name in HOLDERS:
        assert town.json("audit", "verify", "--profile", name)["ok"]
    kinds = [one["kind"] for one in town.json("audit", "list", "--profile", "app")]
    assert kinds.count("authority.restored") == 1
    assert kinds.count("restore.accepted") >= 2
