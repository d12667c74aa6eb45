"""A device is cut off at any message, before or after it was carried out: nothing lost or doubled.

Whatever a device sends is stored first. Here every message of a day is lost once, on its way or on
the way back; all that was in memory is gone, and the person (or the daemon) does the same again.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TypeVar

import pytest

from custody_thief import CrookedHolder, audit_kinds, epoch_records, held_by, spoil
from domain_rig import DomainRig
from tigertally.base.errors import Refused, Unavailable
from tigertally.base.ids import Name, ProposalId
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.messages import sync as paths
from tigertally.custody.messages.kinds import Create, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.state.authority import EpochStatus
from tigertally.quorum.messages import PROPOSAL, PROPOSE, SYNC, VOTE
from tigertally.quorum.proposal import proposal_id
from tigertally.transport.memory import Leg
from walks import sampled

T = TypeVar("T")
REF = KeyRef(name=Name("payroll"), version=1)
PATHS = (
    PROPOSE,
    VOTE,
    PROPOSAL,
    SYNC,
    paths.CUSTODY_SYNC,
    paths.RECEIVE_KEYS,
    paths.ACKNOWLEDGE,
    paths.COMPLAIN,
    paths.DEAL,
    paths.DELIVER,
    paths.COLLECT,
)


async def until_done(step: Callable[[], Awaitable[T]]) -> T | None:
    """The same again, from the disk, until it goes through."""
    for _ in range(6):
        try:
            return await step()
        except Unavailable:
            continue
        except Refused as refused:
            if "voted" in str(refused):  # it had been carried out
                return None
            raise
    raise AssertionError("cut off six times")


async def create(rig: DomainRig, suite: Suite) -> str:
    body = Create(key=REF.name, suite=suite, acks=3, options=KeyOptions.of())

    async def propose() -> str:
        client = KeyProposals(rig.holder("h1"))
        synced, _ = await client.holder.sync()
        return (await client.propose_or_resume(body, synced)).id.hex()

    id_ = await until_done(propose)
    assert id_ is not None
    return id_


async def a_day(rig: DomainRig, suite: Suite, *, crooked: bool) -> None:
    id_ = await create(rig, suite)
    devices = {name: rig.holder(name) for name in rig.holders()}
    if crooked:
        devices["h2"] = CrookedHolder(rig.devices["h2"].party, bend=spoil(3))

    async def approve(name: str, id_: str) -> None:
        client = devices[name]
        synced, _ = await client.sync()
        await client.approve(await client.member.find(ProposalId.from_text(id_), synced), synced)

    await until_done(lambda: approve("h2", id_))
    await rig.child_work()
    for _ in range(4):
        for name in rig.holders():
            await until_done(lambda name=name: devices[name].sync())
    asker = rig.asker("app")

    async def ask() -> tuple[object, str]:
        synced = await asker.member.sync()
        request, state = await asker.ask(REF, "why", Form.PRIVATE, synced)
        return request, proposal_id(state.proposal).hex()

    asked = await until_done(ask)
    assert asked is not None
    request, release = asked
    for name in ("h1", "h3"):
        await until_done(lambda name=name: approve(name, release))
    for name in ("h1", "h3"):
        await until_done(lambda name=name: devices[name].sync())
    await rig.child_work()
    secret = rig.devices["app"].device_secret

    async def collect() -> object:
        return await asker.collect(request, REF, Form.PRIVATE, await asker.member.sync(), secret)

    assert await until_done(collect) is not None


def counted(rig: DomainRig) -> Counter[str]:
    return Counter(kind for kind, _ in audit_kinds(rig))


async def formed(rig: DomainRig) -> None:
    await rig.form(3)
    await rig.requester("app")


def day_without(path: str = "", leg: Leg = Leg.REQUEST) -> DomainRig:
    """A day on which everybody loses the first message of this path."""
    rig = DomainRig(threshold=2)

    async def scenario() -> None:
        await formed(rig)
        if path:
            for name in rig.devices:
                rig.network.drop(from_=name, path=path, leg=leg, times=1)
        await a_day(rig, Suite.PEDERSEN_ED25519, crooked=True)
        assert any(e.what == "drop" for e in rig.network.events) == bool(path)

    rig.run(scenario())
    return rig


@cache
def smooth() -> Counter[str]:
    """What the audit log counts on a day without a fault."""
    return counted(day_without())


@pytest.mark.requirement("C12")
@pytest.mark.walk
@pytest.mark.parametrize(
    ("path", "leg"), sampled(itertools.product(PATHS, Leg), 12, "lost messages")
)
def test_every_message_may_be_lost_once_by_everybody(path: str, leg: Leg) -> None:
    rig = day_without(path, leg)
    first, second = epoch_records(rig)
    assert (first.status, second.status) == (EpochStatus.ABORTED, EpochStatus.CERTIFIED)
    for name in rig.holders():
        (held,) = held_by(rig, name)
        assert held.certificate is not None
        assert held.parsed().attempt == 2
    assert counted(rig) == smooth()  # nothing was done twice, nothing left out


@pytest.mark.requirement("C12")
@pytest.mark.parametrize("leg", list(Leg), ids=["on its way", "on the way back"])
def test_the_authoritys_suite_survives_the_same(leg: Leg) -> None:
    rig = DomainRig(threshold=2)

    async def scenario() -> None:
        await formed(rig)
        for name in rig.devices:
            for path in PATHS:
                rig.network.drop(from_=name, path=path, leg=leg, times=1)
        await a_day(rig, Suite.SHAMIR_GF256, crooked=False)

    rig.run(scenario())
    counts = counted(rig)
    assert counts["custody.active"] == 1
    assert counts["custody.acknowledged"] == 3
    assert counts["custody.delivered"] == 2
    assert counts["custody.rebuilt"] == 1
