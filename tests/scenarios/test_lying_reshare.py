"""Keys are shared anew among liars: each is named or harmless, and the key stays what it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from change_rig import Asking, epochs, info_of, join, one_epoch, remove, settle
from custody_thief import Bend, Tap, audit_kinds, epoch_records, seeds_of, spoil
from domain_rig import DomainRig
from evil import dump, filled, lead, tell, twin
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused, Unavailable
from tigertally.base.ids import Hash, HolderIndex, ProposalId, RosterHash
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.custody.client import rows
from tigertally.custody.client.dealing import Dealings, Fragments
from tigertally.custody.client.holder import Holder
from tigertally.custody.messages.base_key import BaseKey, base_hash
from tigertally.custody.messages.dealing import (
    Acknowledgement,
    Certificate,
    Complaint,
    Dealing,
    DealingPackage,
    Erased,
    piece_hash,
)
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.sync import (
    ACKNOWLEDGE,
    COMPLAIN,
    CUSTODY_SYNC,
    DEAL,
    ERASED,
    CustodySyncReply,
)
from tigertally.custody.protocol.dealing import (
    Occasion,
    dealing_of,
    draw_sharing,
    join_sharings,
    sign_sharing,
    wrap_pieces,
)
from tigertally.custody.protocol.epochs import occasion_of
from tigertally.custody.protocol.reshare import share_again
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.state.authority import EpochRecord, EpochStatus
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.member.client import Party
from tigertally.quorum.receive_keys import PublishedKeys
from tigertally.transport.memory import Leg

pytestmark = [pytest.mark.requirement("X3"), pytest.mark.requirement("C9")]


class LyingDonor(Holder):
    """A holder that deals by somebody else's rules when keys are shared anew."""

    def __init__(self, rig: DomainRig, name: str, **lies: Any) -> None:
        super().__init__(rig.devices[name].party)
        self.dealings = LyingDealings(self, **lies)


class LyingDealings(Dealings):
    def __init__(
        self,
        holder: Holder,
        *,
        bend: Bend = lambda payloads: None,
        said: Callable[[Occasion], Occasion] = lambda occasion: occasion,
        other_key: bool = False,
    ) -> None:
        super().__init__(holder.member, holder.receive_keys)
        self.bend, self.said, self.other_key = bend, said, other_key

    def _deal(
        self,
        occasion: Occasion,
        base: tuple[BaseKey, ...],
        me: HolderIndex,
        published: Mapping[HolderIndex, PublishedKeys],
    ) -> DealingPackage:
        randomness = self.party.randomness
        if self.other_key:
            commitments, payloads = draw_sharing(occasion, randomness)
        else:
            with self.party.store.reading() as reader:
                live = rows.Held(reader).live
                commitments, payloads = share_again(occasion, base, me, live, randomness)
        self.bend(payloads)
        said = self.said(occasion)
        pieces, slots = wrap_pieces(said, me, commitments, payloads, published)
        slots = tuple(replace(s, piece=piece_hash(p)) for s, p in zip(slots, pieces, strict=True))
        dealing = dealing_of(said, me, commitments[: len(said.keys)], slots)
        return DealingPackage(
            dealing=sign_message(self.party.key, tags.DEALING, dealing), pieces=tuple(pieces)
        )


class BentHeld(rows.Held):
    """Every payload is a little wrong."""

    def live(self, ref: KeyRef) -> HeldEpoch | None:
        held = super().live(ref)
        return None if held is None else replace(held, payloads=tuple(map(bent, held.payloads)))


class LyingContributor(Holder):
    """`shamir-gf256`: it sends the authority's child something else than it holds."""

    def __init__(self, party: Party) -> None:
        super().__init__(party)
        self.dealings._held = BentHeld


def bent(payload: bytes) -> bytes:
    return payload[:1] + bytes([payload[1] ^ 1]) + payload[2:]


def short(occasion: Occasion) -> Occasion:
    """One key is missing."""
    return replace(occasion, keys=occasion.keys[:1])


def few(occasion: Occasion) -> Occasion:
    """One receiver is left out."""
    return replace(occasion, receivers=occasion.receivers[:-1])


def strangers(occasion: Occasion) -> Occasion:
    """Dealt to a threshold of its own."""
    return replace(occasion, threshold=occasion.threshold + 1)


async def domain(rig: DomainRig, n: int, suite: Suite = Suite.PEDERSEN_ED25519) -> Secret:
    names = await rig.form(n)
    await rig.requester("app")
    for key in ("ledger", "payroll"):
        await rig.create(key, suite=suite)
    for name in names:
        await rig.sync(name)
    released = await rig.release("app", "payroll", by=names[: rig.threshold])
    return released.secret


async def still_the_key(rig: DomainRig, good: Secret, by: list[str]) -> None:
    reason = f"the same key? {len(audit_kinds(rig))}"
    released = await rig.release("app", "payroll", by=by, reason=reason)
    assert released.secret.matches(good)
    assert released.faulty == ()


def convicted(rig: DomainRig) -> set[str]:
    return {actor for kind, actor in audit_kinds(rig) if kind == "custody.convicted"}


# --- donors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        {"bend": spoil(3)},
        {"bend": spoil()},
        {"other_key": True},
        {"said": short},
        {"said": few},
        {"said": strangers},
    ],
    ids=["wrong-to-one", "wrong-to-all", "another-key", "a-key-missing", "a-receiver-missing", "m"],
)
def test_a_lying_donor_is_named_and_the_others_deal(lie: dict[str, Any]) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        await remove(rig, "h4", by=["h1", "h2"])
        await LyingDonor(rig, "h1", **lie).sync()
        reports = await settle(rig, ["h2", "h3", "h1"], 5)
        assert {name for report in reports for name in report.culprits} <= {"h1"}
        assert convicted(rig) == {"h1"}
        one_epoch(rig, ["h1", "h2", "h3"])
        assert {await live_state(rig, key) for key in ("payroll", "ledger")} == {("active", 2)}
        await still_the_key(rig, good, ["h3", "h1"])

    rig.run(day())


async def live_state(rig: DomainRig, key: str) -> tuple[str, int]:
    info = await info_of(rig, key)
    return info.state, info.epoch


def test_liars_who_take_turns_are_left_out_for_good() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 5)
        await remove(rig, "h5", by=["h3", "h4"], acks=2)
        for _ in range(4):
            for name in ("h1", "h2"):
                await LyingDonor(rig, name, bend=spoil(3, 4)).sync()
            await settle(rig, ["h3"], 1)
        assert convicted(rig) == {"h1", "h2"}
        await settle(rig, ["h1", "h2", "h3", "h4"], 3)
        one_epoch(rig, ["h1", "h2", "h3", "h4"])
        live = max(r.attempt for r in epoch_records(rig) if r.base)
        assert live <= 3  # two liars, two attempts in vain
        await still_the_key(rig, good, ["h3", "h4"])

    rig.run(day())


def test_a_lying_contributor_is_named_and_left_out() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4, Suite.SHAMIR_GF256)
        await remove(rig, "h4", by=["h1", "h2"])
        for _ in range(3):
            await LyingContributor(rig.devices["h1"].party).sync()
            await rig.sync("h2")
            await rig.child_work()
        await settle(rig, ["h2", "h3", "h1"])
        assert convicted(rig) == {"h1"}
        one_epoch(rig, ["h1", "h2", "h3"])
        await still_the_key(rig, good, ["h3", "h1"])
        for table in ("custody-fresh", "custody-contribution"):
            assert not rig.disk._tables.get(table)

    rig.run(day())


def test_a_reshare_that_ends_half_way_leaves_no_contribution() -> None:
    """`shamir-gf256`: fragments that came for a change which another overtook are forgotten."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 5, Suite.SHAMIR_GF256)
        await remove(rig, "h5", by=["h1", "h2"])
        await rig.sync("h1")
        assert rig.disk._tables["custody-contribution"]
        await remove(rig, "h4", by=["h2", "h3"])
        await settle(rig, ["h1", "h2", "h3"])
        for table in ("custody-fresh", "custody-contribution"):
            assert not rig.disk._tables.get(table)
        one_epoch(rig, ["h1", "h2", "h3"])
        await still_the_key(rig, good, ["h1", "h3"])

    rig.run(day())


def test_nobody_deals_before_the_roster_is_signed() -> None:
    """A relay asks for a dealing to a roster that the device has not verified; a donor deals
    to one that does not exist."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        await remove(rig, "h4", by=["h1", "h2"])

        def ahead(who: str, raw: bytes) -> bytes:
            reply = decode(CustodySyncReply, raw)
            deals = tuple(replace(d, roster=RosterHash(bytes(32))) for d in reply.deals)
            return encode(replace(reply, deals=deals))

        tell(rig, CUSTODY_SYNC, ahead)
        report = await rig.sync("h1")
        assert (report.sent, report.culprits) == (0, [])
        assert any("not in the chain" in problem for problem in report.problems)
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        (asked,) = [r for r in epoch_records(rig) if r.base]
        ahead_of_it = replace(asked, proposal=ProposalId(bytes(32)))
        package = await donation(rig, "h2", ahead_of_it)
        before = dump(rig.disk)
        with pytest.raises(Refused):
            await rig.devices["h2"].party.channel.call(DEAL, encode(package))
        assert dump(rig.disk) == before
        await settle(rig, ["h1", "h2", "h3"])
        one_epoch(rig, ["h1", "h2", "h3"])
        await still_the_key(rig, good, ["h1", "h3"])

    rig.run(day())


# --- new holders -----------------------------------------------------------------------------


def open_record(rig: DomainRig) -> EpochRecord:
    (record,) = [r for r in epoch_records(rig) if r.base and r.status is EpochStatus.OPEN]
    return record


async def joined(rig: DomainRig, n: int) -> Secret:
    """A reshare for the new holder `new` is open; the others have acknowledged, it has not."""
    good = await domain(rig, n)
    await join(rig, "new", by=["h1", "h2"])
    await rig.holder("new").member.sync()
    await MuteHolder(rig.devices["new"].party).sync()
    await settle(rig, [f"h{i}" for i in range(1, n + 1)], 2)
    assert open_record(rig).missing == (HolderIndex(n + 1),)
    return good


class MuteHolder(Holder):
    """It publishes receive keys, and does nothing about what it is owed."""

    def __init__(self, party: Party) -> None:
        super().__init__(party)
        self.fragments.open = AsyncMock()


@pytest.mark.parametrize("lie", ["complains", "silent", "takes nothing", "says it was erased"])
def test_a_lying_new_holder_costs_no_key(lie: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await joined(rig, 3)
        record = open_record(rig)
        device, me = rig.devices["new"], HolderIndex(4)
        dealing = decode(Dealing, decode(Envelope, encode(record.dealings[0])).body)
        slot = dealing.slot_of(me)
        said = {
            "domain": dealing.domain,
            "proposal": record.proposal,
            "attempt": record.attempt,
        }
        if lie == "complains":
            seed = seeds_of(rig, "new")[bytes(slot.bundle)].seed_for(dealing.dealer)
            complaint = Complaint(
                **said, complainer=me, accused=dealing.dealer, number=slot.number, seed=seed
            )
            signed = sign_message(device.key, tags.COMPLAINT, complaint)
            with pytest.raises(PeerFault) as caught:
                await device.party.channel.call(COMPLAIN, encode(signed))
            assert (caught.value.culprits, caught.value.sure) == (("new",), False), "told"
            assert convicted(rig) == {"new"}
        elif lie == "takes nothing":
            ack = Acknowledgement(
                domain=dealing.domain,
                epoch=record.parsed_statement().hash,
                holder=me,
                time=rig.clock.time,
            )
            signed = sign_message(device.key, tags.ACKNOWLEDGEMENT, ack)
            await device.party.channel.call(ACKNOWLEDGE, encode(signed))
        elif lie == "says it was erased":
            notice = Erased(**said, holder=me, dealer=dealing.dealer, number=slot.number)
            signed = sign_message(device.key, tags.ERASED, notice)
            await device.party.channel.call(ERASED, encode(signed))
            assert ("custody.dealt-again", "new") in audit_kinds(rig)
        reports = await settle(rig, ["h1", "h2", "h3"])
        if lie == "takes nothing":
            assert (await info_of(rig, "payroll")).state == "active"
        else:
            assert (await info_of(rig, "payroll")).state == "resharing"
            assert any("new" in line for line in reports[-1].waiting_for)
        assert {name for report in reports for name in report.culprits} == set()
        await still_the_key(rig, good, ["h1", "h2"])
        await remove(rig, "new", by=["h1", "h3"])
        await settle(rig, ["h1", "h2", "h3"])
        one_epoch(rig, ["h1", "h2", "h3"])
        await still_the_key(rig, good, ["h2", "h3"])

    rig.run(day())


def test_a_holder_that_always_says_its_key_was_erased_holds_up_nobody_who_suffices() -> None:
    rig = DomainRig(threshold=2)

    class Forgetful(Fragments):
        async def open(self, synced: Any, opening: Any, me: HolderIndex, report: Any) -> None:
            dealing = decode(Dealing, opening.dealings[0].body)
            notice = Erased(
                domain=dealing.domain,
                proposal=dealing.proposal,
                attempt=dealing.attempt,
                holder=me,
                dealer=dealing.dealer,
                number=dealing.slot_of(me).number,
            )
            signed = sign_message(self.party.key, tags.ERASED, notice)
            await self.party.channel.call(ERASED, encode(signed))

    async def day() -> None:
        good = await domain(rig, 4)
        await remove(rig, "h4", by=["h1", "h2"], acks=2)
        for _ in range(6):
            for name in ("h1", "h2"):
                await rig.holder(name).sync(renew=False)
                forgetful = rig.holder("h3")
                forgetful.fragments = Forgetful(forgetful.member)
                await forgetful.sync(renew=False)
        assert await live_state(rig, "payroll") == ("active", 2)
        assert max(r.attempt for r in epoch_records(rig) if r.base) == 2
        await still_the_key(rig, good, ["h1", "h2"])

    rig.run(day())


# --- the relay -------------------------------------------------------------------------------


def test_a_fork_between_donors_is_proven_and_erases_nothing() -> None:
    """The authority runs two copies of itself, one for each half of the donors."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 5)
        await remove(rig, "h5", by=["h1", "h2"])
        twin(rig, "twin", disk=filled(dump(rig.disk)))
        lead(rig, "twin", "h3", "h4")
        for _ in range(3):
            for name in ("h1", "h2", "h3", "h4"):
                await rig.sync(name)
        lead(rig, "authority", "h3", "h4")
        for name in ("h3", "h4"):
            with pytest.raises(PeerFault) as caught:
                await rig.sync(name)
            assert (caught.value.culprits, caught.value.sure) == (("authority",), True)
        for name in ("h1", "h2", "h3", "h4"):  # nobody has erased the epoch that works
            assert epochs(rig, name)[0].certificate is not None
        await still_the_key(rig, good, ["h1", "h2"])

    rig.run(day())


def test_two_donor_sets_in_one_attempt_certify_nothing() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 5)
        await remove(rig, "h5", by=["h1", "h2"])
        (record,) = [r for r in epoch_records(rig) if r.base]
        packages = {name: await donation(rig, name, record) for name in ("h3", "h4")}
        await settle(rig, ["h1", "h2"], 1)

        def two_stories(who: str, raw: bytes) -> bytes:
            reply = decode(CustodySyncReply, raw)
            if who not in packages or not reply.openings:
                return raw
            (opening,) = reply.openings
            place = int(who[1]) - 1
            other = replace(
                opening,
                dealings=tuple(package.dealing for package in packages.values()),
                pieces=tuple(package.pieces[place] for package in packages.values()),
            )
            return encode(replace(reply, openings=(other,)))

        tell(rig, CUSTODY_SYNC, two_stories)
        await settle(rig, ["h1", "h2", "h3", "h4"], 2)
        newest = {name: epochs(rig, name)[-1].parsed().hash for name in rig.holders()[:4]}
        assert newest["h1"] == newest["h2"] != newest["h3"] == newest["h4"]
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        reports = await settle(rig, ["h1", "h2", "h3", "h4"], 2)
        assert any("two epochs of one attempt" in p for r in reports for p in r.problems)
        assert {name for report in reports for name in report.culprits} == {"authority"}
        assert await live_state(rig, "payroll") == ("resharing", 1)
        for name in ("h1", "h2", "h3", "h4"):  # nobody has erased the epoch that works
            assert epochs(rig, name)[0].certificate is not None
        await still_the_key(rig, good, ["h1", "h4"])
        await remove(rig, "h4", by=["h1", "h3"])
        await settle(rig, ["h1", "h2", "h3"])
        one_epoch(rig, ["h1", "h2", "h3"])
        await still_the_key(rig, good, ["h2", "h3"])

    rig.run(day())


def show_opening(rig: DomainRig, base: tuple[BaseKey, ...], dealt: list[DealingPackage]) -> None:
    """The authority opens the epoch with this base and these dealings, for everybody."""

    def opened(who: str, raw: bytes) -> bytes:
        reply = decode(CustodySyncReply, raw)
        place = [holder.name for holder in rig.authority.chain.current.holders].index(who)
        openings = tuple(
            replace(
                opening,
                base=base,
                dealings=tuple(package.dealing for package in dealt),
                pieces=tuple(package.pieces[place] for package in dealt),
            )
            for opening in reply.openings
        )
        return encode(replace(reply, openings=openings))

    tell(rig, CUSTODY_SYNC, opened)


async def refused_by_all(rig: DomainRig, who: list[str], culprit: str, why: str) -> None:
    """Nobody takes the epoch that is shown; each device says whose fault it is."""
    held = {name: epochs(rig, name) for name in who}
    for name in who:
        _, report = await rig.holder(name).sync(renew=False)
        assert report.culprits == [culprit], report.problems
        assert any(why in problem for problem in report.problems), report.problems
        assert epochs(rig, name) == held[name]
    assert not any(record.acknowledged for record in epoch_records(rig) if record.base)


async def reshare_opened(rig: DomainRig) -> tuple[Secret, EpochRecord]:
    """`new` has joined; its epoch is open, and nobody has seen the dealings yet."""
    good = await domain(rig, rig.threshold + 1)
    donors = rig.holders()[: rig.threshold]
    await join(rig, "new", by=donors)
    for name in ("new", *donors):
        await MuteHolder(rig.devices[name].party).sync()
    return good, open_record(rig)


def test_a_wrong_donation_that_the_authority_lets_pass_is_seen_by_every_device() -> None:
    """One donor and the authority conspire. Also a joiner, who knows no key yet, finds out."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good, record = await reshare_opened(rig)
        liar = LyingDonor(rig, "h1", other_key=True)
        dealt = [await donation(rig, "h1", record, liar), await donation(rig, "h2", record)]
        show_opening(rig, record.base, dealt)
        await refused_by_all(rig, ["new", "h2", "h3"], "h1", "dealt another fragment")
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await settle(rig, ["new", "h1", "h2", "h3"])
        one_epoch(rig, ["new", "h1", "h2", "h3"])
        await still_the_key(rig, good, ["new", "h3"])

    rig.run(day())


def test_another_key_under_the_same_name_is_taken_by_nobody_who_has_the_key() -> None:
    """m - 1 donors and the authority make up what the key was, so that these donors are enough."""
    rig = DomainRig(threshold=3)
    conspirators = (HolderIndex(1), HolderIndex(2))

    async def day() -> None:
        good, record = await reshare_opened(rig)
        rules = SUITES[record.suite]
        made_up = [
            rules.deal(threshold=2, receivers=conspirators, randomness=rig.randomness)
            for _ in record.base
        ]
        pairs = zip(record.base, made_up, strict=True)
        base = tuple(replace(one, commitments=commitments) for one, (commitments, _) in pairs)
        occasion = occasion_of(record, rig.authority.chain.current.domain)
        occasion = replace(occasion, base=base_hash(base))
        client = rig.holder("h3")
        published, _ = await client.receive_keys.fetch(await client.member.sync())

        def dealt(index: HolderIndex) -> DealingPackage:
            again = (
                rules.deal_again(
                    payloads[index],
                    index=index,
                    commitments=commitments,
                    threshold=occasion.threshold,
                    receivers=occasion.receivers,
                    randomness=rig.randomness,
                )
                for commitments, payloads in made_up
            )
            sharing, key = join_sharings(occasion, again), rig.devices[f"h{index}"].key
            return sign_sharing(occasion, sharing, dealer=index, receive_keys=published, key=key)

        show_opening(rig, base, [dealt(index) for index in conspirators])
        await refused_by_all(rig, ["h3", "h4"], "authority", "the reshare would change")
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await settle(rig, ["new", "h1", "h2", "h3", "h4"])
        one_epoch(rig, ["new", "h1", "h2", "h3", "h4"])
        await still_the_key(rig, good, ["new", "h3", "h4"])

    rig.run(day())


def test_nobody_deals_for_a_change_that_another_has_overtaken() -> None:
    """Its roster is signed, and h3 was in it: a fragment would go to a holder that was removed."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        await remove(rig, "h4", by=["h1", "h2"])
        asked: list[CustodySyncReply] = []

        def withheld(who: str, raw: bytes) -> bytes:
            asked.append(decode(CustodySyncReply, raw))
            return encode(replace(asked[-1], deals=()))

        tell(rig, CUSTODY_SYNC, withheld)
        await rig.sync("h1")
        old = asked[-1].deals
        assert len(old) == 1
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await remove(rig, "h3", by=["h2", "h1"])

        def overtaken(who: str, raw: bytes) -> bytes:
            return encode(replace(decode(CustodySyncReply, raw), deals=old))

        tell(rig, CUSTODY_SYNC, overtaken)
        before = list(rig.devices["h1"].disk._tables.get(rows.DEALT, {}))
        report = await rig.sync("h1")
        assert report.sent == 0
        assert any("changed again since" in problem for problem in report.problems)
        assert list(rig.devices["h1"].disk._tables.get(rows.DEALT, {})) == before
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await settle(rig, ["h1", "h2"])
        one_epoch(rig, ["h1", "h2"])
        await still_the_key(rig, good, ["h1", "h2"])

    rig.run(day())


@pytest.mark.parametrize("leg", list(Leg), ids=["on its way", "on the way back"])
def test_a_donor_that_was_cut_off_sends_the_same_bytes(leg: Leg) -> None:
    """Two dealings of one donor in one attempt would look like a lie."""
    rig = DomainRig(threshold=2)
    tap = Tap(rig)

    async def day() -> None:
        good = await domain(rig, 3)
        await remove(rig, "h3", by=["h1", "h2"])
        rig.network.drop(path=DEAL, from_="h1", leg=leg)
        with pytest.raises(Unavailable):
            await rig.sync("h1")
        with rig.devices["h1"].store.reading() as reader:
            ((_, kept),) = reader.scan(rows.DEALT)
        rig.network.heal()
        await rig.holder("h1").sync(renew=False)
        assert set(tap.bodies("h1", DEAL)) == {kept}
        await settle(rig, ["h1", "h2"])
        one_epoch(rig, ["h1", "h2"])
        await still_the_key(rig, good, ["h1", "h2"])

    rig.run(day())


async def donation(
    rig: DomainRig, name: str, record: EpochRecord, client: Holder | None = None
) -> DealingPackage:
    """What an honest donor deals for this attempt; or another client."""
    client = client or rig.holder(name)
    synced = await client.member.sync()
    published, _ = await client.receive_keys.fetch(synced)
    return client.dealings._deal(
        occasion_of(record, synced.roster.domain),
        record.base,
        client.member.me(synced.roster).index,
        published,
    )


@pytest.mark.parametrize("what", ["few", "mixed", "twice", "lower acks"])
def test_a_certificate_that_comes_early_erases_nothing(what: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await joined(rig, 3)
        record = open_record(rig)
        acks = record.acknowledgements
        statement = record.statement
        if what == "mixed":
            older = next(r for r in epoch_records(rig) if not r.base)
            acks = (*acks, older.acknowledgements[-1])
        elif what == "twice":
            acks = (*acks, acks[0])
        elif what == "lower acks":
            statement = encode(replace(record.parsed_statement(), acks=2))
        early = Certificate(statement=statement, acknowledgements=acks)

        def committed(who: str, raw: bytes) -> bytes:
            return encode(replace(decode(CustodySyncReply, raw), certificates=(early,)))

        tell(rig, CUSTODY_SYNC, committed)
        for name in ("h1", "h2", "h3"):
            _, report = await rig.holder(name).sync(renew=False)
            assert report.culprits == ["authority"]
            held = epochs(rig, name)
            assert held[-1].certificate is None
            assert all(one.certificate is not None for one in held[:-1])
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await still_the_key(rig, good, ["h1", "h2"])
        await settle(rig, ["new", "h1", "h2", "h3"])
        one_epoch(rig, ["h1", "h2", "h3", "new"])

    rig.run(day())


def test_what_is_shown_once_more_brings_nothing_back() -> None:
    """Old openings, requests to deal and certificates, after a newer epoch is certified."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        heard: dict[str, list[CustodySyncReply]] = {name: [] for name in rig.holders()}

        def listen(who: str, raw: bytes) -> bytes:
            heard[who].append(decode(CustodySyncReply, raw))
            return raw

        tell(rig, CUSTODY_SYNC, listen)
        await remove(rig, "h4", by=["h1", "h2"])
        for _ in range(4):  # receive keys stay the same: what is replayed still opens
            for name in ("h1", "h2", "h3"):
                await rig.holder(name).sync(renew=False)
        one_epoch(rig, ["h1", "h2", "h3"])
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await join(rig, "h5", by=["h1", "h2"])
        for _ in range(4):
            for name in ("h5", "h1", "h2", "h3"):
                await rig.holder(name).sync(renew=False)
        one_epoch(rig, ["h1", "h2", "h3", "h5"])
        for name in ("h1", "h2", "h3"):
            old = heard[name]
            assert any(reply.openings for reply in old)
            for reply in old:
                tell(
                    rig,
                    CUSTODY_SYNC,
                    lambda who, raw, reply=reply: encode(replace(reply, releases=())),
                )
                before = epochs(rig, name)
                _, report = await rig.holder(name).sync(renew=False)
                assert epochs(rig, name) == before
                assert report.received == report.sent == 0
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await still_the_key(rig, good, ["h5", "h3"])

    rig.run(day())


def test_a_relay_that_withholds_everything_costs_time_only() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        good = await domain(rig, 4)
        await remove(rig, "h4", by=["h1", "h2"])
        for part in ("deals", "openings", "certificates"):

            def less(who: str, raw: bytes, part: str = part) -> bytes:
                return encode(replace(decode(CustodySyncReply, raw), **{part: ()}))

            tell(rig, CUSTODY_SYNC, less)
            if part != "certificates":
                await settle(rig, ["h1", "h2", "h3"], 2)
                await still_the_key(rig, good, ["h1", "h3"])
                continue
            asking = await Asking.make(rig)
            await settle(rig, ["h1", "h2", "h3"], 2)
            await asking.approved("h1", "h2")  # their fragments are not of the epoch that it wants
            assert await asking.collect() is None
            assert all(len(epochs(rig, name)) == 3 for name in ("h1", "h2", "h3"))
        tell(rig, CUSTODY_SYNC, lambda who, raw: raw)
        await settle(rig, ["h1", "h2", "h3"], 2)
        one_epoch(rig, ["h1", "h2", "h3"])
        released = await asking.collect()
        assert released is not None
        assert released.secret.matches(good)
        await still_the_key(rig, good, ["h2", "h3"])

    rig.run(day())


def test_other_terms_or_commitments_of_the_base_are_the_authoritys_fault() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await domain(rig, 4)
        await remove(rig, "h4", by=["h1", "h2"])
        with rig.devices["h1"].store.reading() as reader:
            dealt = list(reader.scan(rows.DEALT))
        bends: list[Callable[[BaseKey], BaseKey]] = [
            lambda one: replace(one, options=KeyOptions.of(unattended=True)),
            lambda one: replace(one, commitments=bytes(reversed(one.commitments))),
            lambda one: replace(one, epoch=Hash(bytes(32))),
        ]
        for bend in bends:

            def bending(who: str, raw: bytes, bend: Any = bend) -> bytes:
                reply = decode(CustodySyncReply, raw)
                deals = tuple(replace(d, base=tuple(map(bend, d.base))) for d in reply.deals)
                return encode(replace(reply, deals=deals))

            tell(rig, CUSTODY_SYNC, bending)
            report = await rig.sync("h1")
            assert report.sent == 0
            assert report.problems
            with rig.devices["h1"].store.reading() as reader:
                assert list(reader.scan(rows.DEALT)) == dealt

    rig.run(day())
