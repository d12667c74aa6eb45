"""Yesterday's program and today's in one domain: what the old one knew still works.

Everything here is real: the processes of yesterday's wheel, and the home that they left behind.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import tomorrow
from process_rig import HOLDERS, PASSPHRASE, SECONDS, ForkServer
from tigertally.base.clock import SystemClock
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.messages.kinds import Create, Suite
from tigertally.node.connect import connected
from tigertally.node.profile import open_profile
from tigertally.quorum.member.client import Synced
from tigertally.quorum.proposal import options_body, proposal_id
from versions_rig import MixedTown, Recorded, mixed_town

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.requirement("C4"),
    pytest.mark.requirement("C6"),
    pytest.mark.requirement("C7"),
    pytest.mark.requirement("C9"),
    pytest.mark.requirement("X8"),
]

EVERYBODY = ("hq", *HOLDERS, "erin", "app", "job")
ASKED = {  # key and version: who asks, in which form
    "payroll 1": ("app", "final"),
    "vault 1": ("app", "final"),
    "nightly 1": ("job", "final"),
    "ledger 1": ("app", "final"),
    "ledger 2": ("app", "final"),
    "legacy 1": ("app", "private"),
    "late 1": ("app", "final"),
}
EPOCHS = {name: 3 if name in ("payroll 1", "vault 1") else 1 for name in ASKED}
GONE = ("gone 1", "destroyed", 1)

Domain = Callable[..., AbstractContextManager[MixedTown]]


@pytest.fixture
def domain(
    base: Recorded, fork_server: ForkServer, old_server: ForkServer, tmp_path: Path
) -> Domain:
    """Make the recorded domain, with these profiles on yesterday's program."""

    @contextmanager
    def make(*runs_old: str) -> Iterator[MixedTown]:
        servers = {"server": fork_server, "old": old_server}
        with mixed_town(base, tmp_path, runs_old=set(runs_old), **servers) as town:
            yield town

    return make


def keys_of(town: MixedTown, *wanted: str, by: tuple[str, str] = ("alice", "bob")) -> Any:
    """The keys as their requesters get them, released by two holders."""
    before = {one["id"] for one in town.json("holder", "inbox", "--profile", by[0])}
    running, outs = [], {}
    for name in wanted:
        key, version = name.split()
        asker, form = ASKED[name]
        out = outs[name] = town.home.parent / f"{key}-{version}-{time.monotonic_ns()}"
        get = ("key", "get", key, "--version", version, "--profile", asker, "--form", form)
        words = (*get, "--out", out, "--reason", f"for {out.name}")
        running.append(town.start(*words, "--wait", "120", "--json"))
    for id_ in new_proposals(town, before, len(wanted)):
        town.approve(id_, *by)
    town.sync(by[0])
    for command in running:
        ended = command.wait(150)
        assert ended.code == 0, str(ended)
    return {name: out.read_bytes().hex() for name, out in outs.items()}


def new_proposals(town: MixedTown, before: set[str], number: int) -> list[str]:
    """The ids of so many proposals that were not there before."""
    deadline = time.monotonic() + SECONDS
    while True:
        inbox = town.json("holder", "inbox", "--profile", "alice")
        found = [one["id"] for one in inbox if one["id"] not in before]
        if len(found) == number:
            return found
        assert time.monotonic() < deadline, found


def await_keys(town: MixedTown, epochs: dict[str, int], *holders: str) -> None:
    """These sync until the domain has exactly these keys, active in these epochs."""
    deadline = time.monotonic() + SECONDS
    wanted = {GONE, *((name, "active", epoch) for name, epoch in epochs.items())}
    while True:
        town.sync(*holders)
        listed = town.json("key", "list", "--profile", holders[0])
        found = {(f"{k['key']} {k['version']}", k["state"], k["epoch"]) for k in listed}
        if found == wanted:
            return
        assert time.monotonic() < deadline, f"{found ^ wanted}"


def create(town: MixedTown, key: str, *, by: tuple[str, str]) -> None:
    """One holder proposes a key, another approves it."""
    asked = town.json("key", "create", key, "--profile", by[0], "--no-wait")
    town.approve(asked["proposal"], by[1])


def let_erin_in(town: MixedTown, base: Recorded, *by: str) -> None:
    """The request that waits since yesterday is approved; erin takes up her own command again."""
    assert town.approve(base.facts["pending"]["join"], *by)["state"] == "complete"
    assert town.json("holder", "enrol", "--profile", "erin", *town.where)["state"] == "enrolled"


def audited(town: MixedTown, *names: str) -> None:
    """These verify the whole log, and the checkpoints that all others have seen."""
    for name in names:
        found = town.json("audit", "verify", "--profile", name)
        assert found["ok"]
        assert {"alice", "bob"} <= set(found["cosigned_by"])


def tallies(town: MixedTown, name: str) -> list[list[str]]:
    listed = town.json("tally", "list", "--profile", name)
    return [[one["id"], one["kind"], one["state"]] for one in listed]


def test_all_are_upgraded(base: Recorded, domain: Domain, tmp_path: Path) -> None:
    with domain() as town:
        town.authority_up()
        town.unlock()
        assert tallies(town, "alice") == base.facts["tallies"]
        audited(town, "bob")
        log = town.json("audit", "list", "--profile", "app")
        assert [one["kind"] for one in log].count("store.upgraded") == 1
        then = datetime.fromisoformat(log[-1]["time"]).timestamp() - base.facts["recorded_at"]
        assert 0 < then < 600, "the clocks stand where they stood"
        await_keys(town, EPOCHS, *HOLDERS)

        assert town.approve(base.facts["pending"]["release"], "carol")["state"] == "complete"
        town.sync("bob")  # his fragment was wrapped yesterday, and has waited since
        get = ("key", "get", "payroll", "--profile", "app", "--reason", "waits")
        got = town.json(*get, "--out", tmp_path / "waited")
        assert got["approved_by"] == ["bob", "carol"]
        assert (tmp_path / "waited").read_bytes().hex() == base.keys["payroll 1"]
        assert town.approve(base.facts["pending"]["create"], "bob")["state"] == "complete"
        await_keys(town, {**EPOCHS, "draft 1": 1}, *HOLDERS)
        assert keys_of(town, *ASKED) == base.keys

        let_erin_in(town, base, "alice", "bob")
        grown = {name: epoch + 1 for name, epoch in {**EPOCHS, "draft 1": 1}.items()}
        await_keys(town, grown, *HOLDERS, "erin")
        asked = town.json("key", "rotate", "nightly", "--profile", "alice", "--no-wait")
        town.approve(asked["proposal"], "erin")
        await_keys(town, {**grown, "nightly 2": 1}, *HOLDERS, "erin")
        shown = town.json("key", "show", "nightly", "--profile", "carol")
        assert (shown["requesters"], shown["unattended"]) == (["job"], True)
        some = ("payroll 1", "vault 1", "legacy 1")
        assert keys_of(town, *some, by=("alice", "erin")) == {n: base.keys[n] for n in some}

        town.authority_down()  # a store that today's program has opened is not for yesterday's
        for words in (
            ("holder", "inbox", "--profile", "alice"),
            ("authority", "run", "--profile", "hq"),
        ):
            town.runs_old = set(EVERYBODY)
            refused = town.run(*words, code=2).err
            assert "a newer version of Tigertally wrote this store" in refused
        town.upgrade(*EVERYBODY)
        town.authority_up()  # and it was left as it was
        town.unlock("bob")
        assert keys_of(town, "late 1") == {"late 1": base.keys["late 1"]}
        kinds = [one["kind"] for one in town.json("audit", "list", "--profile", "app")]
        assert kinds.count("store.upgraded") == 1


def test_the_authority_is_upgraded_first(base: Recorded, domain: Domain) -> None:
    """Then bob and erin, and carol in the middle of it; alice and the requesters never."""
    with domain("alice", "carol", "app", "job") as town:
        town.authority_up()
        town.unlock("alice")
        await_keys(town, EPOCHS, *HOLDERS)
        create(town, "old", by=("alice", "bob"))
        create(town, "new", by=("bob", "alice"))
        await_keys(town, {**EPOCHS, "old 1": 1, "new 1": 1}, *HOLDERS)
        some = ("payroll 1", "vault 1")
        assert keys_of(town, *some) == {name: base.keys[name] for name in some}

        let_erin_in(town, base, "alice", "bob")  # donors and receivers of both versions
        grown = {name: epoch + 1 for name, epoch in {**EPOCHS, "old 1": 1, "new 1": 1}.items()}
        await_keys(town, grown, *HOLDERS, "erin")
        for name in ("alice", "erin"):
            shown = town.json("key", "show", "payroll", "--profile", name)
            assert shown["acknowledged_by"] == [*HOLDERS, "erin"]
        town.upgrade("carol")
        assert keys_of(town, some[0], by=("alice", "carol")) == {some[0]: base.keys[some[0]]}
        asked = town.json("key", "rotate", "nightly", "--profile", "carol", "--no-wait")
        town.approve(asked["proposal"], "alice")
        await_keys(town, {**grown, "nightly 2": 1}, *HOLDERS, "erin")
        audited(town, "alice", "erin")
        assert tallies(town, "alice") == tallies(town, "erin")


def test_the_devices_are_upgraded_first(base: Recorded, domain: Domain) -> None:
    """A daemon among them goes on when the authority follows."""
    with domain("hq") as town:
        town.authority_up()
        town.unlock("alice")
        assert tallies(town, "bob") == base.facts["tallies"]
        daemon = town.holder_up("carol")
        create(town, "new", by=("alice", "bob"))
        await_keys(town, {**EPOCHS, "new 1": 1}, "alice", "bob")
        some = ("payroll 1", "vault 1", "legacy 1")
        assert keys_of(town, *some) == {name: base.keys[name] for name in some}
        let_erin_in(town, base, "alice", "bob")
        grown = {name: epoch + 1 for name, epoch in {**EPOCHS, "new 1": 1}.items()}
        await_keys(town, grown, "alice", "bob", "erin")
        audited(town, "alice")

        town.authority_down()
        town.upgrade("hq")
        town.authority_up()
        town.unlock("erin")
        create(town, "last", by=("erin", "alice"))
        await_keys(town, {**grown, "last 1": 1}, "alice", "bob", "erin")
        assert keys_of(town, *some, by=("alice", "erin")) == {n: base.keys[n] for n in some}
        assert daemon.stop().code == 0


def test_three_versions(base: Recorded, domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tomorrow's authority, alice and bob know more than today's devices, and than yesterday's."""
    with domain("carol", "app") as town:
        town.runs_tomorrow = {"hq", "alice", "bob"}
        town.authority_up()
        town.unlock("alice")
        monkeypatch.setattr(SystemClock, "now", lambda _: int(time.time()) + town.ahead)
        with monkeypatch.context() as patch:
            tomorrow.arm(patch.setattr)
            notice = asyncio.run(proposes(town, "alice", notice_by))
            local = asyncio.run(proposes(town, "alice", key_by))

        # Yesterday's is shown what it knows, and goes on.
        waits = set(base.facts["pending"].values())
        inbox = town.json("holder", "inbox", "--profile", "carol")
        assert {one["id"] for one in inbox} == waits
        assert {notice, local}.isdisjoint(one[0] for one in tallies(town, "carol"))
        audited(town, "carol")
        assert town.approve(base.facts["pending"]["release"], "carol")["state"] == "complete"

        # Today's lists it, says no to it, and never yes.
        town.upgrade("carol")
        inbox = {one["id"]: one for one in town.json("holder", "inbox", "--profile", "carol")}
        for id_ in (notice, local):
            assert (inbox[id_]["unknown"], inbox[id_]["needed"]) == (True, None)
            refused = town.run("holder", "approve", id_, "--profile", "carol", code=3)
            assert "made by a newer version of the program" in refused.err
            assert len(refused.err.splitlines()) == 1
        assert town.json("holder", "reject", notice, "--profile", "carol")["state"] == "pending"
        states = {one["id"]: one for one in town.json("tally", "list", "--profile", "carol")}
        assert [states[id_]["approvals"] for id_ in (notice, local)] == [1, 1]
        audited(town, "carol")

        # A key with an option that carol's device does not know is made without her.
        assert town.approve(local, "bob")["state"] == "complete"
        town.sync("alice", "bob")
        synced = town.json("holder", "sync", "--profile", "carol")
        assert synced["problems"] == []
        assert (
            "local version 1: a newer version of the program on this device"
            in (synced["waiting_for"])
        )
        shown = town.json("key", "show", "local", "--profile", "carol")
        assert (shown["state"], shown["unknown_options"]) == ("active", ["region"])
        assert shown["acknowledged_by"] == ["alice", "bob"]
        get = ("key", "get", "local", "--profile", "app", "--reason", "r")
        refused = town.run(*get, "--out", town.home / "none", code=3)
        assert "local version 1 is newer than this program" in refused.err
        some = ("payroll 1", "vault 1")
        assert keys_of(town, *some, by=("alice", "carol")) == {n: base.keys[n] for n in some}


Propose = Callable[[KeyProposals, Synced], Awaitable[Envelope]]


async def proposes(town: MixedTown, name: str, propose: Propose) -> str:
    """Something that no command of today proposes; its id."""
    secret = Secret(PASSPHRASE.encode())
    with open_profile(town.home, Name(name), passphrase=lambda: secret) as profile:
        async with connected(profile) as party:
            client = KeyProposals(Holder(party))
            synced, _ = await client.holder.sync()
            return str(proposal_id(await propose(client, synced)))


async def notice_by(client: KeyProposals, synced: Synced) -> Envelope:
    body = options_body(about="payroll")
    proposal = client.member.new_proposal(tomorrow.NOTICE, body, synced.roster)
    return (await client.member.propose_with_yes(proposal, synced)).proposal


async def key_by(client: KeyProposals, synced: Synced) -> Envelope:
    body = Create(key=Name("local"), suite=Suite.PEDERSEN_ED25519, acks=2, options=tomorrow.HERE)
    return (await client.holder.dealings.create_key(body, synced)).proposal


def test_a_restored_authority_learns_from_devices_of_both_versions(
    base: Recorded, domain: Domain, tmp_path: Path
) -> None:
    """Yesterday's authority, restored by itself; then its back-up, restored by today's."""
    with domain("hq", "alice") as town:
        town.authority_up()
        town.unlock("alice")
        epochs = dict(EPOCHS)
        for key, who in (("one", "hq"), ("two", "")):
            file = tmp_path / f"{key}.backup"
            town.run("authority", "backup", "--profile", "hq", "--out", file)
            create(town, key, by=("alice", "bob"))
            epochs[f"{key} 1"] = 1
            await_keys(town, epochs, *HOLDERS)
            assert town.authority is not None
            town.authority.kill()
            shutil.rmtree(town.home / "hq")
            town.runs_old = {"alice", who}
            town.run("authority", "restore", "--profile", "hq", "--in", file)
            town.authority_up()
            for name in ("alice", "bob"):
                town.run("holder", "unlock", "--accept-rollback", "--profile", name)
            await_keys(town, epochs, *HOLDERS)
        some = ("payroll 1", "late 1")
        assert keys_of(town, *some, by=("bob", "carol")) == {n: base.keys[n] for n in some}
        audited(town, "carol")
