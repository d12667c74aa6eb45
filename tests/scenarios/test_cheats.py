"""Who lies is named, and nobody else; and the others go on without them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from custody_thief import (
    CrookedHolder,
    Tap,
    approve_with,
    audit_kinds,
    barrier_sealer,
    epoch_records,
    held_by,
    seeds_of,
    spoil,
)
from domain_rig import DomainRig
from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    InvalidSignature,
    PeerFault,
    Refused,
    TigertallyError,
    Unavailable,
)
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.dealing import Acknowledgement, Certificate, Complaint, Dealing
from tigertally.custody.messages.kinds import Form, KeyRef, Suite
from tigertally.custody.messages.release import CollectReply, FragmentDelivery, WrappedFragment
from tigertally.custody.messages.sync import (
    ACKNOWLEDGE,
    COLLECT,
    COMPLAIN,
    CUSTODY_SYNC,
    DELIVER,
    CustodySyncReply,
    CustodySyncRequest,
    DeliverRequest,
)
from tigertally.custody.protocol.dealing import open_piece
from tigertally.custody.service import rows as authority_rows
from tigertally.custody.state.authority import EpochStatus
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.receive_keys import ReceiveKeys, private_key
from tigertally.storage.sealed import SealedReader
from walks import sampled

Bends = dict[str, object]


async def proposed(rig: DomainRig, *, by: str = "h1") -> str:
    state = await rig.propose_key("payroll", by=by)
    return proposal_id(state.proposal).hex()


async def sync_until_active(rig: DomainRig, *, rounds: int = 6) -> dict[str, set[str]]:
    """Everybody syncs; who blamed whom."""
    blamed: dict[str, set[str]] = {name: set() for name in rig.holders()}
    for _ in range(rounds):
        for name in rig.holders():
            report = await rig.sync(name)
            blamed[name] |= set(report.culprits)
    return blamed


def everyone_blamed(blamed: dict[str, set[str]]) -> set[str]:
    return set().union(*blamed.values())


def convicted(rig: DomainRig) -> set[str]:
    return {actor for kind, actor in audit_kinds(rig) if kind == "custody.convicted"}


def flip_piece(*places: int) -> Callable[[list[bytes]], None]:
    def bend(pieces: list[bytes]) -> None:
        for place in places or range(len(pieces)):
            pieces[place] = pieces[place][:-1] + bytes([pieces[place][-1] ^ 1])

    return bend


def empty_piece(pieces: list[bytes]) -> None:
    pieces[2] = b""


# --- dealers --------------------------------------------------------------------------------


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(
    "bends",
    [
        {"bend": spoil(3)},
        {"bend": spoil(1, 4)},
        {"bend": spoil()},
        {"bend_pieces": flip_piece(4)},
        {"bend_pieces": flip_piece()},
        {"bend_pieces": empty_piece},
    ],
    ids=["one", "two", "all", "one does not open", "none opens", "an empty piece"],
)
def test_a_crooked_dealer_is_named_and_left_out(bends: Bends) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        await rig.requester("app")
        id_ = await proposed(rig)
        crook = CrookedHolder(rig.devices["h2"].party, **bends)
        await approve_with(crook, id_)
        await rig.approve("h3", id_)
        blamed = await sync_until_active(rig)
        assert everyone_blamed(blamed) == {"h2"}
        assert convicted(rig) == {"h2"}
        first, second = epoch_records(rig)
        assert (first.status, second.status) == (EpochStatus.ABORTED, EpochStatus.CERTIFIED)
        assert (first.dealers, second.dealers) == ((1, 2, 3), (1, 3))
        key = await rig.release("app", "payroll", by=["h2", "h4", "h5"])
        assert key.faulty == ()

    rig.run(day())


@pytest.mark.requirement("X3")
def test_two_crooked_dealers_are_found_one_after_the_other() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        id_ = await proposed(rig)
        for name, receiver in (("h2", 1), ("h4", 3)):
            await approve_with(CrookedHolder(rig.devices[name].party, bend=spoil(receiver)), id_)
        crooks = {name: CrookedHolder(rig.devices[name].party, bend=spoil(1)) for name in ("h4",)}
        for _ in range(5):
            for name in rig.holders():
                client = crooks.get(name) or rig.holder(name)
                await client.sync()
        assert convicted(rig) == {"h2", "h4"}
        *_, last = epoch_records(rig)
        assert (last.dealers, last.status) == ((1,), EpochStatus.CERTIFIED)

    rig.run(day())


def with_foreign_proposal(occasion: object) -> object:
    return replace(occasion, proposal=type(occasion.proposal)(b"\x07" * 32))


def with_lower_threshold(occasion: object) -> object:
    return replace(occasion, threshold=2)


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(
    ("bends", "error", "named"),
    [
        ({"bend_commitments": lambda c: (c[0][:-32],)}, PeerFault, ("h2",)),
        ({"bend_commitments": lambda c: (c[0] + c[0][:32],)}, PeerFault, ("h2",)),
        ({"bend_commitments": lambda c: (b"\xff" * len(c[0]),)}, PeerFault, ("h2",)),
        ({"bend_commitments": lambda c: (c[0][:64] + bytes(32),)}, PeerFault, ("h2",)),
        ({"said": with_foreign_proposal}, PeerFault, ("h2",)),
        ({"said": with_lower_threshold}, PeerFault, ("h2",)),
    ],
    ids=["a point short", "a point too many", "no points", "not a point", "foreign", "threshold"],
)
def test_what_anybody_can_see_is_refused_at_the_door(
    bends: Bends, error: type[PeerFault], named: tuple[str, ...]
) -> None:
    """The authority takes no such approval: its maker is told, and nothing has changed."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        id_ = await proposed(rig)
        crook = CrookedHolder(rig.devices["h2"].party, **bends)
        synced, _ = await crook.sync()
        seen = await crook.member.find(ProposalId.from_text(id_), synced)
        before = rig.disk._tables
        with pytest.raises(error) as caught:
            await crook.approve(seen, synced)
        assert (caught.value.culprits, caught.value.sure) == (named, False), "told, not shown"
        assert rig.disk._tables is before or rig.disk._tables == before
        for name in ("h3", "h4"):
            await rig.approve(name, id_)  # honest approvals complete it
        await sync_until_active(rig, rounds=2)
        (record,) = epoch_records(rig)
        assert (record.dealers, record.status) == ((1, 3, 4), EpochStatus.CERTIFIED)

    rig.run(day())


# --- complaints -----------------------------------------------------------------------------


async def opened_epoch(rig: DomainRig, n: int = 4) -> None:
    """A key of three dealers, approved; nobody has synced since."""
    await rig.form(n)
    await dealt_by_three(rig)


async def dealt_by_three(rig: DomainRig) -> None:
    id_ = await proposed(rig)
    for name in ("h2", "h3"):
        await rig.approve(name, id_)


def complaint_about(
    rig: DomainRig, complainer: str, accused: int, *, seed: bytes | None = None
) -> Envelope:
    """A complaint by `complainer` about a piece that is good."""
    (record,) = epoch_records(rig)
    me = rig.authority.chain.current.holder_of(rig.devices[complainer].key.public)
    dealing = next(
        d
        for e in record.dealings
        if e is not None and (d := decode(Dealing, e.body)).dealer == accused
    )
    slot = dealing.slot_of(me.index)
    own = seeds_of(rig, complainer)[bytes(slot.bundle)].seed_for(accused)
    complaint = Complaint(
        domain=dealing.domain,
        proposal=dealing.proposal,
        attempt=dealing.attempt,
        complainer=me.index,
        accused=accused,
        number=slot.number,
        seed=own if seed is None else seed,
    )
    return sign_message(rig.devices[complainer].key, tags.COMPLAINT, complaint)


async def hand_in(rig: DomainRig, who: str, path: str, message: object) -> bytes:
    return await rig.devices[who].party.channel.call(path, encode(message))


@pytest.mark.requirement("X3")
def test_a_false_complaint_names_the_complainer_and_stops_nothing() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await opened_epoch(rig)
        complaint = complaint_about(rig, "h4", 2)
        with pytest.raises(PeerFault) as caught:
            await hand_in(rig, "h4", COMPLAIN, complaint)
        assert (caught.value.culprits, caught.value.sure) == (("h4",), False), "told, not shown"
        assert convicted(rig) == {"h4"}
        await hand_in(rig, "h4", COMPLAIN, complaint)  # each complaint is judged once
        assert [kind for kind, _ in audit_kinds(rig)].count("custody.convicted") == 1
        blamed = await sync_until_active(rig, rounds=2)
        assert everyone_blamed(blamed) == set()
        (record,) = epoch_records(rig)
        assert record.status is EpochStatus.CERTIFIED

    rig.run(day())


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("what", ["another sender's", "somebody else's", "random", "short"])
def test_a_complaint_with_a_wrong_key_names_the_complainer(what: str) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await opened_epoch(rig)
        mine = next(iter(seeds_of(rig, "h4").values()))
        foreign = next(iter(seeds_of(rig, "h1").values()))
        seed = {
            "another sender's": mine.seed_for(3),
            "somebody else's": foreign.seed_for(2),
            "random": PrivateKey.generate(rig.randomness).seed.to_secret_bytes(),
            "short": b"\x01" * 95,
        }[what]
        with pytest.raises(PeerFault) as caught:
            await hand_in(rig, "h4", COMPLAIN, complaint_about(rig, "h4", 2, seed=seed))
        assert (caught.value.culprits, caught.value.sure) == (("h4",), False), "told, not shown"
        (record,) = epoch_records(rig)
        assert record.status is EpochStatus.OPEN

    rig.run(day())


def test_nobody_hands_in_a_complaint_of_somebody_else() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await opened_epoch(rig)
        before = rig.disk._tables
        complaint = complaint_about(rig, "h4", 2)
        with pytest.raises(Refused):
            await hand_in(rig, "h1", COMPLAIN, complaint)
        said = decode(Complaint, complaint.body)
        forged = sign_message(rig.devices["h1"].key, tags.COMPLAINT, said)
        with pytest.raises(Refused) as caught:  # nor blames h4 by a signature that is not h4's
            await hand_in(rig, "h1", COMPLAIN, forged)
        assert caught.value.culprits == ()
        assert rig.disk._tables == before

    rig.run(day())


@pytest.mark.requirement("X3")
def test_a_complaint_opens_nothing_but_the_accused_pairs_messages() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        id_ = await proposed(rig)
        packages: dict[tuple[int, int], tuple[Dealing, bytes]] = {}
        crook = CrookedHolder(rig.devices["h2"].party, bend=spoil(4))
        await approve_with(crook, id_)
        await rig.approve("h3", id_)
        keep_all_pieces(rig, packages)
        tap = Tap(rig)
        await rig.sync("h4")
        (raw,) = tap.bodies("h4", COMPLAIN)
        complaint = decode(Complaint, decode(Envelope, raw).body)
        assert (complaint.complainer, complaint.accused) == (4, 2)
        leaked = private_key(complaint.seed)
        opened = set()
        for (dealer, receiver), (dealing, piece) in packages.items():
            try:
                open_piece(dealing, piece, HolderIndex(receiver), leaked)
            except PeerFault:
                continue
            opened.add((dealer, receiver))
        assert len(packages) == 15
        assert opened == {(2, 4)}  # the positive control and the statement in one

    rig.run(day())


def keep_all_pieces(rig: DomainRig, into: dict[tuple[int, int], tuple[Dealing, bytes]]) -> None:
    (record,) = epoch_records(rig)
    dealings = {d.dealer: d for e in record.dealings if e and (d := decode(Dealing, e.body))}
    with rig.disk.reading() as reader:
        sealed = SealedReader(reader, barrier_sealer(rig.authority))
        for key, piece in sealed.scan(authority_rows.PIECES):
            into[key[-2], key[-1]] = (dealings[key[-2]], piece)


def test_with_fewer_acknowledgements_a_late_complaint_names_the_dealer_and_costs_no_key() -> None:
    """The epoch is certified already: it stays, and the cheated holder waits for a reshare."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        state = await rig.propose_key("payroll", acks=3)
        crook = CrookedHolder(rig.devices["h2"].party, bend=spoil(4))
        await approve_with(crook, proposal_id(state.proposal).hex())
        for name in ("h1", "h2", "h3"):
            await rig.sync(name)
        for _ in range(3):
            report = await rig.sync("h4")
        assert report.culprits == []  # said once, at the first of these syncs
        assert convicted(rig) == {"h2"}
        assert [kind for kind, _ in audit_kinds(rig)].count("custody.convicted") == 1
        (record,) = epoch_records(rig)
        assert record.status is EpochStatus.CERTIFIED
        await rig.release("app", "payroll", by=["h1", "h3"])

    rig.run(day())


# --- receivers ------------------------------------------------------------------------------


@pytest.mark.requirement("X3")
def test_two_sets_of_receive_keys_under_one_number_name_their_receiver() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        with rig.devices["h3"].store.reading() as reader:
            newest = device_rows.newest_bundle(reader)
        assert newest is not None
        keys = decode(ReceiveKeys, newest[0].body)
        other = replace(keys, created=keys.created + 1)
        envelope = sign_message(rig.devices["h3"].key, tags.RECEIVE_KEYS, other)
        before = rig.disk._tables
        with pytest.raises(PeerFault) as caught:
            await hand_in(
                rig,
                "h3",
                CUSTODY_SYNC,
                CustodySyncRequest(receive_keys=envelope, uncertified=(), options=()),
            )
        assert caught.value.culprits == ("h3",)
        assert rig.disk._tables == before
        older = sign_message(
            rig.devices["h3"].key, tags.RECEIVE_KEYS, replace(keys, number=keys.number - 1)
        )
        with pytest.raises(Refused):
            await hand_in(
                rig,
                "h3",
                CUSTODY_SYNC,
                CustodySyncRequest(receive_keys=older, uncertified=(), options=()),
            )
        with pytest.raises(Refused):  # nor for somebody else
            await hand_in(
                rig,
                "h2",
                CUSTODY_SYNC,
                CustodySyncRequest(receive_keys=newest[0], uncertified=(), options=()),
            )
        assert rig.disk._tables == before

    rig.run(day())


@pytest.mark.requirement("X3")
def test_a_wrong_acknowledgement_is_refused_and_blames_only_the_hand_that_gives_it() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await opened_epoch(rig)
        (record,) = epoch_records(rig)
        statement = record.parsed_statement()
        good = Acknowledgement(
            domain=statement.domain, epoch=statement.hash, holder=HolderIndex(4), time=1
        )
        key = rig.devices["h4"].key
        before = rig.disk._tables
        other_epoch = sign_message(
            key, tags.ACKNOWLEDGEMENT, replace(good, epoch=Hash(b"\x01" * 32))
        )
        with pytest.raises(Refused):
            await hand_in(rig, "h4", ACKNOWLEDGE, other_epoch)
        by_another = sign_message(rig.devices["h1"].key, tags.ACKNOWLEDGEMENT, good)
        with pytest.raises(Refused) as caught:
            await hand_in(rig, "h1", ACKNOWLEDGE, by_another)
        assert caught.value.culprits == ()
        with pytest.raises(InvalidSignature) as invalid:
            await hand_in(rig, "h4", ACKNOWLEDGE, by_another)
        assert invalid.value.culprits == ("h4",)
        assert rig.disk._tables == before
        honest = sign_message(key, tags.ACKNOWLEDGEMENT, good)
        await hand_in(rig, "h4", ACKNOWLEDGE, honest)
        await hand_in(rig, "h4", ACKNOWLEDGE, honest)
        (record,) = epoch_records(rig)
        assert record.acknowledged == (4,)

    rig.run(day())


# --- the authority --------------------------------------------------------------------------


def rewrite_sync(
    rig: DomainRig, change: Callable[[str, CustodySyncReply], CustodySyncReply]
) -> None:
    def rewrite(caller: str, path: str, answer: bytes) -> bytes:
        if path != CUSTODY_SYNC:
            return answer
        return encode(change(caller, decode(CustodySyncReply, answer)))

    rig.network.equivocate("authority", rewrite)


@pytest.mark.requirement("X3")
def test_an_authority_that_leaves_a_dealer_out_is_named() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await opened_epoch(rig)

        def without_h2(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            openings = tuple(
                replace(o, dealings=o.dealings[::2], pieces=o.pieces[::2]) for o in reply.openings
            )
            return replace(reply, openings=openings)

        rewrite_sync(rig, without_h2)
        for name in rig.holders():
            report = await rig.sync(name)
            assert report.culprits == ["authority"]
            assert held_by(rig, name) == []
        assert [r.acknowledged for r in epoch_records(rig)] == [()]

    rig.run(day())


@pytest.mark.requirement("X3")
def test_an_authority_that_swaps_dealings_or_pieces_is_caught() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await opened_epoch(rig)

        def swapped(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            openings = tuple(replace(o, pieces=o.pieces[::-1]) for o in reply.openings)
            return replace(reply, openings=openings)

        rewrite_sync(rig, swapped)
        report = await rig.sync("h1")
        assert (report.culprits, report.received) == ([], 0)
        assert "not the piece" in report.problems[0]

        def forged(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            openings = tuple(
                replace(o, dealings=(tampered(o.dealings[0]), *o.dealings[1:]))
                for o in reply.openings
            )
            return replace(reply, openings=openings)

        rewrite_sync(rig, forged)
        report = await rig.sync("h1")
        assert (report.culprits, report.received) == (["authority"], 0)  # not the dealer
        assert held_by(rig, "h1") == []

    rig.run(day())


def tampered(envelope: Envelope) -> Envelope:
    dealing = decode(Dealing, envelope.body)
    return replace(envelope, body=encode(replace(dealing, attempt=2)))


@pytest.mark.requirement("X3")
def test_two_statements_for_one_attempt_name_the_authority() -> None:
    """The roster a statement names is the authority's choice, as long as holders are the same."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(4)
        older = rig.authority.chain.current.hash
        await rig.requester("app")  # another roster of the same holders
        newer = rig.authority.chain.current.hash
        await dealt_by_three(rig)
        rig.network.drop(from_="h1", path=ACKNOWLEDGE, times=1)
        with pytest.raises(Unavailable):
            await rig.sync("h1")
        (held,) = held_by(rig, "h1")
        assert held.parsed().roster == newer

        def other_roster(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            openings = tuple(replace(o, roster=older) for o in reply.openings)
            return replace(reply, openings=openings)

        rewrite_sync(rig, other_roster)
        report = await rig.sync("h1")
        assert report.culprits == ["authority"]
        assert held_by(rig, "h1") == [held]
        await rig.sync("h2")  # h2 cannot know: it has seen only this one ...
        assert held_by(rig, "h2")[0].parsed().roster == older
        assert [record.acknowledged for record in epoch_records(rig)] == [()]  # ... in vain

        def certified(caller: str, reply: CustodySyncReply) -> CustodySyncReply:
            return replace(reply, openings=(), certificates=(certificate,))

        certificate = certificate_by(rig, held_by(rig, "h2")[0], rig.holders())
        rewrite_sync(rig, certified)
        report = await rig.sync("h1")  # shown what "all" are said to hold, h1 knows who lies
        assert report.culprits == ["authority"]
        assert [one.certificate for one in held_by(rig, "h1")] == [None]

    rig.run(day())


def certificate_by(rig: DomainRig, held: HeldEpoch, names: Sequence[str]) -> Certificate:
    """What a conspiracy of all these holders could sign."""
    statement = held.parsed()
    acks = tuple(
        sign_message(
            rig.devices[name].key,
            tags.ACKNOWLEDGEMENT,
            Acknowledgement(
                domain=statement.domain,
                epoch=statement.hash,
                holder=HolderIndex(place),
                time=1,
            ),
        )
        for place, name in enumerate(names, start=1)
    )
    return Certificate(statement=held.statement, acknowledgements=acks)


# --- release --------------------------------------------------------------------------------


async def junk_fragment(rig: DomainRig, name: str, id_: str, *, how: str) -> None:
    """A holder signs and sends something else than its fragment."""
    client = rig.holder(name)
    with rig.devices[name].store.reading() as reader:
        (wrap,) = [
            decode(device_rows.KeptWrap, row)
            for _, row in reader.scan(device_rows.WRAPS, prefix=bytes.fromhex(id_))
        ]
    delivery = decode(FragmentDelivery, wrap.fragment.delivery.body)
    wrapped = wrap.fragment.wrapped
    if how == "random bytes":
        wrapped = bytes(len(wrapped))
    elif how == "too short":
        wrapped = b""
    said = replace(delivery, wrapped=tagged_hash(tags.FRAGMENT_WRAP, wrapped))
    if how == "other commitments":
        said = replace(said, commitments=Hash(b"\x05" * 32))
    envelope = sign_message(rig.devices[name].key, tags.FRAGMENT_DELIVERY, said)
    fragment = WrappedFragment(delivery=envelope, wrapped=wrapped)
    await client.party.channel.call(DELIVER, encode(DeliverRequest(fragment=fragment)))


@pytest.mark.requirement("X3")
@pytest.mark.requirement("C12")
@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("how", ["random bytes", "too short", "other commitments"])
def test_release_succeeds_if_m_honest_holders_answer(suite: Suite, how: str) -> None:
    """Two of the approvers send junk; late approvals give spare fragments."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        expected = await rig.release("app", "payroll", by=["h1", "h2", "h3"])
        client = rig.asker("app")
        ref = KeyRef(name=Name("payroll"), version=1)
        synced = await client.member.sync()
        request, state = await client.ask(ref, "again", Form.PRIVATE, synced)
        id_ = proposal_id(state.proposal).hex()
        secret = rig.devices["app"].device_secret
        for name in ("h4", "h2"):
            await rig.approve(name, id_)
        rig.network.drop(from_="h1", path=DELIVER)  # h1 completes; its fragment comes later
        with pytest.raises(Unavailable):
            await rig.approve("h1", id_)
        rig.network.heal()
        for name in ("h2", "h4"):
            await junk_fragment(rig, name, id_, how=how)
        await rig.sync("h1")
        await rig.child_work()
        if suite is Suite.PEDERSEN_ED25519:
            with pytest.raises(PeerFault) as caught:
                await client.collect(request, ref, Form.PRIVATE, synced, secret)
            assert (set(caught.value.culprits), caught.value.sure) == ({"h2", "h4"}, True)
        for name in ("h3", "h5"):
            await rig.approve(name, id_)
        await rig.child_work()
        released = await client.collect(request, ref, Form.PRIVATE, synced, secret)
        assert released is not None
        assert released.secret.matches(expected.secret)
        assert set(released.faulty) == {"h2", "h4"}

    rig.run(day())


@pytest.mark.requirement("X3")
def test_a_fragment_that_was_changed_on_its_way_convicts_nobody() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        client = rig.asker("app")
        synced = await client.member.sync()
        ref = KeyRef(name=Name("payroll"), version=1)
        request, state = await client.ask(ref, "why", Form.PRIVATE, synced)
        id_ = proposal_id(state.proposal).hex()
        for name in ("h1", "h2", "h3"):
            await rig.approve(name, id_)
        for name in ("h1", "h2", "h3"):
            await rig.sync(name)

        def flip(caller: str, path: str, answer: bytes) -> bytes:
            if path != COLLECT:
                return answer
            reply = decode(CollectReply, answer)
            first, *others = reply.fragments
            bent = replace(first, wrapped=first.wrapped[:-1] + bytes([first.wrapped[-1] ^ 1]))
            return encode(replace(reply, fragments=(bent, *others)))

        rig.network.equivocate("authority", flip)
        secret = rig.devices["app"].device_secret
        released = await client.collect(request, ref, Form.PRIVATE, synced, secret)
        assert released is not None
        assert released.faulty == ()

    rig.run(day())


# --- the property ---------------------------------------------------------------------------


@pytest.mark.requirement("X3")
@pytest.mark.walk
@pytest.mark.parametrize("seed", sampled(range(80), 4, "convictions"))
def test_the_convicted_are_always_among_the_cheaters(seed: int) -> None:
    """Random mixes of crooked dealings, false complaints, absence and lost messages."""
    dice = random.Random(f"cheats/{seed}")
    n, m = dice.choice([(4, 2), (5, 3), (6, 3)])
    rig = DomainRig(threshold=m, seed=seed)

    async def day() -> None:
        names = await rig.form(n)
        cheaters = set(dice.sample(names, dice.randint(1, m - 1)))
        liars = {name: crook_of(rig, name, dice, n) for name in cheaters if dice.random() < 0.8}
        rig.network.drop(chance=0.03).delay(0.0, 2.0)
        proposer = dice.choice([name for name in names if name not in cheaters])
        state = await persistent(lambda: rig.propose_key("payroll", by=proposer))
        id_ = proposal_id(state.proposal).hex()
        voters = [name for name in dice.sample(names, n) if name != proposer]
        for name in voters[: m - 1]:
            client = liars.get(name) or rig.holder(name)
            await persistent(lambda client=client: approve_with(client, id_))
        blamed: set[str] = set()
        for _ in range(12):
            for name in dice.sample(names, n):
                if dice.random() < 0.3:
                    continue
                client = liars.get(name) or rig.holder(name)
                if name in cheaters and dice.random() < 0.2:
                    await falsely(rig, name, dice)
                _, report = await persistent(client.sync)
                blamed |= set(report.culprits) if name not in cheaters else set()
        assert convicted(rig) <= cheaters
        assert blamed <= cheaters
        rig.network.heal()
        for _ in range(3):
            for name in names:
                if name not in cheaters:
                    await rig.sync(name)
        *ended, last = epoch_records(rig)
        assert bool(ended) == bool(convicted(rig) & {f"h{i}" for e in ended for i in e.dealers})
        honest = set(names) - cheaters
        if last.status is not EpochStatus.DEALING:  # else a cheater keeps the others waiting
            assert honest <= {f"h{index}" for index in last.acknowledged}

    rig.run(day())


def crook_of(rig: DomainRig, name: str, dice: random.Random, n: int) -> CrookedHolder:
    receivers = dice.sample(range(1, n + 1), dice.randint(1, n))
    bends: Sequence[Bends] = (
        {"bend": spoil(*receivers)},
        {"bend_pieces": flip_piece(*[r - 1 for r in receivers])},
    )
    return CrookedHolder(rig.devices[name].party, **dice.choice(bends))


async def falsely(rig: DomainRig, name: str, dice: random.Random) -> None:
    """Complain about some good (or bad) piece, if there is any."""
    records = epoch_records(rig)
    if len(records) != 1 or records[0].status is not EpochStatus.OPEN:
        return
    try:
        complaint = complaint_about(rig, name, dice.choice(records[0].dealers))
        await hand_in(rig, name, COMPLAIN, complaint)
    except (TigertallyError, KeyError, AttributeError, TypeError):
        return


async def persistent(step: Callable[[], object]) -> object:
    """Try again while messages are lost."""
    for _ in range(60):
        try:
            return await step()  # type: ignore[misc]
        except Unavailable:
            continue
        except Refused as refused:
            if "voted" not in str(refused):
                raise
            return None
    raise AssertionError("sixty tries in vain")
