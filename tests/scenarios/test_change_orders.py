"""A join and a removal end in one epoch, in whatever order holders sync, and on bad days."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress
from functools import cache
from typing import Any

import pytest

from change_rig import (
    Asking,
    epochs,
    info_of,
    join,
    one_epoch,
    remove,
    set_quorum,
    settle,
)
from domain_rig import DomainRig, put_memory
from evil import dump
from tigertally.base.errors import Refused, TigertallyError, Unavailable
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.custody.client import rows
from tigertally.custody.messages.kinds import Create, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.state.holder import HeldEpoch, Terms
from tigertally.quorum import messages
from tigertally.quorum.approval import Verdict
from tigertally.quorum.card import Role
from tigertally.quorum.changes import (
    QUORUM,
    REMOVE,
    REQUESTER_JOIN,
    REQUESTER_REMOVE,
    quorum_body,
    remove_body,
)
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id
from walks import sampled

pytestmark = [pytest.mark.requirement("C9"), pytest.mark.requirement("C10")]


async def domain(rig: DomainRig, n: int, suite: Suite = Suite.PEDERSEN_ED25519) -> Secret:
    names = await rig.form(n)
    await rig.requester("app")
    await rig.create("payroll", suite=suite)
    return (await rig.release("app", "payroll", by=names[: rig.threshold])).secret


@cache
def changed(what: str, suite: Suite) -> tuple[DomainRig, Any, Any]:
    """Three holders and their key; a fourth has joined or the third has gone; nobody synced."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await domain(rig, 3, suite)
        if what == "join":
            await join(rig, "h4", by=["h1", "h2"])
        else:
            await join(rig, "h4", by=["h1", "h2"])
            await settle(rig, ["h4", "h1", "h2", "h3"])
            await remove(rig, "h3", by=["h1", "h2"])

    rig.run(day())
    return rig, rig.snapshot(), rig.authority.writer.memory.barrier


@pytest.mark.walk
@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("what", ["join", "removal"])
def test_every_order_of_syncs_ends_in_one_epoch(what: str, suite: Suite) -> None:
    rig, disks, barrier = changed(what, suite)
    names = ["h1", "h2", "h3", "h4"] if what == "join" else ["h1", "h2", "h4"]

    async def one(orders: tuple[tuple[str, ...], ...]) -> None:
        rig.restore(disks)
        put_memory(rig.authority, barrier=barrier)
        for order in orders:
            for name in order:
                _, report = await rig.holder(name).sync(renew=False)
                assert report.culprits == []
            await rig.child_work()
            if all(newest_only(rig, name) for name in names):
                break
        one_epoch(rig, names)
        assert [held.parsed().roster_version for held in epochs(rig, "h1")] == [
            rig.authority.chain.current.version
        ]

    async def all_of_them() -> None:
        orders = itertools.permutations(names)
        for order in sampled(orders, 6, f"orders of a {what}, {suite.value}"):
            await one((order, order[::-1], order, order[::-1]))

    rig.run(all_of_them())


def newest_only(rig: DomainRig, name: str) -> bool:
    (first, *more) = epochs(rig, name) or [None]
    if first is None or more or first.certificate is None:
        return False
    return first.parsed().roster_version == rig.authority.chain.current.version


@pytest.mark.walk
@pytest.mark.parametrize("seed", sampled(range(60), 4, "days of changes"))
def test_random_days_of_changes_end_in_one_epoch(seed: int) -> None:
    """Lost, doubled, late, broken messages, an authority that is restarted, holders away."""
    suite = list(Suite)[seed % 2]
    rig = DomainRig(threshold=2, seed=seed)
    dice = random.Random(f"changes/{seed}")

    async def day() -> None:
        good = await domain(rig, 4, suite)
        here = ["h1", "h2", "h3", "h4"]
        for step in range(3):
            by = dice.sample(here, 3)
            if dice.random() < 0.5 or len(here) < 4:
                name = f"n{step}"
                await join(rig, name, by=by)
                here.append(name)
            else:
                here.remove(gone := next(name for name in here if name not in by))
                await remove(rig, gone, by=by, acks=dice.choice([0, 2]))
            rig.network.duplicate(chance=0.5).delay(0.0, 1.0).reorder(within=2.0)
            rig.network.drop(chance=0.15).corrupt(chance=0.05)
            for _ in range(3):
                some = dice.sample(here, dice.randrange(1, len(here)))
                await asyncio.gather(*(tries(rig, name) for name in some))
                await rig.child_work()
                if dice.random() < 0.3:
                    rig.start_authority()
                    rig.network.heal()
                    await rig.unlock_by(dice.choice(here))
            rig.network.heal()
        await settle(rig, here)
        one_epoch(rig, here)
        by = dice.sample(here, 2)
        after = await rig.release("app", "payroll", by=by, reason="after a bad day")
        assert after.secret.matches(good)

    rig.run(day())


async def tries(rig: DomainRig, name: str) -> None:
    with suppress(TigertallyError):
        await rig.sync(name)


# --- at once ---------------------------------------------------------------------------------


@pytest.mark.walk
@pytest.mark.parametrize("seed", sampled(range(30), 2, "two removals"))
def test_two_removals_at_once(seed: int) -> None:
    """Both follow the same roster: one is carried out, the other is void, whoever was faster."""
    rig = DomainRig(threshold=2, seed=seed)

    async def day() -> None:
        good = await domain(rig, 5)
        ids = {}
        for by, target in (("h1", "h4"), ("h2", "h5")):
            client = rig.holder(by)
            synced = await client.member.sync()
            proposal = client.member.new_proposal(REMOVE, remove_body(Name(target)), synced.roster)
            ids[target] = proposal_id(proposal).hex()
            await client.member.propose_with_yes(proposal, synced)
        rig.network.delay(0.0, 2.0)
        await asyncio.gather(
            *(says(rig, name, id_) for name in ("h3", "h1", "h2") for id_ in ids.values())
        )
        rig.network.heal()
        left = {str(holder.name) for holder in rig.authority.chain.current.holders}
        assert left in ({"h1", "h2", "h3", "h4"}, {"h1", "h2", "h3", "h5"})
        await settle(rig, sorted(left))
        one_epoch(rig, sorted(left))
        last = (left & {"h4", "h5"}).pop()
        await remove(rig, last, by=["h1", "h3"])
        await settle(rig, ["h1", "h2", "h3"])
        one_epoch(rig, ["h1", "h2", "h3"])
        after = await rig.release("app", "payroll", by=["h2", "h3"], reason="after")
        assert after.secret.matches(good)

    rig.run(day())


async def says(rig: DomainRig, name: str, id_: str) -> None:
    with suppress(TigertallyError):
        await rig.approve(name, id_)


def test_the_proposer_of_a_pending_proposal_is_removed() -> None:
    """What it proposed ends with it: a key, and a change of the roster."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        key = await rig.propose_key("ledger", by="h4")
        client = rig.holder("h4")
        synced = await client.member.sync()
        proposal = client.member.new_proposal(REMOVE, remove_body(Name("h1")), synced.roster)
        await client.member.propose_with_yes(proposal, synced)
        await remove(rig, "h4", by=["h1", "h2"])
        for pending in (key.proposal, proposal):
            with pytest.raises(Refused):
                await rig.approve("h3", proposal_id(pending).hex())
            state = await rig.holder("h3").member.proposal(proposal_id(pending))
            assert state.status is Status.VOID
        assert not rig.disk._tables.get("attachment")  # its dealing waits for nobody any more
        await settle(rig, ["h1", "h2", "h3"])
        one_epoch(rig, ["h1", "h2", "h3"])
        await rig.propose_key("ledger", by="h1")
        after = await rig.release("app", "payroll", by=["h2", "h3"], reason="after")
        assert after.secret.matches(good)

    rig.run(day())


def test_votes_during_a_reshare() -> None:
    """A key is made, another released, a holder voted out while keys are shared anew."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        await join(rig, "h5", by=["h1", "h2"])
        await rig.sync("h5")
        await rig.sync("h1")  # one of two donors has dealt
        asking = await Asking.make(rig, reason="meanwhile")
        state = await rig.propose_key("ledger", by="h1")
        await asking.approved("h1")
        assert (await info_of(rig, "payroll")).state == "resharing"
        assert (await asking.approved("h3")).status is Status.COMPLETE
        made = await rig.approve("h2", proposal_id(state.proposal).hex())
        assert made.status is Status.COMPLETE
        await remove(rig, "h4", by=["h2", "h5"])
        await settle(rig, ["h1", "h2", "h3", "h5"])
        released = await asking.collect()
        assert released is not None
        assert released.secret.matches(good)
        for name in ("h1", "h2", "h3", "h5"):
            assert [str(one.parsed().keys[0].name) for one in certified(rig, name)][:1] == [
                "payroll"
            ]
            assert len(certified(rig, name)) <= 2
        keys = {str(info.ref.name): info.state for info in await rig.asker("app").keys()}
        assert keys["payroll"] == "active"
        assert keys.get("ledger") in (None, "active")  # could be finished, or is given up

    rig.run(day())


def certified(rig: DomainRig, name: str) -> list[HeldEpoch]:
    """The certified epochs on a device, payroll first."""
    found = [one for one in epochs(rig, name) if one.certificate is not None]
    return sorted(found, key=lambda one: str(one.parsed().keys[0].name), reverse=True)


# --- away ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", list(Suite))
def test_a_holder_who_was_away_during_many_changes(suite: Suite) -> None:
    """It comes back, has the newest epoch and nothing older, and no old receive key."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 5, suite)
        here = ["h1", "h2", "h3", "h4"]
        await set_quorum(rig, 3, by=["h1", "h2", "h3"], acks=3)
        await settle(rig, here)
        await remove(rig, "h4", by=["h1", "h2", "h3"], acks=3)
        here.remove("h4")
        await settle(rig, here)
        await set_quorum(rig, 2, by=["h1", "h2", "h3"], acks=2)
        await settle(rig, here)
        assert (await info_of(rig, "payroll")).epoch == 4
        assert [held.parsed().order for held in epochs(rig, "h5")] == [(6, 1)]
        await settle(rig, ["h5", *here], 2)
        await settle(rig, ["h5"], 1)
        one_epoch(rig, [*here, "h5"])
        with rig.devices["h5"].store.reading() as reader:
            assert len(list(reader.scan(rows.SEEDS))) == 1
        after = await rig.release("app", "payroll", by=["h5", "h3"], reason="back again")
        assert after.secret.matches(good)

    rig.run(day())


def test_a_late_acknowledgement_lets_keys_be_shared_after_all() -> None:
    """Two of three who had it are gone before the others took it: each who takes it can deal."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(5)
        await rig.requester("app")
        state = await rig.propose_key("payroll", acks=2, by="h4")
        await rig.approve("h5", proposal_id(state.proposal).hex())
        await settle(rig, ["h4", "h5"], 2)
        good = await rig.release("app", "payroll", by=["h4", "h5"])
        for gone in ("h4", "h5"):
            await remove_without_syncs(rig, gone, by=["h2", "h3"])
        assert "only" in (await info_of(rig, "payroll")).trouble[-1]
        await settle(rig, ["h1", "h2", "h3"])
        one_epoch(rig, ["h1", "h2", "h3"])
        assert (await info_of(rig, "payroll")).state == "active"
        after = await rig.release("app", "payroll", by=["h1", "h3"], reason="after")
        assert after.secret.matches(good.secret)

    rig.run(day())


async def remove_without_syncs(rig: DomainRig, target: str, *, by: list[str]) -> None:
    """Holders vote, and do nothing else that they owe."""
    client = rig.holder(by[0])
    body = remove_body(Name(target), acks=2)
    proposal = client.member.new_proposal(REMOVE, body, (await client.member.sync()).roster)
    state = await client.member.propose(proposal)
    for name in by:
        client = rig.holder(name)
        verdict = client.member.new_verdict(proposal, await client.member.sync(), Verdict.APPROVE)
        state = await client.member.vote(state, verdict)
    assert state.status is Status.COMPLETE


def test_an_attempt_that_was_given_up_binds_nobody() -> None:
    """h3 took a first attempt at the key; it was given up and the name used again without h3."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.requester("night")
        state = await rig.propose_key("payroll")
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rig.sync("h3")
        assert len(epochs(rig, "h3")) == 1
        await remove(rig, "h4", by=["h1", "h2"])  # all four were to acknowledge
        await propose_for(rig, "night")
        await settle(rig, ["h1", "h2"])  # h3 is away
        assert (await info_of(rig, "payroll")).state == "active"
        good = await rig.release("night", "payroll", by=["h1", "h2"])
        await join(rig, "h5", by=["h1", "h2"])
        reports = await settle(rig, ["h5", "h1", "h2", "h3"])
        assert {name for report in reports for name in report.culprits} == set()
        one_epoch(rig, ["h1", "h2", "h3", "h5"])
        after = await rig.release("night", "payroll", by=["h3", "h5"], reason="after")
        assert after.secret.matches(good.secret)
        with rig.devices["h3"].store.reading() as reader:
            terms = rows.TERMS.get(reader, KeyRef(name=Name("payroll"), version=1))
        assert terms == Terms(options=KeyOptions.of((Name("night"),)))

    rig.run(day())


async def propose_for(rig: DomainRig, requester: str) -> None:
    client = rig.holder("h1")
    synced, _ = await client.sync()
    body = Create(
        key=Name("payroll"),
        suite=Suite.PEDERSEN_ED25519,
        acks=2,
        options=KeyOptions.of((Name(requester),)),
    )
    state = await client.dealings.create_key(body, synced)
    await rig.approve("h2", proposal_id(state.proposal).hex())


# --- small print -----------------------------------------------------------------------------


def test_approvers_read_when_two_halves_could_be_certified() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        for acks, warned in ((2, True), (3, False)):
            state = await rig.propose_key(f"key-{acks}", acks=acks)
            client = rig.holder("h2")
            seen = await client.member.find(proposal_id(state.proposal), await client.member.sync())
            assert ("WARNING" in seen.words) is warned
        client = rig.holder("h1")
        synced = await client.member.sync()
        for acks, warned in ((0, False), (2, True), (3, False)):
            proposal = client.member.new_proposal(
                QUORUM, quorum_body(2, 2, acks=acks), synced.roster
            )
            await client.member.propose(proposal)
            seen = await client.member.find(proposal_id(proposal), await client.member.sync())
            assert ("WARNING" in seen.words) is warned

    rig.run(day())


@pytest.mark.requirement("C8")
def test_a_requesters_name_passes_to_nobody_else() -> None:
    """Keys made for `app` stay with that device: not even a quorum gives its name to another."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        first = rig.devices["app"]
        client = rig.holder("h1")
        synced = await client.member.sync()
        proposal = client.member.new_proposal(
            REQUESTER_REMOVE, remove_body(Name("app")), synced.roster
        )
        await client.member.propose_with_yes(proposal, synced)
        await rig.approve("h2", proposal_id(proposal).hex())
        before = dump(rig.disk)
        other = rig.joining(rig.device("app", Role.REQUESTER))
        with pytest.raises(Refused, match="another requester was called app"):
            await other.ask()
        assert dump(rig.disk) == before
        rig.services.quorum._executors[REQUESTER_JOIN].check = lambda *_: (
            None
        )  # a careless authority
        asked = await rig.joining(rig.device("app", Role.REQUESTER)).ask()
        with pytest.raises(Refused, match="another requester was called app"):
            await rig.approve("h1", asked.proposal.hex())
        rig.network.connect("app", key=first.key.public)  # the same device may come back
        rig.devices["app"] = first
        await rig.admit(rig.joining(first), by=["h1", "h2"])

    rig.run(day())


def test_a_dealing_that_was_never_needed_is_forgotten() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        rig.network.drop(from_="h1", path=messages.PROPOSE)
        with pytest.raises(Unavailable):
            await rig.propose_key("payroll")
        rig.network.heal()
        assert dealings(rig, "h1") == 1
        rig.clock.time += 24 * 3600
        await rig.sync("h1")
        assert dealings(rig, "h1") == 0

    rig.run(day())


def dealings(rig: DomainRig, name: str) -> int:
    with rig.devices[name].store.reading() as reader:
        return sum(1 for table in rows.DEALT.names() for _ in reader.scan(table)) // 2
