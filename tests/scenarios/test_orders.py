"""A key becomes active in every order in which its holders happen to sync."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from custody_thief import epoch_records, held_by, seeds_of
from domain_rig import DomainRig, in_this_process
from tigertally.custody.messages.kinds import Suite
from tigertally.custody.service import child
from tigertally.custody.state.authority import EpochStatus
from tigertally.quorum.card import Role
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id
from walks import sampled

Snapshot = dict[str, object]


@dataclass
class Approved:
    """A domain in which a key has just been approved: nobody has synced since."""

    rig: DomainRig
    before: Snapshot


async def approved_key(rig: DomainRig, key: str, suite: Suite, dealers: Sequence[str]) -> None:
    state = await rig.propose_key(key, suite=suite, by=dealers[0])
    for name in dealers[1:]:
        state = await rig.approve(name, proposal_id(state.proposal).hex())
    assert state.status is Status.COMPLETE
    await rig.child_work()


def approved_domain(n: int, m: int, suite: Suite) -> Approved:
    rig = DomainRig(threshold=m)

    async def day() -> None:
        names = await rig.form(n)
        for name in names:
            await rig.sync(name)
        await approved_key(rig, "payroll", suite, names[:m])

    rig.run(day())
    return Approved(rig=rig, before=rig.snapshot())


def status(rig: DomainRig) -> EpochStatus:
    (record,) = epoch_records(rig)
    return record.status


async def everybody_once(rig: DomainRig, order: Sequence[str], *, renew: bool) -> None:
    for place, name in enumerate(order, start=1):
        assert status(rig) is EpochStatus.OPEN
        _, report = await rig.holder(name).sync(renew=renew)
        assert report.problems == []
        assert (report.received, report.acknowledged) == (1, 1)
        (held,) = held_by(rig, name)
        assert (held.certificate is not None) == (place == len(order))  # the last sees it certified
    assert status(rig) is EpochStatus.CERTIFIED


async def everybody_is_certified(rig: DomainRig, order: Sequence[str]) -> None:
    for name in order:
        _, report = await rig.holder(name).sync()
        assert report.problems == []
        (held,) = held_by(rig, name)
        assert held.certificate is not None


def try_orders(approved: Approved, orders: Sequence[Sequence[str]], *, renew: bool = True) -> None:
    rig = approved.rig

    async def one(order: Sequence[str]) -> None:
        rig.restore(approved.before)
        await everybody_once(rig, order, renew=renew)

    async def all_of_them() -> None:
        for order in orders:
            await one(order)
        await everybody_is_certified(rig, orders[-1])

    rig.run(all_of_them())


@pytest.mark.requirement("C2")
@pytest.mark.requirement("C7")
@pytest.mark.parametrize("suite", list(Suite))
def test_all_orders_of_three_holders(suite: Suite) -> None:
    approved = approved_domain(3, 2, suite)
    orders = list(itertools.permutations(approved.rig.holders()))
    assert len(orders) == 6
    try_orders(approved, orders)


@pytest.mark.walk
@pytest.mark.parametrize("suite", list(Suite))
def test_some_orders_of_five_holders(suite: Suite) -> None:
    approved = approved_domain(5, 3, suite)
    orders = itertools.permutations(approved.rig.holders())
    try_orders(approved, sampled(orders, 12, f"orders of five, {suite.value}"))


@pytest.mark.walk
@pytest.mark.requirement("C7")
@pytest.mark.requirement("X3")
def test_all_orders_of_five_holders() -> None:
    approved = approved_domain(5, 3, Suite.PEDERSEN_ED25519)
    orders = list(itertools.permutations(approved.rig.holders()))
    assert len(orders) == 120
    some = sampled(orders, 30, "orders of five")
    try_orders(approved, some, renew=False)  # the sample above renews receive keys, too


# --- random days: two keys at once, holders away, receive keys replaced in between --------------


async def random_day(rig: DomainRig, dice: random.Random, suites: Sequence[Suite]) -> None:
    """Two proposals at once; holders come by in random order, some stay away for rounds."""
    names = rig.holders()
    ids: dict[str, str] = {}
    waiting: dict[str, list[str]] = {}
    for key, suite in zip(("alpha", "beta"), suites, strict=True):
        by = dice.choice(names)
        state = await rig.propose_key(key, suite=suite, by=by)
        ids[key] = proposal_id(state.proposal).hex()
        waiting[key] = [name for name in names if name != by]
    for _ in range(40):
        away = set(dice.sample(names, dice.randrange(len(names))))
        for name in dice.sample(names, len(names)):
            if name in away:
                continue
            for key in list(ids):
                if name in waiting[key] and dice.random() < 0.5:
                    state = await rig.approve(name, ids[key])
                    waiting[key].remove(name)
                    if state.status is Status.COMPLETE:
                        waiting[key] = []
            if dice.random() < 0.7:
                _, report = await rig.holder(name).sync(renew=dice.random() < 0.5)
                assert report.problems == []
            await rig.child_work()
        if len(epoch_records(rig)) >= 2 and all(
            record.status in (EpochStatus.CERTIFIED, EpochStatus.ABORTED)
            for record in epoch_records(rig)
        ):
            return


async def both_keys_work(rig: DomainRig, dice: random.Random, threshold: int) -> None:
    for name in rig.holders():
        assert (await rig.sync(name)).problems == []
        held = held_by(rig, name)
        assert all(one.certificate is not None for one in held)
        assert {str(ref.name) for one in held for ref in one.parsed().keys} == {"alpha", "beta"}
    for key in ("alpha", "beta"):
        by = dice.sample(rig.holders(), threshold)
        first = await rig.release("app", key, by=by, reason="one")
        by = dice.sample(rig.holders(), threshold)
        second = await rig.release("app", key, by=by, reason="two")
        assert first.secret.matches(second.secret)
        assert (first.faulty, second.faulty) == ((), ())


@pytest.mark.requirement("C7")
@pytest.mark.requirement("C12")
@pytest.mark.parametrize(
    ("n", "m", "seed", "suites"),
    [
        (3, 2, 1, (Suite.PEDERSEN_ED25519, Suite.SHAMIR_GF256)),
        (4, 3, 2, (Suite.PEDERSEN_ED25519, Suite.PEDERSEN_ED25519)),
        (5, 3, 3, (Suite.SHAMIR_GF256, Suite.PEDERSEN_ED25519)),
        (6, 2, 4, (Suite.SHAMIR_GF256, Suite.SHAMIR_GF256)),
        (7, 4, 5, (Suite.PEDERSEN_ED25519, Suite.PEDERSEN_ED25519)),
        (9, 5, 6, (Suite.PEDERSEN_ED25519, Suite.SHAMIR_GF256)),
    ],
)
def test_random_days_with_two_keys_and_holders_away(
    n: int, m: int, seed: int, suites: Sequence[Suite]
) -> None:
    rig = DomainRig(threshold=m, seed=seed)
    dice = random.Random(f"orders/{seed}")

    async def day() -> None:
        await rig.form(n)
        await rig.requester("app")
        await random_day(rig, dice, suites)
        await both_keys_work(rig, dice, m)

    rig.run(day())


@pytest.mark.requirement("C12")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_key_of_fewer_acknowledgements_works_before_the_others_come_back(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        state = await rig.propose_key("payroll", suite=suite, acks=3)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rig.child_work()
        for name in ("h1", "h2"):
            await rig.sync(name)
        assert status(rig) is EpochStatus.OPEN
        await rig.sync("h3")
        assert status(rig) is EpochStatus.CERTIFIED  # h4 is away all the time
        first = await rig.release("app", "payroll", by=["h1", "h3"])
        report = await rig.sync("h4")
        assert (report.received, report.problems) == (1, [])
        second = await rig.release("app", "payroll", by=["h4", "h2"], reason="again")
        assert first.secret.matches(second.secret)

    rig.run(day())


def test_a_holder_that_was_away_for_a_month_still_takes_its_fragment() -> None:
    """Its receive keys are old by then, but nothing was erased: a delivery waits for them."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await approved_key(rig, "payroll", Suite.PEDERSEN_ED25519, ["h1", "h2"])
        rig.clock.time += 40 * 24 * 3600
        for name in ("h2", "h3", "h1"):
            report = await rig.sync(name)
            assert (report.received, report.problems) == (1, [])
        assert status(rig) is EpochStatus.CERTIFIED

    rig.run(day())


def test_holders_sync_while_the_authority_s_child_works() -> None:
    """What the child deals to must still be there: a busy holder never holds up a key."""
    rig = DomainRig(threshold=2)

    async def slow_child(job: child.Job) -> child.Result:
        result = await in_this_process(job)
        for name in ("h1", "h2"):
            await rig.sync(name)  # each sync replaces the holder's receive keys
        return result

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        rig.services._run_child = slow_child
        await rig.create("vault", suite=Suite.SHAMIR_GF256)
        before = await rig.release("app", "vault", by=["h1", "h2"])
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
        for _ in range(2):
            for name in rig.holders():
                await rig.sync(name)
            await rig.child_work()
        for name in rig.holders():
            await rig.sync(name)
        statuses = [(record.attempt, record.status) for record in epoch_records(rig)]
        assert statuses == [(1, EpochStatus.CERTIFIED)] * 2, "nothing was dealt twice"
        after = await rig.release("app", "vault", by=["h3", "h4"], reason="after")
        assert before.secret.matches(after.secret)
        for name in rig.holders():  # nothing holds on to replaced receive keys for ever
            await rig.sync(name)
            assert len(seeds_of(rig, name)) == 1

    rig.run(day())
