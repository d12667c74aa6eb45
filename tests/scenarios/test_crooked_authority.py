"""An authority that turns against its domain: it can delay, but not make, destroy or swap a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from custody_thief import barrier_sealer, epoch_records, held_by, seeds_of
from domain_rig import DomainRig
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused
from tigertally.base.ids import Hash, HolderIndex, Name
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.custody.client import rows as device_rows
from tigertally.custody.client.holder import Holder
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import (
    Acknowledgement,
    Certificate,
    Complaint,
    Conviction,
    Dealing,
    DealingPackage,
    Opening,
)
from tigertally.custody.messages.kinds import Create, Form, KeyRef, Suite, parse_create
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.release import CollectReply
from tigertally.custody.messages.sync import (
    COLLECT,
    CUSTODY_SYNC,
    DEAL,
    CustodySyncReply,
    DealRequest,
)
from tigertally.custody.protocol.complaints import judge
from tigertally.custody.protocol.dealing import draw_sharing, make_dealing
from tigertally.custody.protocol.receiver import occasion_of_making
from tigertally.custody.service import rows
from tigertally.custody.state.authority import EpochRecord, EpochStatus, KeyRecord
from tigertally.quorum.proposal import open_proposal, proposal_id
from tigertally.quorum.receive_keys import newest_by_holder
from tigertally.storage.sealed import SealedTransaction

Change = Callable[[str, CustodySyncReply], CustodySyncReply]


def lie(rig: DomainRig, change: Change) -> None:
    def rewrite(caller: str, path: str, answer: bytes) -> bytes:
        if path != CUSTODY_SYNC:
            return answer
        return encode(change(caller, decode(CustodySyncReply, answer)))

    rig.network.equivocate("authority", rewrite)


def honest(rig: DomainRig) -> None:
    rig.network.equivocate("authority", lambda caller, path, answer: answer)


async def three_deal(rig: DomainRig, key: str = "payroll") -> None:
    state = await rig.propose_key(key)
    for name in ("h2", "h3"):
        await rig.approve(name, proposal_id(state.proposal).hex())


def record_of(rig: DomainRig, key: str) -> EpochRecord:
    return next(r for r in epoch_records(rig) if str(r.keys[0].name) == key)


def package_for(rig: DomainRig, name: str, record: EpochRecord, attempt: int) -> DealingPackage:
    """A good dealing by this holder, made from what its device has (it conspires)."""
    roster = rig.authority.chain.current
    create = parse_create(open_proposal(record.tally.proposal).options())
    occasion = occasion_of_making(record.proposal, create, roster, attempt)
    bundles = []
    for holder in rig.holders():
        with rig.devices[holder].store.reading() as reader:
            newest = device_rows.newest_bundle(reader)
        assert newest is not None
        bundles.append(newest[0])
    return make_dealing(
        occasion,
        dealer=roster.holder_of(rig.devices[name].key.public).index,
        receive_keys=newest_by_holder(bundles, roster.domain, roster.signer),
        key=rig.devices[name].key,
        randomness=rig.randomness,
    )


def second_opening(record: EpochRecord, packages: Sequence[DealingPackage], caller: str) -> Opening:
    """What `caller` is shown as attempt 2."""
    me = int(caller[1:])
    return Opening(
        tally=record.tally,
        attempt=2,
        roster=record.roster,
        dealings=tuple(package.dealing for package in packages),
        pieces=tuple(package.pieces[me - 1] for package in packages),
        convictions=(),
        base=(),
    )


# --- framing --------------------------------------------------------------------------------


@pytest.mark.requirement("X3")
def test_an_honest_dealing_of_another_occasion_frames_nobody() -> None:
    """Else the authority and one holder could convict all honest dealers and know the key."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        await three_deal(rig, "other")
        await three_deal(rig, "payroll")
        other, payroll = record_of(rig, "other"), record_of(rig, "payroll")
        foreign = next(e for e in other.dealings if e and decode(Dealing, e.body).dealer == 2)
        slot = decode(Dealing, foreign.body).slot_of(HolderIndex(1))
        seeds = seeds_of(rig, "h1")
        seed = next(iter(seeds.values())).seed_for(2)
        assert seed is not None
        complaint = Complaint(
            domain=rig.authority.chain.current.domain,
            proposal=payroll.proposal,
            attempt=1,
            complainer=HolderIndex(1),
            accused=2,
            number=slot.number,
            seed=seed,
        )
        conviction = Conviction(
            complaint=sign_message(rig.devices["h1"].key, tags.COMPLAINT, complaint),
            dealing=foreign,
            piece=b"whatever",
            receive_keys=Envelope(body=b"", signature=foreign.signature),
        )
        roster = rig.authority.chain.current
        create = parse_create(open_proposal(payroll.tally.proposal).options())
        occasion = occasion_of_making(payroll.proposal, create, roster, 1)
        with pytest.raises(Refused):
            judge(conviction, occasion, roster)

        def framed(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            ask = DealRequest(
                tally=payroll.tally,
                attempt=2,
                roster=roster.hash,
                convictions=(conviction,),
                base=(),
            )
            return replace(reply, openings=(), deals=(ask,))

        lie(rig, framed)
        report = await rig.sync("h3")
        assert report.culprits == ["authority"]
        assert report.sent == 0

    rig.run(day())


@pytest.mark.requirement("X3")
def test_a_proposal_to_other_holders_gets_no_dealing() -> None:
    """A dealing to today's holders, shown as one to yesterday's, would convict its dealer."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        state = await rig.propose_key("payroll")
        new = rig.device("h3", next(d.role for d in rig.devices.values()))
        await rig.admit(rig.joining(new), by=["h1", "h2"])
        client = rig.holder("h2")
        synced, _ = await client.sync()

        def still_open(caller: str, path: str, answer: bytes) -> bytes:
            return encode(state) if path == "/v1/proposal" else answer

        rig.network.equivocate("authority", still_open)
        seen = await client.member.find(proposal_id(state.proposal), synced)
        with pytest.raises(Refused, match="have changed"):
            await client.approve(seen, synced)
        with client.party.store.reading() as reader:
            assert list(reader.scan(device_rows.DEALT)) == []
            assert reader.get(device_rows.APPROVED, proposal_id(state.proposal)) is None

    rig.run(day())


# --- a key is made once ---------------------------------------------------------------------


@pytest.mark.requirement("C12")
def test_an_active_key_is_never_dealt_again() -> None:
    """A second attempt would be another key; certified, it would erase the first."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll")
        before = await rig.release("app", "payroll", by=["h1", "h2", "h3"])
        record = record_of(rig, "payroll")

        def again(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            ask = DealRequest(
                tally=record.tally, attempt=2, roster=record.roster, convictions=(), base=()
            )
            return replace(reply, deals=(ask,))

        lie(rig, again)
        for name in rig.holders():
            held = held_by(rig, name)
            report = await rig.sync(name)
            assert report.culprits == ["authority"] or name == "h4"  # h4 dealt nothing anyway
            assert report.problems
            assert report.sent == 0
            assert held_by(rig, name) == held
            with rig.devices[name].store.reading() as reader:
                key = device_rows.attempt_key(record.proposal, 2)
                assert reader.get(device_rows.DEALT, key) is None
        honest(rig)
        after = await rig.release("app", "payroll", by=["h4", "h2", "h3"], reason="again")
        assert before.secret.matches(after.secret)

    rig.run(day())


@pytest.mark.requirement("C12")
def test_holders_that_have_used_a_key_take_no_second_attempt_even_if_its_dealers_conspire() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        await rig.create("payroll")
        record = record_of(rig, "payroll")
        packages = [package_for(rig, f"h{dealer}", record, 2) for dealer in record.dealers]

        def second(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            return replace(reply, openings=(second_opening(record, packages, caller),))

        lie(rig, second)
        for name in rig.holders():
            held = held_by(rig, name)
            report = await rig.holder(name).sync(renew=False)
            assert report[1].culprits == ["authority"]
            assert held_by(rig, name) == held

    rig.run(day())


@pytest.mark.requirement("C12")
def test_after_a_later_attempt_no_certificate_of_an_earlier_one_counts() -> None:
    """The authority lets all acknowledge attempt 1, keeps that to itself, and goes on to 2."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        await three_deal(rig)
        lie(rig, lambda caller, reply: replace(reply, certificates=()))
        for name in rig.holders():
            await rig.sync(name)
        record = record_of(rig, "payroll")
        assert record.status is EpochStatus.CERTIFIED
        hidden = record.certificate()
        packages = [package_for(rig, f"h{dealer}", record, 2) for dealer in record.dealers]

        def second(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            return replace(
                reply, openings=(second_opening(record, packages, caller),), certificates=()
            )

        lie(rig, second)
        for name in rig.holders():
            await taken_in_vain(rig, name)
            assert len(held_by(rig, name)) == 2

        lie(rig, lambda caller, reply: replace(reply, certificates=(hidden,)))
        for name in rig.holders():
            report = await rig.sync(name)
            assert report.culprits == ["authority"]
            assert len(held_by(rig, name)) == 2  # and nothing was erased
            assert all(one.certificate is None for one in held_by(rig, name))

    rig.run(day())


async def taken_in_vain(rig: DomainRig, name: str) -> None:
    """The device stores the second attempt; the rig's own authority does not know of it."""
    _, report = await rig.holder(name).sync(renew=False)
    assert (report.received, report.culprits) == (1, [])


# --- swapping a key -------------------------------------------------------------------------


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("terms", ["lower threshold", "one acknowledgement", "own holders"])
def test_fewer_than_a_quorum_and_the_authority_swap_no_key(terms: str) -> None:
    """They state an epoch of a key they know; a requester would encrypt under it."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        await rig.requester("app")
        await rig.create("payroll")
        record = record_of(rig, "payroll")
        client = rig.asker("app")
        synced = await client.member.sync()
        ref = KeyRef(name=Name("payroll"), version=1)
        request, state = await client.ask(ref, "why", Form.PRIVATE, synced)
        id_ = proposal_id(state.proposal).hex()
        for name in ("h1", "h2", "h3"):
            await rig.approve(name, id_)
        for name in ("h1", "h2", "h3"):
            await rig.sync(name)
        forged = forged_certificate(rig, record, terms, ("h4", "h5"))

        def swap(caller: str, path: str, answer: bytes) -> bytes:
            if path != COLLECT:
                return answer
            return encode(replace(decode(CollectReply, answer), certificate=forged))

        rig.network.equivocate("authority", swap)
        secret = rig.devices["app"].device_secret
        with pytest.raises(PeerFault) as caught:
            await client.collect(request, ref, Form.PRIVATE, synced, secret)
        assert caught.value.culprits == ("authority",)
        honest(rig)
        assert await client.collect(request, ref, Form.PRIVATE, synced, secret) is not None

    rig.run(day())


def forged_certificate(
    rig: DomainRig, record: EpochRecord, terms: str, conspirators: tuple[str, ...]
) -> Certificate:
    roster = rig.authority.chain.current
    create = parse_create(open_proposal(record.tally.proposal).options())
    occasion = occasion_of_making(record.proposal, create, roster, 1)
    if terms == "lower threshold":
        occasion = replace(occasion, threshold=2)
    commitments, _ = draw_sharing(occasion, rig.randomness)
    good = record.parsed_statement()
    statement = replace(good, commitments=commitments, acks=2, threshold=occasion.threshold)
    if terms == "one acknowledgement":
        statement = replace(statement, acks=1)
    if terms == "own holders":
        statement = replace(statement, holders=(HolderIndex(4), HolderIndex(5)), threshold=2)
    acks = tuple(
        sign_message(
            rig.devices[name].key,
            tags.ACKNOWLEDGEMENT,
            Acknowledgement(
                domain=statement.domain,
                epoch=statement.hash,
                holder=HolderIndex(int(name[1:])),
                time=1,
            ),
        )
        for name in conspirators
    )
    return Certificate(statement=encode(statement), acknowledgements=acks)


# --- who may ask ----------------------------------------------------------------------------


@pytest.mark.requirement("C7")
def test_a_device_itself_knows_who_may_ask_for_a_key() -> None:
    """The authority lets `curious` ask for a key that was made for `app`; its holders do not."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        for name in ("app", "curious"):
            await rig.requester(name)
        client = rig.holder("h1")
        synced, _ = await client.sync()
        body = Create(
            key=Name("payroll"),
            suite=Suite.PEDERSEN_ED25519,
            acks=3,
            options=KeyOptions.of((Name("app"),)),
        )
        state = await client.dealings.create_key(body, synced)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        for _ in range(2):
            for name in rig.holders():
                await rig.sync(name)
        with pytest.raises(Refused, match="may not ask"):
            await rig.release("curious", "payroll", by=["h1", "h2"])
        asker = rig.asker("curious")
        synced = await asker.member.sync()
        ref = KeyRef(name=Name("payroll"), version=1)
        allow_all(rig)
        _, state = await asker.ask(ref, "because", Form.PRIVATE, synced)
        for name in rig.holders():
            with pytest.raises(Refused, match="curious may not ask"):
                await rig.approve(name, proposal_id(state.proposal).hex())
            with rig.devices[name].store.reading() as reader:
                assert list(reader.scan(device_rows.WRAPS)) == []
        assert await rig.release("app", "payroll", by=["h1", "h3"])

    rig.run(day())


def allow_all(rig: DomainRig) -> None:
    """The authority forgets for whom its keys were made."""
    with rig.disk.transaction() as tx:
        sealed = SealedTransaction(tx, barrier_sealer(rig.authority))
        for key, row in list(sealed.scan(rows.KEYS)):
            sealed.put(
                rows.KEYS, key, encode(replace(decode(KeyRecord, row), options=KeyOptions.of()))
            )


# --- acks and blame -------------------------------------------------------------------------


@pytest.mark.requirement("X3")
def test_a_forged_acknowledgement_in_a_certificate_names_the_authority_not_the_holder() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        await three_deal(rig)
        for name in rig.holders():
            await rig.sync(name)
        good = record_of(rig, "payroll").certificate()
        bad = replace(
            good,
            acknowledgements=(
                replace(good.acknowledgements[0], signature=good.acknowledgements[1].signature),
                *good.acknowledgements[1:],
            ),
        )
        few = replace(good, acknowledgements=good.acknowledgements[:3])
        twice = replace(good, acknowledgements=(good.acknowledgements[0],) * 4)
        for certificate in (bad, few, twice):
            lie(rig, lambda caller, reply, c=certificate: replace(reply, certificates=(c,)))
            report = await rig.sync("h1")
            assert report.culprits == ["authority"]
            assert [one.certificate for one in held_by(rig, "h1")] == [None]
        honest(rig)
        assert (await rig.sync("h1")).culprits == []
        assert [one.certificate for one in held_by(rig, "h1")] == [good]

    rig.run(day())


@pytest.mark.requirement("X3")
def test_an_error_that_the_authority_claims_blames_nobody() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        state = await rig.propose_key("payroll")
        await rig.approve("h2", proposal_id(state.proposal).hex())
        client = rig.holder("h3")

        class Liar:
            async def call(self, path: str, body: bytes, *, wait: float = 30.0) -> bytes:
                if path == "/v1/custody/acknowledge":
                    raise PeerFault("h1 lied", culprits=("h1",), sure=True)
                return await rig.devices["h3"].party.channel.call(path, body, wait=wait)

        client = Holder(replace(client.party, channel=Liar()))
        _, report = await client.sync()
        assert report.culprits == []
        assert report.problems == ["the authority says: h1 lied"]

    rig.run(day())


# --- sharing anew ---------------------------------------------------------------------------


async def one_joins(rig: DomainRig, suite: Suite = Suite.PEDERSEN_ED25519) -> None:
    """A key of three holders; a fourth has joined, nobody has dealt yet."""
    await rig.form(3)
    await rig.requester("app")
    await rig.create("payroll", suite=suite)
    new = rig.device("h4", rig.devices["h1"].role)
    await rig.admit(rig.joining(new), by=["h1", "h2"])
    await rig.holder("h4").sync()


def with_other_terms(base: tuple[BaseKey, ...]) -> tuple[BaseKey, ...]:
    return tuple(
        replace(one, options=KeyOptions.of((Name("thief"),), unattended=True)) for one in base
    )


@pytest.mark.requirement("C7")
@pytest.mark.requirement("C9")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_reshare_changes_nobodys_right_to_ask(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await one_joins(rig, suite)
        dealt_before = [event for event in rig.network.events if event.path == DEAL]

        def widened(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            deals = tuple(replace(d, base=with_other_terms(d.base)) for d in reply.deals)
            return replace(reply, deals=deals)

        lie(rig, widened)
        for name in ("h1", "h2", "h3"):
            report = await rig.sync(name)
            assert report.culprits == ["authority"]
            assert report.sent == 0
        assert [e for e in rig.network.events if e.path == DEAL] == dealt_before

    rig.run(day())


@pytest.mark.requirement("X3")
@pytest.mark.requirement("C9")
def test_a_donor_is_not_framed_by_showing_its_dealing_for_another_base() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await one_joins(rig)
        for name in ("h1", "h2", "h3"):
            await rig.holder(name).member.sync()
        for name in ("h1", "h2"):
            await rig.sync(name)

        def other_base(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            openings = tuple(
                replace(o, base=tuple(replace(b, epoch=Hash(bytes(32))) for b in o.base))
                for o in reply.openings
            )
            return replace(reply, openings=openings)

        lie(rig, other_base)
        for name in ("h4", "h3"):
            report = await rig.sync(name)
            assert report.culprits == ["authority"]  # not h1 or h2, who dealt honestly
        honest(rig)
        for _ in range(3):
            for name in rig.holders():
                await rig.sync(name)
        assert all(one.certificate for name in rig.holders() for one in held_by(rig, name))

    rig.run(day())


@pytest.mark.requirement("C4")
@pytest.mark.requirement("C9")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_key_that_is_shared_among_these_holders_is_not_shared_again(suite: Suite) -> None:
    """Else an authority gets the fragments of its own suite whenever it likes, without a tally."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await one_joins(rig, suite)
        asked: list[DealRequest] = []

        def remember(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            asked.extend(reply.deals)
            return reply

        lie(rig, remember)
        for _ in range(4):
            for name in rig.holders():
                await rig.sync(name)
            await rig.child_work()
        assert asked
        assert all(one.certificate for name in rig.holders() for one in held_by(rig, name))
        (live,) = held_by(rig, "h1")
        base = tuple(
            replace(
                one,
                epoch=live.parsed().hash,
                commitments=live.parsed().commitments_of(one.ref),
            )
            for one in asked[-1].base
        )
        more = replace(asked[-1], attempt=9, base=base)
        lie(rig, lambda caller, reply: replace(reply, deals=(more,)))
        for name in ("h1", "h2", "h3"):
            report = await rig.sync(name)
            assert any("shared among these holders already" in p for p in report.problems)
            assert report.sent == 0

    rig.run(day())
