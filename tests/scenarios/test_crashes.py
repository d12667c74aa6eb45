"""`kill -9` of every party at every journal step: the same command again finishes, keys stay.

A row of `WALKS` is one operation; the walk counts its steps, then kills the authority or a device
at the first, at the second, and so on to the last (a sample of them, all in `make walk`). On real
processes: `integration/test_killed_in_the_middle.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from crash_rig import CrashRig
from restore_rig import accept, backup, restore
from tigertally.base.errors import Unavailable
from tigertally.base.ids import Name
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.custody.client.keys import Asked, KeyProposals
from tigertally.custody.client.rows import Request
from tigertally.custody.messages.kinds import Create, Destroy, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.quorum.card import Role
from tigertally.quorum.changes import QUORUM, REMOVE, quorum_body, remove_body
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.join import Joined
from tigertally.quorum.member.roster_changes import RosterChanges
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id
from walks import sampled

NOBODY_DIES = 1_000_000  # more steps than any operation has
Operation = Callable[[CrashRig], Awaitable[None]]


async def change(rig: CrashRig, kind: Name, body: bytes, *, by: Sequence[str]) -> None:
    """The first proposes, the others approve; each command until it is done."""
    proposer, *others = by

    async def propose() -> str:
        holder = rig.holder(proposer)
        synced, _ = await holder.sync()
        return (await RosterChanges(holder.member).propose_or_resume(kind, body, synced)).hex()

    id_ = await rig.insist(propose)
    for name in others:
        state = await rig.insist(lambda name=name: rig.approve(name, id_))
    assert state.status is Status.COMPLETE


async def join(rig: CrashRig) -> None:
    joining = rig.joining(rig.device("h4", Role.HOLDER))
    asked = await rig.insist(joining.ask)
    for name in ("h1", "h2"):
        await rig.insist(lambda name=name: rig.approve(name, asked.proposal.hex()))

    async def enrol() -> Joined:
        return await joining.enrolled_already() or await joining.ask()

    assert (await rig.insist(enrol)).state == "enrolled"


async def remove(rig: CrashRig) -> None:
    await change(rig, REMOVE, remove_body(Name("h3")), by=("h1", "h2"))


async def raise_quorum(rig: CrashRig) -> None:
    await change(rig, QUORUM, quorum_body(3, 2), by=("h1", "h2", "h3"))


async def carry(rig: CrashRig, ask: Callable[[KeyProposals, Synced], Awaitable[Asked]]) -> None:
    """h1 proposes something about a key, h2 approves."""

    async def propose() -> str:
        client = KeyProposals(rig.holder("h1"))
        synced, _ = await client.holder.sync()
        return (await ask(client, synced)).id.hex()

    id_ = await rig.insist(propose)
    await rig.insist(lambda: rig.approve("h2", id_))


async def create(rig: CrashRig) -> None:
    for suite in Suite:
        body = Create(key=Name(f"new-{suite.value}"), suite=suite, acks=3, options=KeyOptions.of())
        await carry(rig, lambda client, synced, body=body: client.propose_or_resume(body, synced))


async def rotate(rig: CrashRig) -> None:
    for suite in Suite:
        name = Name(suite.value)
        await carry(rig, lambda client, synced, n=name: client.rotate_or_resume(n, None, synced))


async def destroy(rig: CrashRig) -> None:
    for suite in Suite:
        body = Destroy(key=Name(suite.value), version=1)
        await carry(rig, lambda client, synced, body=body: client.propose_or_resume(body, synced))


async def ask(rig: CrashRig, suite: Suite) -> Request:
    """The requester asks for a key; the same again finds the request that it made."""
    client, ref = rig.asker("app"), KeyRef(name=Name(suite.value), version=1)

    async def command() -> Request:
        request, _ = await client.ask(
            ref, "the night job", Form.PRIVATE, await client.member.sync()
        )
        return request

    return await rig.insist(command)


async def release(rig: CrashRig) -> None:
    keys = rig.private_keys(("h1", "h2"), together=2)
    for suite in Suite:
        client, ref = rig.asker("app"), KeyRef(name=Name(suite.value), version=1)
        request = await ask(rig, suite)
        for name in ("h1", "h2"):
            id_ = proposal_id(request.proposal).hex()
            await rig.insist(lambda name=name, id_=id_: rig.approve(name, id_))

        async def collected(client=client, request=request, ref=ref) -> bytes:
            for name in ("h1", "h2"):
                await rig.sync(name)
            await rig.child_work()
            own = rig.devices["app"].device_secret
            synced = await client.member.sync()
            released = await client.collect(request, ref, Form.PRIVATE, synced, own)
            if released is None:
                raise Unavailable("the key has not come")
            assert released.faulty == ()
            return released.secret.to_secret_bytes()

        assert await rig.insist(collected) == keys[ref]

        async def forgotten(client=client, request=request) -> None:
            client.forget(request)

        await rig.insist(forgotten)
    rig.clock.time += MAX_PROPOSAL_LIFETIME  # what a release leaves goes with its proposal


async def lose_the_disk(rig: CrashRig) -> None:
    """The authority goes back to a day on which each key had been asked for and approved once.

    Since then the fragments had left, and a key was made.
    """
    asked = [proposal_id((await ask(rig, suite)).proposal).hex() for suite in Suite]
    for id_ in asked:
        await rig.approve("h1", id_)
    kept = backup(rig)
    for id_ in asked:
        await rig.approve("h2", id_)
    for name in ("h1", "h2"):
        await rig.sync(name)
    await rig.create("late")
    restore(rig, kept)
    for name in rig.unlockers:
        state = (await accept(rig, name)).state
    assert state == "ready"


async def unlock(rig: CrashRig) -> None:
    rig.start_authority()
    for name in ("h1", "h2"):
        state = await rig.insist(lambda name=name: rig.unlock_by(name))
    assert state == "ready"


@dataclass(frozen=True)
class Walk:
    """An operation, and who holds fragments, how many of them a key needs, afterwards."""

    operation: Operation
    holders: tuple[str, ...]
    threshold: int = 2
    destroys: bool = False
    steps: int = 90  # at least so many are found
    before: Operation | None = None  # nobody dies yet
    sample: int = 8  # so many of them in the suite


WALKS = {
    "create": Walk(create, ("h1", "h2", "h3")),
    "rotate": Walk(rotate, ("h1", "h2", "h3")),
    "destroy": Walk(destroy, ("h1", "h2", "h3"), destroys=True, steps=40),
    "join": Walk(join, ("h1", "h2", "h3", "h4")),
    "remove": Walk(remove, ("h1", "h2")),
    "quorum": Walk(raise_quorum, ("h1", "h2", "h3"), threshold=3),
    "release": Walk(release, ("h1", "h2", "h3"), steps=50),
    "release-restored": Walk(release, ("h1", "h2", "h3"), steps=50, before=lose_the_disk),
    "unlock": Walk(unlock, ("h1", "h2", "h3"), steps=5),
}


def walk(name: str) -> int:
    """Die at the steps of a row; how many it has."""
    row = WALKS[name]
    rig = CrashRig(threshold=2, unlock=2, unlockers=("h1", "h2"))

    async def form() -> None:
        await rig.form(3)
        await rig.requester("app")
        for suite in Suite:
            await rig.create(suite.value, suite=suite)
        for holder in rig.holders():
            await rig.sync(holder)
        if row.before is not None:
            await row.before(rig)

    rig.run(form())
    before = rig.moment()
    keys = rig.private_keys(rig.holders(), together=2)
    assert len(keys) >= 2

    async def die_at(step: int) -> int:
        """How many steps there were; more than `step` if somebody died."""
        rig.back_to(before)
        rig.journal.arm(step)
        await row.operation(rig)
        await rig.settle(row.holders)
        taken = rig.journal.taken
        rig.journal.left = None
        for holder in row.holders:
            _, report = await rig.holder(holder).sync(renew=False)
            assert report.problems == []
        rig.check_quiet(row.holders)
        after = rig.private_keys(row.holders, together=row.threshold)
        assert {ref: after[ref] for ref in keys if ref in after} == ({} if row.destroys else keys)
        return taken

    steps = rig.run(die_at(NOBODY_DIES))
    for step in sampled(range(1, steps + 1), row.sample, name):
        try:
            assert rig.run(die_at(step)) >= step
        except BaseException as error:
            error.add_note(f"killed {rig.journal.dead!r} at step {step}")
            raise
    return steps


@pytest.mark.slow
@pytest.mark.walk
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WALKS)
def test_whoever_dies_at_whatever_step_the_keys_stay_and_nothing_is_left(name: str) -> None:
    assert walk(name) >= WALKS[name].steps
