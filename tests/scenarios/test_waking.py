"""Nobody waits for what has already come: in no order of calls does a long poll run out.

Who is woken by what stands in `docs/protocols/transport.md`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from change_rig import epochs, join, one_epoch
from domain_rig import DomainRig, RigClock, put_memory
from evil import tell
from live_rig import LiveRig, Order, drawn, ranked
from restore_rig import accept, backup, restore, told
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused
from tigertally.base.ids import Name
from tigertally.base.limits import PROPOSAL_LIFETIME
from tigertally.base.secret import Secret
from tigertally.custody.client.imports import Imports, Progress
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.client.requester import Released, Requester
from tigertally.custody.messages.kinds import Create, Destroy, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.sync import CUSTODY_SYNC
from tigertally.quorum.authority.desk import barrier_of
from tigertally.quorum.card import Role
from tigertally.quorum.changes import QUORUM, REMOVE, quorum_body, remove_body
from tigertally.quorum.messages import SYNC, SyncReply
from tigertally.quorum.proposal import proposal_id
from tigertally.transport.channel import DEFAULT_WAIT
from walks import sampled

HOLDERS = ("h1", "h2", "h3")
PEDERSEN, SHAMIR = Suite.PEDERSEN_ED25519, Suite.SHAMIR_GF256
KEY = KeyRef(name=Name("payroll"), version=1)

Scenario = Callable[[LiveRig], Awaitable[None]]


def orders(name: str, most: int) -> list[Order]:
    """The newcomer last and first; every other order of who goes before whom; some by lot."""
    first, *others = itertools.permutations((*HOLDERS, "new"))
    *others, last = others
    every = [*map(ranked, others), *(drawn(f"{name} {number}") for number in range(40))]
    return [ranked(first), ranked(last), *sampled(every, most, name)]


MADE: set[bytes] = set()  # every key that was formed


@cache
def formed(suite: Suite) -> tuple[LiveRig, Any, bytes, bytes]:
    """Three holders, a requester and a key: disks, barrier key and the key itself."""
    rig = LiveRig(threshold=2)

    async def day() -> bytes:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        released = await rig.release("app", "payroll", by=["h1", "h2"], reason="before")
        return released.secret.to_secret_bytes()

    key = rig.run(day())
    MADE.add(key)
    barrier = rig.authority.writer.memory.barrier
    assert barrier is not None
    return rig, rig.snapshot(), barrier.key.to_secret_bytes(), key


# --- what happens ----------------------------------------------------------------------------


async def a_join(rig: LiveRig) -> None:
    joining = rig.command(rig.enrol("new"))
    await rig.approved_by("h1", "h2")
    await rig.until(lambda: on_newest(rig, *HOLDERS, "new"))
    await joining


def on_newest(rig: LiveRig, *names: str) -> bool:
    """All hold one epoch of the key, certified, of the roster of today."""
    found = [epochs(rig, name) for name in names]
    if any(len(held) != 1 or held[0].certificate is None for held in found):
        return False
    versions = {held[0].parsed().roster_version for held in found}
    return versions == {rig.authority.chain.current.version}


async def two_joins_at_once(rig: LiveRig) -> None:
    """The one that is approved ends the other, whose device asks again."""
    first, second = (rig.command(rig.enrol(name, Role.REQUESTER)) for name in ("new", "other"))
    await rig.until(lambda: len(rig.open_proposals()) == 2)
    before = set(rig.open_proposals())
    ours = next(id_ for id_ in before if rig.proposer(id_) == "new")
    rig.approve_all("h1", "h2", id_=ours)
    await first
    await rig.until(lambda: not before & set(rig.open_proposals()))
    await rig.approved_by("h1", "h2")
    assert (await second).state == "enrolled"


async def a_removal(rig: LiveRig) -> None:
    body = remove_body(Name("h3"))
    changing = rig.command(rig.change("h1", REMOVE, body, lambda roster: len(roster.holders) == 2))
    await rig.approved_by("h2")
    await changing
    await rig.until(lambda: on_newest(rig, "h1", "h2"))


async def a_higher_quorum(rig: LiveRig) -> None:
    changing = rig.command(
        rig.change("h1", QUORUM, quorum_body(3, 1), lambda roster: roster.threshold == 3)
    )
    await rig.approved_by("h2", "h3")
    await changing
    await rig.until(lambda: on_newest(rig, *HOLDERS))


def wanted(key: str, suite: Suite) -> Create:
    return Create(key=Name(key), suite=suite, acks=3, options=KeyOptions.of())


async def a_key_made(rig: LiveRig) -> None:
    making = rig.command(rig.make("h1", wanted("ledger", PEDERSEN), "active"))
    await rig.approved_by("h2")
    await making


async def a_key_made_by_the_authority(rig: LiveRig) -> None:
    making = rig.command(rig.make("h1", wanted("vault", SHAMIR), "active"))
    await rig.approved_by("h2")
    await making


async def one_name_asked_for_twice(rig: LiveRig) -> None:
    """The second proposer learns at once that the name is taken."""
    state = await rig.propose_key("ledger")
    (ours,) = rig.open_proposals()
    assert ours == proposal_id(state.proposal).hex()
    second = asyncio.ensure_future(bring(rig, "ledger"))  # a requester: nobody else wakes it
    await rig.until(lambda: len(rig.open_proposals()) == 2)
    await rig.rest()
    rig.approve_all("h3", id_=ours)
    with pytest.raises(Refused, match="there is a key ledger already"):
        await second


async def a_rotation(rig: LiveRig) -> None:
    async def rotate() -> None:
        client = KeyProposals(rig.holder("h1"))
        async with rig.locks["h1"]:
            synced, _ = await client.holder.sync()
            asked = await client.rotate_or_resume(Name("payroll"), None, synced)
        await rig.waits("h1", client, asked, "active")

    rotating = rig.command(rotate())
    await rig.approved_by("h3")
    await rotating


async def a_destruction(rig: LiveRig) -> None:
    destroying = rig.command(
        rig.make("h1", Destroy(key=Name("payroll"), version=None), "destroyed")
    )
    await rig.approved_by("h3")
    await destroying
    await rig.until(lambda: not any(epochs(rig, name) for name in HOLDERS))


async def a_release(rig: LiveRig) -> None:
    asking = rig.command(get(rig))
    await rig.approved_by("h1", "h3")
    assert (await asking).secret.to_secret_bytes() in MADE


async def get(rig: LiveRig) -> Released:
    """`key get`, by the requester."""
    client = rig.asker("app")
    synced = await client.member.sync()
    request, _ = await client.ask(KEY, "a test", Form.PRIVATE, synced)

    async def step() -> Released | None:
        secret = rig.devices["app"].device_secret
        return await client.collect(request, KEY, Form.PRIVATE, await client.member.sync(), secret)

    return await rig.waiting(client.member, step)


async def a_rejected_release(rig: LiveRig) -> None:
    asking = asyncio.ensure_future(get(rig))
    await rig.until(lambda: rig.open_proposals() != [])
    (id_,) = rig.open_proposals()
    for name in ("h2", "h3"):
        rig.command(rig.reject(name, id_))
    with pytest.raises(Refused, match="not today"):
        await asking


async def bring(rig: LiveRig, key: str) -> Progress:
    """`key import`, by the requester."""
    client = Imports(Requester(rig.devices["app"].party))
    body = replace(wanted(key, PEDERSEN), imported=True)
    with Secret(b"seed phrase") as secret:
        known = client.begin(body, secret, await client.member.sync())

        async def step() -> Progress | None:
            device_secret = rig.devices["app"].device_secret
            now = client.under_way(key) or known
            made = await client.advance(now, secret, await client.member.sync(), device_secret)
            return made if made.state == "active" else None

        return await rig.waiting(client.member, step)


async def an_import(rig: LiveRig) -> None:
    importing = rig.command(bring(rig, "wallet"))
    await rig.approved_by("h1", "h2")
    await rig.approved_by("h2", "h3")
    await importing


async def an_expiry(rig: LiveRig) -> None:
    """It comes by the clock alone; whoever looks first wakes the one who waits for it."""
    asking = asyncio.ensure_future(get(rig))
    await rig.until(lambda: rig.open_proposals() != [])
    await rig.rest()
    rig.clock.time += PROPOSAL_LIFETIME
    await rig.sync("h3")
    with pytest.raises(Refused, match="expired"):
        await asking


async def an_unlocking(rig: LiveRig) -> None:
    """Daemons wait for it by a long poll: the very next release has their fragments at once."""
    rig.restart()
    await asyncio.sleep(5)
    began = asyncio.get_running_loop().time()
    await rig.unlock_by("h2")
    await a_release(rig)
    assert asyncio.get_running_loop().time() - began < 0.5  # virtual, and no pause in it


async def an_accepted_restore(rig: LiveRig) -> None:
    """The same for a restored authority: with the last acceptance all go on."""
    rig.authority.end_waiting()
    restore(rig, backup(rig))
    rig.serve_again()
    await asyncio.sleep(5)
    began = asyncio.get_running_loop().time()
    assert (await accept(rig, "h1", back=False)).state == "locked"
    assert (await accept(rig, "h2", back=False)).state == "ready"
    await rig.until(lambda: all(told(rig, name) for name in HOLDERS))
    await a_release(rig)
    assert asyncio.get_running_loop().time() - began < 0.5


async def a_report_after_a_restore(rig: LiveRig) -> None:
    """With the last holder's report a key is certified again: the others fetch that at once."""
    before = backup(rig)
    state = await rig.propose_key("ledger")
    await rig.approve("h2", proposal_id(state.proposal).hex())
    for name in HOLDERS:
        await rig.sync(name)  # the last sees it certified, the others do not
    rig.authority.end_waiting()
    restore(rig, before)
    for name in ("h1", "h2"):
        await accept(rig, name)
    rig.serve_again()
    for name in HOLDERS:
        rig.start(name)
    await rig.until(lambda: all(certified(rig, name) == {"payroll", "ledger"} for name in HOLDERS))


def certified(rig: LiveRig, name: str) -> set[str]:
    held = [one for one in epochs(rig, name) if one.certificate is not None]
    return {str(ref.name) for one in held for ref in one.parsed().keys}


DAEMONS = [
    (PEDERSEN, a_join, 2),
    (SHAMIR, a_join, 1),
    (PEDERSEN, a_removal, 1),
    (SHAMIR, a_removal, 0),
    (PEDERSEN, a_higher_quorum, 0),
    (PEDERSEN, a_key_made, 1),
    (PEDERSEN, a_key_made_by_the_authority, 0),
    (PEDERSEN, a_rotation, 0),
    (PEDERSEN, a_destruction, 0),
    (PEDERSEN, a_release, 1),
    (SHAMIR, a_release, 0),
    (PEDERSEN, a_rejected_release, 0),
    (PEDERSEN, an_import, 0),
    (PEDERSEN, an_expiry, 0),
    (PEDERSEN, an_unlocking, 0),
    (PEDERSEN, an_accepted_restore, 0),
]
PEOPLE = [
    (PEDERSEN, two_joins_at_once, 1),
    (PEDERSEN, one_name_asked_for_twice, 0),
    (PEDERSEN, a_rejected_release, 0),
    (PEDERSEN, a_report_after_a_restore, 0),
]


@pytest.mark.walk
@pytest.mark.parametrize(
    ("daemons", "suite", "scenario", "most"),
    [*((HOLDERS, *one) for one in DAEMONS), *(((), *one) for one in PEOPLE)],
)
def test_no_long_poll_runs_out(
    daemons: tuple[str, ...], suite: Suite, scenario: Scenario, most: int
) -> None:
    """With daemons that look at everything, or with people's commands alone."""
    rig, disks, barrier, _ = formed(suite)

    async def day() -> None:
        for order in orders(f"{scenario.__name__} {suite.value}", most):
            rig.clock = RigClock()
            rig.restore(disks)
            rig.start_authority()
            put_memory(rig.authority, barrier=barrier_of(Secret(barrier)))
            async with rig.live(*daemons, order=order):
                await scenario(rig)
                assert (rig.expired(), rig.faults()) == ({}, [])

    rig.run(day())


# --- one at a time ---------------------------------------------------------------------------


def test_who_waits_for_a_newcomer_says_so_and_blames_nobody() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        await join(rig, "new", by=["h1", "h2"])
        for _ in range(2):
            report = await rig.sync("h1")
            assert (report.problems, report.culprits, report.sent) == ([], [], 0)
            assert "payroll version 1: new to sync first" in report.waiting_for
        await rig.sync("new")
        report = await rig.sync("h1")
        assert (report.problems, report.sent) == ([], 1)
        assert not any("sync first" in line for line in report.waiting_for)

    rig.run(day())


def test_a_change_in_the_middle_of_a_sync_is_nobodys_fault() -> None:
    """The rosters were fetched before it, what is owed after it: the device fetches once more."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        device = rig.devices["h3"]
        honest = device.party.channel

        class Meanwhile:
            async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
                if path == CUSTODY_SYNC and "new" not in rig.devices:
                    await join(rig, "new", by=["h1", "h2"])
                    await rig.sync("new")
                return await honest.call(path, body, wait=wait)

        device.party = replace(device.party, channel=Meanwhile())
        report = await rig.sync("h3")
        assert (report.problems, report.sent) == ([], 1)

    rig.run(day())


def test_an_authority_that_goes_on_speaking_of_an_unknown_roster_is_told_of() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        await join(rig, "new", by=["h1", "h2"])
        await rig.sync("new")

        def rewrite(_: str, raw: bytes) -> bytes:
            return encode(replace(decode(SyncReply, raw), rosters=()))

        tell(rig, SYNC, rewrite)
        report = await rig.sync("h3")
        assert report.sent == 0
        assert report.problems == ["that roster is not in the chain we know"]

    rig.run(day())


def test_the_child_s_job_that_waits_for_a_newcomer_keeps_nobody_busy() -> None:
    """The worker must not wake itself: it would look for the newcomer's keys without end."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll", suite=SHAMIR)
        await join(rig, "new", by=["h1", "h2"])
        for name in HOLDERS:
            await rig.sync(name)  # their contributions
        looked, work = 0, rig.services.work

        async def counted(*args: Any, **more: Any) -> None:
            nonlocal looked
            looked += 1
            assert looked < 20, "it runs in circles"
            await work(*args, **more)

        rig.services.work = counted  # type: ignore[method-assign]
        worker = asyncio.create_task(rig.authority.work())
        await asyncio.sleep(100)
        assert not worker.done()
        assert looked == 2  # at once, and once a minute
        await rig.sync("new")
        await asyncio.sleep(1)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        for name in (*HOLDERS, "new", *HOLDERS):
            await rig.sync(name)
        one_epoch(rig, (*HOLDERS, "new"))

    rig.run(day())
