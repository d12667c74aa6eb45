"""A key gets new versions; the old ones stay what they were until they are destroyed."""

from __future__ import annotations

import pytest

from change_rig import change, settle
from domain_rig import DomainRig
from tigertally.base.errors import Refused
from tigertally.base.ids import Name
from tigertally.custody.client.keys import Asked, KeyProposals
from tigertally.custody.client.rows import all_held
from tigertally.custody.messages.kinds import ROTATE, Create, Rotate, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.pending import Status

pytestmark = [pytest.mark.requirement("C2"), pytest.mark.requirement("C7")]


async def states(rig: DomainRig, name: str = "payroll") -> dict[int, tuple[str, int]]:
    known = await rig.asker("app").keys(Name(name))
    return {info.ref.version: (info.state, info.epoch) for info in known}


@pytest.mark.parametrize("suite", list(Suite))
def test_both_versions_work_and_a_reshare_carries_both(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        first = await rig.release("app", "payroll", by=["h1", "h2"])
        asked = await rig.rotate("payroll", by=["h1", "h3"])
        assert await states(rig) == {1: ("active", 1), 2: ("pending", 0)}
        assert await rig.asker("app").newest_version(Name("payroll")) == 1, "the newest that works"
        await rig.child_work()
        await settle(rig, rig.holders())
        assert await KeyProposals(rig.holder("h1")).state_of(asked) == "active"
        assert await states(rig) == {1: ("active", 1), 2: ("active", 1)}
        assert await rig.asker("app").newest_version(Name("payroll")) == 2
        second = await rig.release("app", "payroll", by=["h2", "h3"], version=2, reason="new")
        again = await rig.release("app", "payroll", by=["h1", "h3"], reason="old")
        assert again.secret.matches(first.secret)
        assert not second.secret.matches(first.secret)
        joiner = rig.device("h4", Role.HOLDER)
        await rig.admit(rig.joining(joiner), by=["h1", "h2"])
        await settle(rig, rig.holders())
        assert await states(rig) == {1: ("active", 2), 2: ("active", 2)}
        for version, before in ((1, first), (2, second)):
            after = await rig.release(
                "app", "payroll", by=["h4", "h1"], version=version, reason=f"after {version}"
            )
            assert after.secret.matches(before.secret)

    rig.run(day())


def test_the_same_command_resumes_and_the_next_one_makes_the_next_version() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        client = KeyProposals(rig.holder("h1"))
        synced, _ = await client.holder.sync()
        asked = await client.rotate_or_resume(Name("payroll"), None, synced)
        assert await client.state_of(asked) == "waiting"
        assert (await client.rotate_or_resume(Name("payroll"), None, synced)) == asked
        with pytest.raises(Refused, match="--acks 3 is under way"):
            await client.rotate_or_resume(Name("payroll"), 2, synced)
        await rig.carry(asked, by=["h2"])
        assert (await client.rotate_or_resume(Name("payroll"), None, synced)) == asked
        rival = KeyProposals(rig.holder("h3"))
        with pytest.raises(Refused, match="still being made"):
            await rival.rotate_or_resume(Name("payroll"), None, (await rival.holder.sync())[0])
        await settle(rig, rig.holders())
        client.forget(asked)
        third = await client.rotate_or_resume(Name("payroll"), 2, synced)
        assert (third.body.version, third.body.acks) == (3, 2)

    rig.run(day())


def test_two_rotations_at_once_make_one_version() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        asked = []
        for name in ("h1", "h2"):
            client = KeyProposals(rig.holder(name))
            synced, _ = await client.holder.sync()
            asked.append(await client.rotate_or_resume(Name("payroll"), None, synced))
        assert asked[0].body == asked[1].body, "both want version 2"
        await rig.carry(asked[0], by=["h3"])
        with pytest.raises(Refused, match=r"void|being made"):
            await rig.approve("h3", asked[1].id.hex())
        assert (await rig.holder("h2").member.proposal(asked[1].id)).status is Status.VOID
        await settle(rig, rig.holders())
        assert await states(rig) == {1: ("active", 1), 2: ("active", 1)}

    rig.run(day())


@pytest.mark.parametrize("change", ["version", "unattended", "requesters", "suite"])
def test_other_terms_are_refused_by_the_authority_and_by_the_device(change: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        bends = {
            "version": {"version": 3},
            "unattended": {"options": KeyOptions.of(unattended=True)},
            "requesters": {"options": KeyOptions.of((Name("app"),))},
            "suite": {"suite": Suite.SHAMIR_GF256},
        }
        terms = {
            "key": Name("payroll"),
            "version": 2,
            "suite": Suite.PEDERSEN_ED25519,
            "acks": 3,
            "options": KeyOptions.of(),
        }
        body = Rotate(**{**terms, **bends[change]})
        client = rig.holder("h1")
        synced, _ = await client.sync()
        proposal = client.member.new_proposal(ROTATE, body.to_body(), synced.roster)
        before = rig.authority_rows()
        with pytest.raises(Refused):
            await client.member.propose(proposal)
        assert rig.authority_rows() == before
        if change != "version":
            with pytest.raises(Refused, match="other terms"):
                await client.dealings.create_key(body, synced, proposal=proposal)

    rig.run(day())


def test_a_rotation_that_the_roster_overtakes_is_given_up_and_may_be_proposed_again() -> None:
    """A holder joins while version 2 waits for its acknowledgements: version 1 is not touched."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        first = await rig.release("app", "payroll", by=["h1", "h2"])
        await rig.rotate("payroll", by=["h1", "h2"])
        joiner = rig.device("h4", Role.HOLDER)
        await rig.admit(rig.joining(joiner), by=["h1", "h2"])
        await settle(rig, rig.holders())
        known = await states(rig)
        assert known[1] == ("active", 2)
        if 2 not in known:
            await rig.rotate("payroll", by=["h1", "h2"])
            await settle(rig, rig.holders())
            known = await states(rig)
        assert known[2][0] == "active"
        after = await rig.release("app", "payroll", by=["h4", "h3"], reason="after")
        assert after.secret.matches(first.secret)
        await rig.release("app", "payroll", by=["h4", "h3"], version=2, reason="new")
        for name in rig.holders():
            with rig.devices[name].store.reading() as reader:
                assert len(list(all_held(reader))) <= 2

    rig.run(day())


def test_whoever_waits_for_a_key_that_was_given_up_is_told_and_may_ask_again() -> None:
    """It would be `pending` for as long as anybody waits: there is nothing left to come."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        client = KeyProposals(rig.holder("h1"))

        async def ask() -> Asked:
            synced, _ = await client.holder.sync()
            body = Create(
                key=Name("vault"),
                suite=Suite.PEDERSEN_ED25519,
                acks=len(synced.roster.holders),
                options=KeyOptions.of(),
            )
            asked = await client.propose_or_resume(body, synced)
            await rig.carry(asked, by=["h2"])
            return asked

        asked = await ask()
        brought = await rig.bring("app", "wallet", b"a seed")
        for name in ("h1", "h2"):
            await rig.approve(name, brought.proposal.hex())
        assert await client.state_of(asked) == "pending", "all four must have it first"
        assert (await rig.bring("app", "wallet", b"a seed")).state == "pending"
        await change(rig, REMOVE, remove_body(Name("h4")), by=["h1", "h2"])
        del rig.devices["h4"]
        await client.holder.sync()
        with pytest.raises(Refused, match="same command again") as caught:
            await client.state_of(asked)
        assert caught.value.code == 3
        with pytest.raises(Refused, match="same command again"):
            await rig.bring("app", "wallet", b"a seed")
        again = await ask()
        assert again.id != asked.id
        await settle(rig, rig.holders())
        assert await client.state_of(again) == "active"
        await rig.import_secret("app", "wallet", b"a seed")

    rig.run(day())
