"""`kill -9` at every journal step: nothing acknowledged is lost, the same command again finishes.

A journal step is a commit of a process's store (just before, just after) and a message (just
before it is sent, just after its answer has come); `fork_server` has the hook.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from process_rig import HOLDERS, PASSPHRASE
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.custody.client.rows import DEALT, all_held
from tigertally.node.profile import open_profile
from tigertally.quorum.card import Role
from walks import strides

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

KILLED = -signal.SIGKILL


def killed_at(town, step, *args):
    """Run a command that dies at its N-th step; whether it did. Otherwise it must have worked."""
    code = town.start(*args, FAULT_AT=str(step)).wait().code
    assert code in {KILLED, 0}, (args, step)
    return code == KILLED


def every_step(town, command, *, stride):
    """The same command, killed at later and later steps until it comes to its end; how many.

    Every `stride`-th from one that the seed draws; each in `make walk`.
    """
    for step in strides(stride, " ".join(str(word) for word in command[:4])):
        if not killed_at(town, step, *command):
            return step - 1
    raise AssertionError("strides do not end")


@pytest.mark.walk
def test_a_holder_killed_while_it_creates_a_key(town):
    """For each step a key of its own, so that no run profits from the one before.

    Every fourth step, each in `make walk`; in memory too: `scenarios/test_crashes.py`.
    """
    steps = []
    for step in strides(4, "create"):
        steps.append(step)
        create = ("key", "create", f"k{step}", "--profile", "alice", "--no-wait")
        killed = killed_at(town, step, *create)
        assert town.json(*create)["state"] == "waiting"
        if not killed:
            break
    assert step > 12, "steps were found"
    pending = town.json("holder", "inbox", "--profile", "bob")
    asked = {int(one["body"]["key"][1:]): one["id"] for one in pending}
    assert len(asked) == len(pending), "one each"
    assert sorted(asked) == steps
    for number, proposal in sorted(asked.items()):
        approve = ("holder", "approve", proposal, "--profile", "bob")
        killed_at(town, number, *approve)
        assert town.json(*approve)["state"] == "complete"
    for name in HOLDERS:
        every_step(town, ("holder", "sync", "--profile", name), stride=6)
    town.sync()
    for key in town.json("key", "list", "--profile", "alice"):
        assert (key["state"], key["acknowledged"]) == ("active", [1, 2, 3]), key


@pytest.mark.walk
@pytest.mark.requirement("C4")
def test_everybody_killed_while_a_key_is_released(town, tmp_path):
    expected = tmp_path / "expected"
    town.get("payroll", expected)
    requests = {}
    for step in strides(4, "release"):
        get = ("key", "get", "payroll", "--profile", "app", "--reason", f"r{step}", "--out")
        get = (*get, tmp_path / f"k{step}")
        killed = killed_at(town, step, *get, "--no-wait")
        requests[step] = get, town.json(*get, "--no-wait")["proposal"]
        if not killed:
            break
    assert step > 8
    assert len(town.json("holder", "inbox", "--profile", "bob")) == len(requests), "one each"
    for place, (number, (get, proposal)) in enumerate(requests.items()):
        for name in ("alice", "bob"):
            approve = ("holder", "approve", proposal, "--profile", name)
            killed_at(town, number + 2, *approve)  # the first steps are the sync, tried above
            town.run(*approve)
        if place == 0:
            every_step(town, ("holder", "sync", "--profile", "alice"), stride=4)
        town.sync("alice")
        out = tmp_path / f"k{number}"
        if killed_at(town, number, *get, "--wait", "20") and not out.exists():
            town.run(*get, "--wait", "20")  # once it has ended well it would ask anew
        assert out.read_bytes() == expected.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.walk
@pytest.mark.requirement("C6")
def test_a_holder_killed_while_it_unlocks(locked_town):
    town = locked_town
    steps = every_step(town, ("holder", "unlock", "--profile", "alice"), stride=2)
    assert steps >= 5
    assert town.json("authority", "status", "--profile", "hq")["state"] == "ready"
    assert town.json("audit", "verify", "--profile", "alice")["ok"]


@pytest.mark.walk
@pytest.mark.requirement("C8")
def test_a_founder_and_others_killed_while_they_enrol(nowhere):
    pin = nowhere.make_authority()
    nowhere.person("alice")
    found = ("holder", "enrol", "--profile", "alice", *nowhere.where, "--pin", pin)
    assert every_step(nowhere, found, stride=2) >= 5
    assert nowhere.json(*found)["state"] == "enrolled"
    for name, role, by in (
        ("bob", Role.HOLDER, ("alice",)),
        ("app", Role.REQUESTER, ("alice", "bob")),
    ):
        nowhere.person(name, role)
        enrol = (role.value, "enrol", "--profile", name, *nowhere.where)
        assert every_step(nowhere, (*enrol, "--no-wait"), stride=3) >= 3
        (one,) = nowhere.json("holder", "inbox", "--profile", "alice")
        for approver in by:
            every_step(nowhere, ("holder", "approve", one["id"], "--profile", approver), stride=4)
            nowhere.run("holder", "approve", one["id"], "--profile", approver)
        every_step(nowhere, enrol, stride=3)
        assert nowhere.json(*enrol)["state"] == "enrolled"
    roster = nowhere.json("roster", "show", "--profile", "bob")
    assert [one["name"] for one in roster["holders"]] == ["alice", "bob"]
    assert [one["name"] for one in roster["requesters"]] == ["app"]
    create = ("key", "create", "first", "--profile", "alice")
    asked = nowhere.json(*create, "--no-wait")
    nowhere.approve(asked["proposal"], "bob")
    nowhere.sync("alice", "bob")
    assert nowhere.json(*create, "--wait", "20")["state"] == "active"


class Unlucky:
    """A domain whose authority and one holder's daemon die again and again, at drawn steps.

    Lives grow with the number of deaths: whatever takes time (the one-shot child on a busy
    machine, a daemon's pause before it tries again) comes to its end in one of them.
    """

    def __init__(self, town, seed):
        self.town = town
        self.draw = random.Random(seed)
        self.deaths = 0
        self.carol = None
        self.restart()

    def restart(self):
        """Up again, and to die later; the unlocking itself may be what kills it."""
        while True:
            life = self.draw.randrange(6, 90 + self.deaths**2)
            self.town.authority_up(FAULT_AT=str(life))
            if self.town.start("holder", "unlock", "--profile", "bob").wait().code == 0:
                return
            assert self.town.authority.ended(10)
            self.deaths += 1

    def run(self, *args):
        """A command, repeated until it is done, as a person would."""
        for _ in range(20):
            if self.town.authority.ended():
                assert self.town.authority.wait().code == KILLED
                self.deaths += 1
                self.restart()
            if self.carol is None or self.carol.ended():
                run = ("holder", "run", "--profile", "carol")
                self.carol = self.town.start(*run, FAULT_AT=str(self.draw.randrange(1, 60)))
            outcome = self.town.start(*args).wait()
            if outcome.code == 0:
                return outcome
            assert outcome.code == 4, str(outcome)
        raise AssertionError(f"never done: {outcome}")

    def until_active(self, create):
        """The holders sync until the key is there; the authority's child may need a while.

        carol syncs by hand too: her daemon waits for up to half a minute once it has found the
        authority away or locked a few times, and it may find it so at each try.
        """
        for _ in range(200):
            for name in ("bob", "carol"):
                self.run("holder", "sync", "--profile", name)
            asked = self.run(*create, "--no-wait", "--json").document()
            if asked["state"] == "active":
                return
        raise AssertionError(asked)


def test_an_authority_and_a_daemon_that_die_all_the_time(stopped_town, tmp_path):
    """More of it, drawn anew each time one asks: `make soak`."""
    town = stopped_town
    unlucky = Unlucky(town, seed=0)
    complete = set()
    for key, suite in (("one", "pedersen-ed25519"), ("two", "shamir-gf256")):
        create = ("key", "create", key, "--profile", "alice", "--suite", suite)
        asked = unlucky.run(*create, "--no-wait", "--json").document()
        unlucky.run("holder", "approve", asked["proposal"], "--profile", "bob")
        complete.add(asked["proposal"])
        unlucky.until_active(create)
        get = ("key", "get", key, "--profile", "app", "--reason", "r", "--out", tmp_path / key)
        asked = unlucky.run(*get, "--no-wait", "--json").document()
        for name in ("bob", "alice"):
            unlucky.run("holder", "approve", asked["proposal"], "--profile", name)
        complete.add(asked["proposal"])
        for name in ("bob", "alice"):
            unlucky.run("holder", "sync", "--profile", name)
        unlucky.run(*get, "--wait", "10")
        assert (tmp_path / key).stat().st_size == 32
    assert unlucky.deaths >= 3
    town.authority.kill()
    town.authority_up()
    town.unlock("carol")
    town.sync()
    tallies = {one["id"]: one["state"] for one in town.json("tally", "list", "--profile", "bob")}
    assert {tallies[proposal] for proposal in complete} == {"complete"}
    for key in town.json("key", "list", "--profile", "alice"):
        assert (key["state"], key["acknowledged"]) == ("active", [1, 2, 3]), key
    for name in HOLDERS:
        assert town.json("audit", "verify", "--profile", name)["ok"], "no history was lost"


class Mortal:
    """A domain unlocked by two, whose authority dies every so many steps, and each command once."""

    def __init__(self, town):
        self.town = town
        self.lives = itertools.count(15, 19)
        self.steps = itertools.cycle(range(2, 26, 3))
        self.deaths = {"authority": 0, "devices": 0}

    def up(self):
        """The authority is up and unlocked; both who unlock it die once, too."""
        while True:
            self.town.authority_up(FAULT_AT=str(next(self.lives)))
            for name in ("alice", "bob"):
                unlock = ("holder", "unlock", "--profile", name)
                self.once(*unlock, FAULT_AT="3")
                self.once(*unlock)
            if not self.town.authority.ended():
                return
            self.deaths["authority"] += 1

    def once(self, *args, **environment):
        """One try; what it may end with, ended it."""
        outcome = self.town.start(*args, **environment).wait()
        self.deaths["devices"] += outcome.code == KILLED
        assert outcome.code in {0, 4, KILLED}, str(outcome)
        return outcome

    def run(self, *args):
        """A command that is killed once, and given again until it is done."""
        environment = {"FAULT_AT": str(next(self.steps))}
        for _ in range(20):
            outcome = self.once(*args, **environment)
            environment = {}
            if self.town.authority.ended():
                assert self.town.authority.wait().code == KILLED
                self.deaths["authority"] += 1
                self.up()
            if outcome.code == 0:
                return outcome
        raise AssertionError(f"never done: {outcome}")

    def asked(self, *args):
        """The proposal that a command makes; the others approve it."""
        return self.run(*args, "--no-wait", "--json").document()["proposal"]

    def until_epoch(self, epoch, *holders):
        """These sync until every key is active in this epoch, and once more."""
        for _ in range(30):
            for name in holders:
                self.run("holder", "sync", "--profile", name)
            keys = self.run("key", "list", "--profile", holders[0], "--json").document()
            if {(key["state"], key["epoch"]) for key in keys} == {("active", epoch)}:
                break
        else:
            raise AssertionError(keys)
        for name in holders:
            self.run("holder", "sync", "--profile", name)
        return keys


@pytest.mark.requirement("C6")
@pytest.mark.requirement("C9")
@pytest.mark.requirement("C10")
def test_everybody_killed_while_holders_come_and_go_and_two_unlock(town, tmp_path):
    """Every step in memory: `scenarios/test_crashes.py`."""

    def released(name, *by):
        for key in ("payroll", "vault"):
            town.get(key, tmp_path / f"{key}-{name}", by=by)
        return [(tmp_path / f"{key}-{name}").read_bytes() for key in ("payroll", "vault")]

    before = released("before", "alice", "carol")
    quorum = ("quorum", "set", "--threshold", "2", "--unlock", "2", "--profile", "alice")
    asked = town.json(*quorum, "--no-wait")
    town.approve(asked["proposal"], "bob")
    town.authority.kill()
    mortal = Mortal(town)
    mortal.up()
    town.person("dora")
    enrol = ("holder", "enrol", "--profile", "dora", *town.where)
    proposal = mortal.asked(*enrol)
    for name in ("alice", "bob"):
        mortal.run("holder", "approve", proposal, "--profile", name)
    mortal.run(*enrol)
    everybody = ("alice", "bob", "carol", "dora")
    known = {key["epoch"] for key in mortal.until_epoch(2, *everybody)}
    proposal = mortal.asked("holder", "remove", "carol", "--profile", "alice")
    mortal.run("holder", "approve", proposal, "--profile", "bob")
    left = ("alice", "bob", "dora")
    keys = mortal.until_epoch(max(known) + 1, *left)
    assert [key["acknowledged"] for key in keys] == [[1, 2, 4]] * 2
    assert min(mortal.deaths.values()) >= 5, mortal.deaths

    town.authority.kill()  # this one does not die of itself
    town.authority_up()
    town.unlock("alice")
    town.unlock("dora")
    for name in left:
        town.run("holder", "sync", "--profile", name)
    assert released("after", "bob", "dora") == before
    epochs = {name: epochs_of(town, name) for name in left}
    assert all(len(held) == 2 for held in epochs.values()), "one of each suite"
    assert len({frozenset(held) for held in epochs.values()}) == 1, "the same everywhere"


def epochs_of(town, name):
    """The epochs on a device's disk; all of them certified."""
    passphrase = Secret(PASSPHRASE.encode())
    with (
        open_profile(town.home, Name(name), passphrase=lambda: passphrase) as profile,
        profile.store.reading() as reader,
    ):
        held = list(all_held(reader))
        assert all(one.certificate is not None for one in held)
        assert not list(reader.scan(DEALT))
    return {one.parsed().hash for one in held}


def child_at_work(town, key):
    """The authority's one-shot child, stopped in the middle of making this key."""
    create = ("key", "create", key, "--profile", "alice", "--suite", "shamir-gf256", "--no-wait")
    asked = town.json(*create)
    pid = town.authority.pid
    working = town.start("holder", "approve", asked["proposal"], "--profile", "bob")
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in map(int, children.read_text().split()):
            # Not before it runs its own program: until then its parent waits for it.
            if b"custody.service.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGSTOP)
                assert working.wait().code == 0
                return child
    raise AssertionError("no child was started")


def gone(pid):
    """Whether a process ends; a dead one whose parent has not looked yet counts."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="finds the child in /proc (Linux)")
def test_the_authority_ends_while_its_child_works(town):
    """Stopped, it takes the child with it; killed, the child ends by itself; the key comes."""
    child = child_at_work(town, "stopped")
    town.authority_down()
    assert gone(child)
    town.authority_up()
    town.unlock()
    town.await_active("stopped")
    child = child_at_work(town, "killed")
    town.authority.kill()
    os.kill(child, signal.SIGCONT)
    assert gone(child)
    town.authority_up()
    town.unlock()
    town.await_active("killed")
