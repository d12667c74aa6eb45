"""No fragment leaves a device before a complete, verified tally of exactly that request.

Everything that holders send is kept and tried with every key that the relay and the requesters
have. Each test ends with the positive control: after an honest tally the same search finds m
fragments.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from custody_thief import Tap, fragment_infos, held_by, opened_fragments, thief_keys
from domain_rig import DomainRig
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused, TigertallyError, Unavailable
from tigertally.base.ids import Name, Nonce, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.kinds import Form, KeyRef, Suite
from tigertally.custody.messages.sync import CUSTODY_SYNC, CustodySyncReply, ReleaseDue
from tigertally.quorum import changes
from tigertally.quorum.approval import Approval, Verdict, sign_approval
from tigertally.quorum.member.memory import see
from tigertally.quorum.messages import PROPOSAL, SYNC, VOTE, ProposalState, SyncReply
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import (
    Proposal,
    open_proposal,
    options_body,
    proposal_id,
    sign_proposal,
)
from tigertally.quorum.roster import SignedRoster

HOLDERS = ("h1", "h2", "h3", "h4", "h5")
Bend = Callable[[ProposalState], ProposalState]


@dataclass
class Watched:
    """A domain with an active key, a tap on the wire and some open requests."""

    rig: DomainRig
    tap: Tap
    states: list[ProposalState]

    @property
    def ids(self) -> list[ProposalId]:
        return [proposal_id(state.proposal) for state in self.states]

    def leaked(self, only: ProposalId | None = None) -> list[bytes]:
        """Every fragment that the relay and the requesters can open."""
        ids = self.ids if only is None else [only]
        infos = fragment_infos(self.rig, ids, "payroll")
        return opened_fragments(self.tap.bodies(), thief_keys(self.rig), infos)

    async def honest(self, by: Sequence[str], request: int = 0) -> None:
        """The positive control: an honest tally of one request."""
        self.rig.network.equivocate("authority", lambda caller, path, answer: answer)
        for name in by:
            await self.approve(name, request)
        for name in by:
            await self.rig.sync(name)

    async def approve(self, name: str, request: int = 0) -> None:
        try:
            await self.rig.approve(name, self.ids[request].hex())
        except Refused as refused:
            if "voted" not in str(refused):
                raise

    async def try_everything(self) -> None:
        """All holders sync, whatever they are told; what they refuse does not stop the others."""
        for name in self.rig.holders():
            try:
                await self.rig.sync(name)
            except TigertallyError:
                continue


async def watched(rig: DomainRig, *, requests: int = 1, suite: Suite) -> Watched:
    await rig.form(5)
    await rig.requester("app")
    await rig.create("payroll", suite=suite)
    tap = Tap(rig)
    states = []
    for number in range(requests):
        client = rig.asker("app")
        synced = await client.member.sync()
        ref = KeyRef(name=Name("payroll"), version=1)
        _, state = await client.ask(ref, f"reason {number}", Form.PRIVATE, synced)
        states.append(state)
    return Watched(rig=rig, tap=tap, states=states)


def tell(rig: DomainRig, bend: Bend) -> None:
    """The relay bends every proposal state it shows, and says that all fragments are due."""

    def rewrite(caller: str, path: str, answer: bytes) -> bytes:
        if path in (VOTE, PROPOSAL):
            return encode(bend(decode(ProposalState, answer)))
        if path == SYNC:
            reply = decode(SyncReply, answer)
            return encode(replace(reply, proposals=tuple(bend(s) for s in reply.proposals)))
        return answer

    rig.network.equivocate("authority", rewrite)


def demand(rig: DomainRig, states: Callable[[], Sequence[ProposalState]]) -> None:
    """The relay claims at every sync that these releases are complete and due."""

    def rewrite(caller: str, path: str, answer: bytes) -> bytes:
        if path != CUSTODY_SYNC:
            return answer
        due = tuple(ReleaseDue(state=state) for state in states())
        return encode(replace(decode(CustodySyncReply, answer), releases=due))

    rig.network.equivocate("authority", rewrite)


def complete(state: ProposalState, *approvals: Envelope) -> ProposalState:
    return replace(state, status=Status.COMPLETE, approvals=approvals)


def approval_by(
    rig: DomainRig, name: str, proposal: ProposalId, *, verdict: Verdict = Verdict.APPROVE
) -> Envelope:
    return _approval(rig, name, rig.devices[name].key, proposal, verdict)


def _approval(
    rig: DomainRig, name: str, key: SigningKey, proposal: ProposalId, verdict: Verdict
) -> Envelope:
    roster = rig.authority.chain.current
    index = roster.holder_of(rig.devices[name].key.public).index
    approval = Approval(
        proposal=proposal,
        verdict=verdict,
        roster=roster.hash,
        holder=index,
        checkpoint="",
        attachment=None,
        reason="",
        time=rig.clock.now(),
    )
    return sign_approval(key, approval)


@pytest.mark.requirement("C11")
@pytest.mark.requirement("X2")
@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize(
    "lie",
    ["nothing but the word", "one twice", "forged", "a rejection", "strangers", "one too few"],
)
def test_a_relay_that_lies_about_approvals_gets_nothing(suite: Suite, lie: str) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, suite=suite)
        state, id_ = seen.states[0], seen.ids[0]
        first = approval_by(rig, "h1", id_)
        forged = _approval(rig, "h4", rig.key, id_, Verdict.APPROVE)
        no = approval_by(rig, "h5", id_, verdict=Verdict.REJECT)
        stranger = rig.device("stranger", next(d.role for d in rig.devices.values()))
        fake = _approval(rig, "h5", stranger.key, id_, Verdict.APPROVE)
        del rig.devices["stranger"]
        lies = {
            "nothing but the word": (),
            "one twice": (first, first, first),
            "forged": (first, forged, forged),
            "a rejection": (first, no, approval_by(rig, "h2", id_)),
            "strangers": (first, fake, forged),
            "one too few": (first, approval_by(rig, "h2", id_)),
        }
        told = complete(state, *lies[lie])
        await seen.approve("h1")
        demand(rig, lambda: [told])
        await seen.try_everything()
        tell(rig, lambda honest: replace(told, proposal=honest.proposal))
        for name in ("h1", "h2"):
            try:
                await seen.approve(name)
            except TigertallyError:
                continue
        assert seen.leaked() == []
        await seen.honest(["h1", "h2", "h3"])
        assert len(seen.leaked()) == 3

    rig.run(day())


@pytest.mark.requirement("C11")
@pytest.mark.parametrize("suite", list(Suite))
def test_three_half_approved_requests_make_no_tally(suite: Suite) -> None:
    """One approval of each of three requests: the relay puts them together in every way."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, requests=3, suite=suite)
        for name, request in (("h1", 0), ("h2", 1), ("h3", 2)):
            await seen.approve(name, request)
        approvals = []
        for id_ in seen.ids:
            client = rig.holder("h1")
            synced = await client.member.sync()
            approvals += list((await client.member.find(id_, synced)).state.approvals)
        assert len(approvals) == 3
        for state in seen.states:
            demand(rig, lambda state=state: [complete(state, *approvals)])
            await seen.try_everything()
        tell(rig, lambda honest: complete(honest, *approvals))
        await seen.try_everything()
        assert seen.leaked() == []
        await seen.honest(["h1", "h4", "h5"])
        assert len(seen.leaked(seen.ids[0])) == 3
        assert seen.leaked(seen.ids[1]) == []
        assert seen.leaked(seen.ids[2]) == []

    rig.run(day())


@pytest.mark.requirement("C11")
@pytest.mark.parametrize("suite", list(Suite))
def test_an_old_tally_serves_no_new_request(suite: Suite) -> None:
    """Replays: yesterday's complete tally, with today's proposal, and under today's name."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, requests=2, suite=suite)
        await seen.honest(["h1", "h2", "h3"], request=0)
        before = len(seen.leaked())
        assert before == 3
        client = rig.holder("h1")
        old = await client.member.proposal(seen.ids[0])
        mixed = replace(old, proposal=seen.states[1].proposal)
        demand(rig, lambda: [mixed, old, mixed])
        await seen.approve("h4", request=1)
        await seen.try_everything()
        assert seen.leaked(seen.ids[1]) == []
        tell(rig, lambda honest: replace(mixed, proposal=honest.proposal))
        await seen.try_everything()
        assert seen.leaked(seen.ids[1]) == []
        await seen.honest(["h4", "h2", "h5"], request=1)
        assert len(seen.leaked(seen.ids[1])) == 3

    rig.run(day())


@pytest.mark.requirement("C11")
def test_after_expiry_nothing_leaves() -> None:
    """The tally was complete in time; the relay held it back until it had expired."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, suite=Suite.PEDERSEN_ED25519)
        for name in ("h1", "h2", "h3"):
            await seen.approve(name)
        already = seen.leaked()
        assert len(already) == 1  # h3's own approval completed it
        told = await rig.holder("h1").member.proposal(seen.ids[0])
        assert told.status is Status.COMPLETE
        rig.clock.time = open_proposal(told.proposal).expires
        demand(rig, lambda: [told])
        await seen.try_everything()
        assert seen.leaked() == already
        rig.clock.time -= 1
        await seen.try_everything()
        assert len(seen.leaked()) == 3

    rig.run(day())


@pytest.mark.requirement("C11")
@pytest.mark.requirement("C12")
@pytest.mark.parametrize("seed", range(4))
def test_messages_in_any_order_and_twice(seed: int) -> None:
    """Drop, delay, reorder, duplicate: at every moment fewer than m approvals leak nothing."""
    rig = DomainRig(threshold=3, seed=seed)
    dice = random.Random(f"reorder/{seed}")

    async def day() -> None:
        seen = await watched(rig, suite=Suite.PEDERSEN_ED25519)
        rig.network.drop(chance=0.1).reorder(within=3.0, chance=0.5).duplicate(chance=0.3)
        yes: set[str] = set()
        for name in dice.sample(HOLDERS, 5):
            for _ in range(50):
                try:
                    await seen.approve(name)
                    break
                except Unavailable:
                    continue
            yes.add(name)
            for other in dice.sample(HOLDERS, 3):
                try:
                    await rig.sync(other)
                except Unavailable:
                    continue
            assert len(yes) >= 3 or seen.leaked() == []
        rig.network.heal()
        await seen.try_everything()
        assert len(set(seen.leaked())) == 5

    rig.run(day())


# --- rosters and requesters -----------------------------------------------------------------


async def remove_requester(rig: DomainRig, name: str, by: Sequence[str]) -> None:
    client = rig.holder(by[0])
    synced, _ = await client.sync()
    proposal = client.member.new_proposal(
        changes.REQUESTER_REMOVE, options_body(name=name), synced.roster
    )
    verdict = client.member.new_verdict(proposal, synced, Verdict.APPROVE)
    state = await client.member.propose(proposal, approval=verdict)
    for other in by[1:]:
        state = await rig.approve(other, proposal_id(state.proposal).hex())
    assert state.status is Status.COMPLETE


@pytest.mark.requirement("C7")
@pytest.mark.requirement("C11")
def test_a_removed_requester_gets_nothing_although_its_tally_is_complete() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, suite=Suite.PEDERSEN_ED25519)
        for name in ("h1", "h2"):
            await seen.approve(name)
        await remove_requester(rig, "app", ("h4", "h5", "h3"))
        told = complete(
            seen.states[0], *(approval_by(rig, name, seen.ids[0]) for name in ("h1", "h2", "h3"))
        )
        demand(rig, lambda: [told])
        for name in ("h1", "h2"):
            report = await rig.sync(name)
            assert any("no longer" in problem for problem in report.problems)
        with pytest.raises(Refused):
            await seen.approve("h3")
        assert seen.leaked() == []

    rig.run(day())


@pytest.mark.requirement("C7")
@pytest.mark.requirement("C11")
def test_a_stranger_gets_nothing_although_a_relay_shows_its_request() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, suite=Suite.PEDERSEN_ED25519)
        role = rig.devices["app"].role
        stranger = rig.device("stranger", role)
        honest = open_proposal(seen.states[0].proposal)
        theirs: Proposal = replace(
            honest, proposer=stranger.key.public, nonce=Nonce(rig.randomness.bytes(32))
        )
        shown = replace(seen.states[0], proposal=sign_proposal(stranger.key, theirs))
        seen.states.append(shown)
        id_ = seen.ids[1]
        told = complete(shown, *(approval_by(rig, n, id_) for n in ("h1", "h2", "h3")))

        demand(rig, lambda: [told])
        for name in ("h1", "h2", "h3"):
            client = rig.holder(name)
            synced, report = await client.sync()
            assert any("requester of the domain" in problem for problem in report.problems)
            with pytest.raises(Refused, match="requester of the domain"):
                await client.approve(see(told, synced.chain, client.party.kinds), synced)
        assert seen.leaked() == []

    rig.run(day())


@pytest.mark.requirement("C11")
def test_a_tally_without_the_persons_own_yes_moves_no_device() -> None:
    """m approvals are there, but not this holder's: its device has nothing to send."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, suite=Suite.PEDERSEN_ED25519)
        for name in ("h1", "h2", "h3"):
            await seen.approve(name)
        told = await rig.holder("h1").member.proposal(seen.ids[0])
        demand(rig, lambda: [told])
        for name in ("h4", "h5"):
            report = await rig.sync(name)
            assert any("never approved" in problem for problem in report.problems)
        assert seen.tap.bodies("h4", "/v1/custody/deliver") == []
        assert len(seen.leaked()) == 1
        await seen.try_everything()
        assert len(seen.leaked()) == 3

    rig.run(day())


@pytest.mark.requirement("C7")
@pytest.mark.requirement("C11")
def test_a_forked_roster_stops_the_devices() -> None:
    """The relay signs a roster with a requester of its own: no tally, so no successor."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, suite=Suite.PEDERSEN_ED25519)
        for name in ("h1", "h2"):
            await seen.approve(name)
        thief = rig.device("thief", rig.devices["app"].role)
        real = rig.authority.chain.signed[-1]
        roster = rig.authority.chain.current
        me = replace(
            roster.requesters[0],
            name=Name("thief"),
            signing_key=thief.key.public,
            wrapping_key=thief.wrapping_key.public,
        )
        body = encode(
            replace(
                roster,
                version=roster.version + 1,
                previous=roster.hash,
                requesters=(*roster.requesters, me),
            )
        )
        successor = replace(real, body=body, authority_signature=rig.key.sign(tags.ROSTER, body))
        twin_body = encode(replace(roster, requesters=(me,)))
        twin = replace(
            real, body=twin_body, authority_signature=rig.key.sign(tags.ROSTER, twin_body)
        )
        for forged, proof in ((successor, False), (twin, True)):

            def rewrite(caller: str, path: str, answer: bytes, one: SignedRoster = forged) -> bytes:
                if path != SYNC:
                    return answer
                return encode(replace(decode(SyncReply, answer), rosters=(one,)))

            rig.network.equivocate("authority", rewrite)
            for name in ("h1", "h2", "h3"):
                with pytest.raises((PeerFault, Refused)) as caught:
                    await rig.sync(name)
                if proof:
                    assert isinstance(caught.value, PeerFault)
                    assert (caught.value.culprits, caught.value.sure) == (("authority",), True)
            assert seen.leaked() == []
        rig.network.equivocate("authority", lambda caller, path, answer: answer)
        with pytest.raises(PeerFault, match="proof against the authority"):
            await seen.approve("h3")  # a device with proof does not go on
        for name in ("h4", "h5"):  # who has not seen it goes on, and completes the tally
            await seen.approve(name)
        await seen.try_everything()
        del rig.devices["thief"]
        assert len(seen.leaked()) == 2  # those two; h1 and h2 have approved, but send nothing

    rig.run(day())


# --- what is kept ---------------------------------------------------------------------------


@pytest.mark.requirement("C11")
@pytest.mark.parametrize("suite", list(Suite))
def test_between_yes_and_tally_only_the_approval_has_left(suite: Suite) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        seen = await watched(rig, suite=suite)
        await seen.approve("h1")
        paths = [path for who, path, _ in seen.tap.sent if who == "h1"]
        assert "/v1/vote" in paths
        assert "/v1/custody/deliver" not in paths
        held = held_by(rig, "h1")[0].payloads[0]
        assert not any(held in body or held[:32] in body for body in seen.tap.bodies())
        assert seen.leaked() == []

    rig.run(day())


def test_the_search_itself_finds_a_fragment_wherever_it_stands() -> None:
    """Positive control of the tap: a fragment inside a message inside a message."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        key = rig.wrapping_key
        sealed = key.public.seal(b"f" * 64, info=b"here")
        message = encode(
            Envelope(body=encode(Envelope(body=sealed, signature=_SIG)), signature=_SIG)
        )
        assert opened_fragments([message], [key], [b"there", b"here"]) == [b"f" * 64]
        assert opened_fragments([message], [key], [b"there"]) == []
        other = thief_keys(rig, requesters=())
        assert opened_fragments([message], other, [b"here"]) == [b"f" * 64]

    rig.run(day())


_SIG = SigningKey.generate(DomainRig(threshold=2).randomness).sign(b"t", b"m")
