"""Things that happen at once, twice, late, in the wrong order or broken: one outcome, never two."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused, TigertallyError
from tigertally.base.ids import Name
from tigertally.custody.messages.kinds import Form, KeyRef
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, Verdict
from tigertally.quorum.card import Role
from tigertally.quorum.changes import QUORUM
from tigertally.quorum.messages import ProposalState, VoteRequest
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import options_body, proposal_id
from tigertally.transport.memory import Leg

pytestmark = pytest.mark.requirement("C7")

KEY = KeyRef(name=Name("payroll"), version=1)
LIFE = 24 * 3600


async def question(rig: DomainRig, *, by: str = "h1") -> ProposalState:
    """A change that is proposed and has no vote yet."""
    client = rig.holder(by)
    roster = (await client.member.sync()).roster
    body = options_body(threshold=rig.threshold, unlock=2)
    return await client.member.propose(client.member.new_proposal(QUORUM, body, roster))


async def say(rig: DomainRig, name: str, state: ProposalState, verdict: Verdict) -> ProposalState:
    client = rig.holder(name)
    synced = await client.member.sync()
    cast = client.member.new_verdict(state.proposal, synced, verdict)
    return await client.member.vote(state, cast)


async def outcome(rig: DomainRig, state: ProposalState) -> ProposalState:
    return await rig.holder("h1").member.proposal(proposal_id(state.proposal))


async def audited(rig: DomainRig) -> Counter[str]:
    """How often each kind of entry stands in the log."""
    return Counter(entry.kind for entry in (await rig.audit("h1").report()).entries)


async def settled(*steps) -> list[object]:
    """All at once; errors of the tree are results, others are not."""
    results = await asyncio.gather(*steps, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, TigertallyError):
            raise result
    return results


def test_two_approvals_at_once_complete_it_once() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        before = await audited(rig)
        state = await question(rig)
        results = await settled(*(say(rig, f"h{n}", state, Verdict.APPROVE) for n in range(1, 6)))
        assert (await outcome(rig, state)).status is Status.COMPLETE
        assert len((await outcome(rig, state)).approvals) == 3
        after = await audited(rig) - before
        assert after["roster.changed"] == after["tally.executed"] == 1
        assert after["proposal.approved"] == 3
        assert len([r for r in results if isinstance(r, ProposalState)]) >= 3
        assert rig.authority.chain.current.version == 6

    rig.run(day())


def test_the_same_approval_twice_counts_once() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        state = await question(rig)
        client = rig.holder("h1")
        cast = client.member.new_verdict(
            state.proposal, await client.member.sync(), Verdict.APPROVE
        )
        raw = encode(VoteRequest(verdict=cast, attachment=b""))
        channel = rig.devices["h1"].party.channel
        answers = await asyncio.gather(*(channel.call(messages.VOTE, raw) for _ in range(4)))
        assert len(set(answers)) == 1
        kept = dump(rig.disk)
        await channel.call(messages.VOTE, raw)
        assert dump(rig.disk) == kept
        assert len((await outcome(rig, state)).approvals) == 1
        again = client.member.new_verdict(
            state.proposal, await client.member.sync(), Verdict.REJECT
        )
        kept = dump(rig.disk)
        with pytest.raises(Refused):
            await client.member.vote(state, again)
        assert dump(rig.disk) == kept

    rig.run(day())


def test_a_person_who_approves_again_sends_the_same_bytes() -> None:
    """The first answer was lost; the second approval is the first one."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        state = await question(rig)
        id_ = proposal_id(state.proposal).hex()
        rig.network.drop(from_="h2", path=messages.VOTE, leg=Leg.ANSWER, times=1)
        with pytest.raises(TigertallyError):
            await rig.approve("h2", id_)
        assert len((await outcome(rig, state)).approvals) == 1
        assert len((await rig.approve("h2", id_)).approvals) == 1
        assert (await rig.approve("h3", id_)).status is Status.COMPLETE

    rig.run(day())


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_approval_against_expiry(seconds: int) -> None:
    """The authority's clock decides, in the second in which the approval arrives."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        state = await question(rig)
        await say(rig, "h1", state, Verdict.APPROVE)
        client = rig.holder("h2")
        cast = client.member.new_verdict(
            state.proposal, await client.member.sync(), Verdict.APPROVE
        )
        rig.clock.time += LIFE + seconds
        if seconds < 0:
            assert (await client.member.vote(state, cast)).status is Status.COMPLETE
        else:
            kept = dump(rig.disk)
            with pytest.raises(Refused):
                await client.member.vote(state, cast)
            assert dump(rig.disk) == kept
        expected = Status.COMPLETE if seconds < 0 else Status.EXPIRED
        assert (await outcome(rig, state)).status is expected
        assert rig.authority.chain.current.version == (4 if seconds < 0 else 3)
        with pytest.raises(Refused):  # whatever came first stays
            await say(rig, "h3", state, Verdict.REJECT)
        assert (await outcome(rig, state)).status is expected

    rig.run(day())


def test_a_device_signs_nothing_after_expiry() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        state = await question(rig)
        client = rig.holder("h2")
        synced = await client.member.sync()
        rig.clock.time += LIFE
        kept = dump(rig.devices["h2"].disk)
        for verdict in Verdict:
            with pytest.raises(Refused):
                client.member.new_verdict(state.proposal, synced, verdict)
        assert dump(rig.devices["h2"].disk) == kept

    rig.run(day())


@pytest.mark.parametrize("seed", range(6))
def test_rejection_against_completion(seed: int) -> None:
    """m = 2 of 3: two say yes, two say no, one of them both; all at once."""
    rig = DomainRig(threshold=2, seed=seed)

    async def day() -> None:
        await rig.form(3)
        before = await audited(rig)
        state = await question(rig)
        rig.network.delay(0.0, 3.0, path=messages.VOTE)
        results = await settled(
            say(rig, "h1", state, Verdict.APPROVE),
            say(rig, "h2", state, Verdict.REJECT),
            say(rig, "h3", state, Verdict.REJECT),
            say(rig, "h3", state, Verdict.APPROVE),
        )
        rig.network.heal()
        end = await outcome(rig, state)
        assert end.status in (Status.COMPLETE, Status.REJECTED)
        assert any(isinstance(result, Refused) for result in results)
        changed = (await audited(rig) - before)["roster.changed"]
        assert changed == (end.status is Status.COMPLETE)
        voted = [*end.approvals, *end.rejections]
        assert len({decode_holder(one) for one in voted}) == len(voted)

    rig.run(day())


def decode_holder(envelope) -> int:
    return decode(Approval, envelope.body).holder


@pytest.mark.requirement("C8")
@pytest.mark.parametrize("seed", range(4))
def test_two_joins_at_once(seed: int) -> None:
    """Both follow the same roster: one comes in, the other asks again and comes in after it."""
    rig = DomainRig(threshold=2, seed=seed)

    async def day() -> None:
        await rig.form(3)
        joining = [rig.joining(rig.device(name, Role.HOLDER)) for name in ("h4", "h5")]
        asked = await asyncio.gather(*(one.ask() for one in joining))
        rig.network.delay(0.0, 2.0)
        await settled(
            *(
                rig.approve(name, one.proposal.hex())
                for name, one in zip(("h1", "h2", "h3", "h1", "h2", "h3"), asked * 3, strict=True)
            )
        )
        rig.network.heal()
        version = rig.authority.chain.current.version
        assert version in (3, 4)  # each holder votes for one successor: none may have two votes
        for one in joining:
            for _ in range(3):
                now = await one.ask()
                if now.state == "enrolled":
                    break
                rig.clock.time += LIFE if await stuck(rig, now.proposal.hex()) else 0
        roster = rig.authority.chain.current
        assert len({holder.index for holder in roster.holders}) == len(roster.holders)
        assert {"h1", "h2", "h3"} < {str(holder.name) for holder in roster.holders}
        chains = {rig.holder(name).member.chain().current.hash for name in await everybody(rig)}
        assert chains == {roster.hash}

    rig.run(day())


async def stuck(rig: DomainRig, id_: str) -> bool:
    """Holders approve; True if their votes are bound to another change."""
    for name in ("h1", "h2", "h3"):
        try:
            state = await rig.approve(name, id_)
        except Refused:
            continue
        if state.status is not Status.PENDING:
            return False
    return True


async def everybody(rig: DomainRig) -> list[str]:
    names = [str(holder.name) for holder in rig.authority.chain.current.holders]
    for name in names:
        await rig.holder(name).member.sync()
    return names


def test_a_holder_votes_for_one_successor_at_a_time() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        one, two = await question(rig), await question(rig, by="h2")
        await say(rig, "h1", one, Verdict.APPROVE)
        client = rig.holder("h1")
        synced = await client.member.sync()
        kept = dump(rig.devices["h1"].disk)
        with pytest.raises(Refused, match="another change"):
            client.member.new_verdict(two.proposal, synced, Verdict.APPROVE)
        assert dump(rig.devices["h1"].disk) == kept
        rig.clock.time += LIFE  # the first has expired: the vote is free
        three = await question(rig, by="h3")
        assert (await say(rig, "h1", three, Verdict.APPROVE)).approvals

    rig.run(day())


def test_a_rejected_change_gives_every_vote_back() -> None:
    """Also that of a holder who had said yes: it learns of the rejections at its next sync."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        one = await question(rig)
        await say(rig, "h1", one, Verdict.APPROVE)
        for name in ("h2", "h3"):
            one = await say(rig, name, one, Verdict.REJECT)
        assert one.status is Status.REJECTED
        two = await question(rig, by="h2")
        for name in ("h1", "h2", "h3"):
            two = await say(rig, name, two, Verdict.APPROVE)
        assert two.status is Status.COMPLETE

    rig.run(day())


@pytest.mark.requirement("C1")
@pytest.mark.parametrize("seed", range(5))
def test_a_bad_day_has_one_outcome(seed: int) -> None:
    """Everything is duplicated, delayed, reordered, now and then lost or broken."""
    rig = DomainRig(threshold=3, seed=seed)

    async def day() -> None:
        await rig.form(4)
        before = await audited(rig)
        rig.network.duplicate().delay(0.0, 2.0).reorder(within=4.0)
        rig.network.drop(chance=0.15).drop(chance=0.15, leg=Leg.ANSWER)
        rig.network.corrupt(chance=0.1).corrupt(chance=0.1, leg=Leg.ANSWER)
        state = await insist(lambda: question(rig))
        id_ = proposal_id(state.proposal).hex()
        await asyncio.gather(*(insist(lambda n=n: vote_once(rig, n, id_)) for n in range(1, 5)))
        rig.network.heal()
        for number in range(1, 5):  # who was refused for broken bytes tries again
            if (await outcome(rig, state)).status is Status.PENDING:
                await vote_once(rig, number, id_)
        end = await outcome(rig, state)
        assert end.status is Status.COMPLETE
        assert len(end.approvals) == 3
        after = await audited(rig) - before
        assert after["tally.executed"] == after["roster.changed"]
        assert after["roster.changed"] == rig.authority.chain.current.version - 4
        assert len({rig.holder(n).member.chain().current.hash for n in await everybody(rig)}) == 1

    rig.run(day())


async def vote_once(rig: DomainRig, number: int, id_: str) -> None:
    """Refused: the others were enough, our vote stands already, or it arrived broken."""
    with suppress(Refused):
        await rig.approve(f"h{number}", id_)


async def insist(step, tries: int = 60):
    """What a person does: try again, until it is through or refused."""
    for _ in range(tries):
        try:
            return await step()
        except Refused:
            raise
        except TigertallyError:
            continue
    raise AssertionError("never got through")


@pytest.mark.parametrize("seed", range(3))
def test_a_release_on_a_bad_day_ends_with_one_key(seed: int) -> None:
    rig = DomainRig(threshold=2, seed=seed)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        good = await rig.release("app", "payroll", by=["h1", "h2"])
        rig.network.duplicate().delay(0.0, 1.0).reorder(within=2.0)
        rig.network.drop(chance=0.1).corrupt(chance=0.05)
        client = rig.asker("app")
        request, state = await insist(lambda: again(rig))
        for name in ("h2", "h3"):
            await insist(lambda name=name: rig.approve(name, proposal_id(state.proposal).hex()))
        for name in ("h2", "h3"):
            await insist(lambda name=name: rig.sync(name))
        rig.network.heal()
        for name in ("h2", "h3"):
            await rig.sync(name)
        synced = await client.member.sync()
        secret = rig.devices["app"].device_secret
        got = await client.collect(request, KEY, Form.PRIVATE, synced, secret)
        assert got is not None
        assert got.secret.matches(good.secret)
        assert got.faulty == ()

    rig.run(day())


async def again(rig: DomainRig):
    client = rig.asker("app")
    return await client.ask(KEY, "a bad day", Form.PRIVATE, await client.member.sync())
