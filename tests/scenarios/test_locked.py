"""Locked means locked: no key operation, and no way in but a holder's own right answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest

from custody_thief import (
    CrookedHolder,
    Tap,
    approve_with,
    audit_kinds,
    barrier_sealer,
    epoch_records,
    spoil,
)
from domain_rig import DomainRig
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, Damaged, Locked, PeerFault, Refused, Unavailable
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import UNLOCK_LIFETIME
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.custody.client.unlock import Unlock
from tigertally.custody.messages import sync as paths
from tigertally.custody.messages.dealing import Erased
from tigertally.custody.messages.lock import (
    UNLOCK_ANSWER,
    UNLOCK_CHALLENGE,
    UNLOCK_REPORT,
    Answer,
    AnswerReply,
    AnswerRequest,
    ChallengeReply,
    ChallengeRequest,
    Envelopes,
)
from tigertally.custody.messages.release import Contribution
from tigertally.custody.messages.sync import EpochRequest, KeysRequest
from tigertally.custody.messages.v1 import (
    CUSTODY_SYNC_V1,
    KEYS_V1,
    UNLOCK_REPORT_V1,
    CustodySyncRequestV1,
)
from tigertally.custody.protocol.lock import (
    _answer_info,
    answer_challenge,
    challenge_hash,
    open_challenge,
    seal_barrier,
    sign_envelopes,
)
from tigertally.custody.service.barrier import ENVELOPES
from tigertally.host.writer import MARKS
from tigertally.quorum import messages
from tigertally.quorum.authority.rows import ROSTERS
from tigertally.quorum.card import Role
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.sealed import RowSealer

OPEN_WHILE_LOCKED = {
    messages.DOMAIN,  # whether it is locked
    messages.FOUND,  # refused: there is a domain
    messages.TERMS,
    messages.ROSTERS,
    messages.AUDIT,
    messages.RESTORATIONS,  # nothing secret: why a device has to stop
    UNLOCK_CHALLENGE,
    UNLOCK_ANSWER,
    UNLOCK_REPORT,
    UNLOCK_REPORT_V1,
}


async def raw_challenge(rig: DomainRig, name: str, **changes: object) -> ChallengeReply:
    request = ChallengeRequest(roster_version=1, checkpoint_size=0, wrong_passphrases=0)
    channel = rig.devices[name].party.channel
    raw = await channel.call(UNLOCK_CHALLENGE, encode(replace(request, **changes)))
    return decode(ChallengeReply, raw)


async def raw_answer(rig: DomainRig, name: str, answer: Envelope) -> AnswerReply:
    channel = rig.devices[name].party.channel
    request = AnswerRequest(answer=answer, rosters=())
    return decode(AnswerReply, await channel.call(UNLOCK_ANSWER, encode(request)))


def honest_answer(rig: DomainRig, name: str, reply: ChallengeReply) -> Envelope:
    device = rig.devices[name]
    challenge = open_challenge(reply.challenge, rig.key.public)
    return answer_challenge(
        reply.challenge,
        challenge,
        sealed=reply.sealed,
        electorate=reply.electorate,
        holder=index_of(rig, name),
        long_term=device.wrapping_key,
        key=device.key,
    )


def wrong_answer(rig: DomainRig, name: str, reply: ChallengeReply, part: bytes) -> Envelope:
    """A proper answer with something else inside."""
    challenge = open_challenge(reply.challenge, rig.key.public)
    called = challenge_hash(reply.challenge)
    index = index_of(rig, name)
    answer = Answer(
        domain=challenge.domain,
        challenge=called,
        holder=index,
        roster=challenge.roster,
        wrapped=challenge.wrapping_key.seal(part, info=_answer_info(called, index)),
        refusal="",
    )
    return sign_message(rig.devices[name].key, tags.UNLOCK_ANSWER, answer)


def index_of(rig: DomainRig, name: str) -> HolderIndex:
    return rig.authority.chain.current.holder_of(rig.devices[name].key.public).index


def failures(rig: DomainRig) -> list[str]:
    return [actor for kind, actor in audit_kinds(rig) if kind == "unlock.failed"]


def others_than_audit(rig: DomainRig) -> dict[str, object]:
    return {t: rows for t, rows in rig.disk._tables.items() if not t.startswith("audit")}


# --- every door -----------------------------------------------------------------------------


@pytest.mark.requirement("C6")
def test_every_key_operation_of_a_whole_day_is_refused_while_locked() -> None:
    """A day is recorded, every message of it is sent again to the locked authority."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        tap = Tap(rig)
        await rig.form(3)
        await rig.requester("app")
        state = await rig.propose_key("payroll")
        crook = CrookedHolder(rig.devices["h2"].party, bend=spoil(3))
        await approve_with(crook, proposal_id(state.proposal).hex())
        for _ in range(3):
            for name in rig.holders():
                await rig.sync(name)
        await rig.asker("app").keys()
        await rig.release("app", "payroll", by=["h1", "h3"])
        await rig.import_secret("app", "wallet", b"a seed")
        await rig.create("doomed")
        await rig.destroy("doomed", by=["h1", "h2"])
        recorded = {(path, who, body) for who, path, body in tap.sent if who in rig.devices}
        recorded |= made_up(rig)
        rig.start_authority()
        before = rig.disk._tables
        tried = set()
        for path, who, body in sorted(recorded):
            if path in OPEN_WHILE_LOCKED:
                continue
            with pytest.raises(Locked):
                await rig.devices[who].party.channel.call(path, body)
            tried.add(path)
        assert rig.disk._tables == before
        assert tried == set(rig.services.routes()) - OPEN_WHILE_LOCKED
        assert await rig.unlock_by("h2") == "ready"
        await rig.release("app", "payroll", by=["h2", "h3"], reason="after it")

    rig.run(day())


def made_up(rig: DomainRig) -> set[tuple[str, str, bytes]]:
    """Messages that this day had no cause for, properly made."""
    record = epoch_records(rig)[0]
    notice = Erased(
        domain=rig.authority.chain.current.domain,
        proposal=record.proposal,
        attempt=1,
        holder=HolderIndex(3),
        dealer=1,
        number=1,
    )
    contribution = Contribution(proposal=record.proposal, attempt=1, fragments=())
    erased = sign_message(rig.devices["h3"].key, tags.ERASED, notice)
    return {
        (paths.ERASED, "h3", encode(erased)),
        (paths.CONTRIBUTE, "h1", encode(contribution)),
        (paths.HOLDERS, "h1", encode(messages.Nothing())),
        (paths.KEYS, "h1", encode(KeysRequest(name=None))),
        (paths.KEY_EPOCH, "app", encode(EpochRequest(key=record.keys[0]))),
        *(
            (door, "h1", encode(messages.TalliesRequest(since=0, limit=10)))
            for door in (messages.TALLIES, messages.TALLIES_V1)
        ),
        # What devices of version 1 send.
        (messages.SYNC_V1, "h1", encode(messages.SyncRequest(roster_version=1, checkpoint_size=0))),
        (CUSTODY_SYNC_V1, "h1", encode(CustodySyncRequestV1(receive_keys=None, uncertified=()))),
        (KEYS_V1, "h1", encode(KeysRequest(name=None))),
    }


@pytest.mark.requirement("C6")
def test_a_locked_authority_still_says_who_it_is_and_shows_its_log() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        rig.start_authority()
        channel = rig.devices["h1"].party.channel
        raw = await channel.call(messages.DOMAIN, encode(messages.Nothing()))
        info = decode(messages.DomainInfo, raw)
        assert (info.state, info.unlock_have, info.unlock) == ("locked", 0, 1)
        report = await rig.audit("h1").report()
        assert len(report.entries) == report.checkpoint.checkpoint.size

    rig.run(day())


# --- who is let in --------------------------------------------------------------------------


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("who", ["stranger", "app"])
def test_nobody_but_a_holder_unlocks(who: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        rig.device("stranger", Role.HOLDER)
        rig.start_authority()
        before = others_than_audit(rig)
        with pytest.raises(Refused, match="only a holder"):
            await raw_challenge(rig, who)
        reply = await raw_challenge(rig, "h1")
        answer = honest_answer(rig, "h1", reply)  # stolen on its way
        with pytest.raises(Refused, match="only a holder"):
            await raw_answer(rig, who, answer)
        assert rig.authority.locked
        assert others_than_audit(rig) == before
        said = "app" if who == "app" else "strangers"
        assert failures(rig) == [said], "the second within a minute is counted"
        assert rig.services.lock.failures == 2
        await rig.authority.stop()
        assert failures(rig) == [said, said]
        assert others_than_audit(rig) == before

    rig.run(day())


@pytest.mark.requirement("C6")
def test_an_answer_serves_once_and_only_its_own_challenge() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        rig.start_authority()
        first = await raw_challenge(rig, "h1")
        answer = honest_answer(rig, "h1", first)
        second = await raw_challenge(rig, "h1")  # replaces the first
        with pytest.raises(Refused, match="no such challenge"):
            await raw_answer(rig, "h1", answer)
        with pytest.raises(Refused, match="handed in by its holder"):
            await raw_answer(rig, "h2", honest_answer(rig, "h1", second))
        foreign = decode(Answer, honest_answer(rig, "h1", second).body)
        mine = replace(foreign, holder=index_of(rig, "h2"))
        with pytest.raises(Refused, match="no such challenge"):
            await raw_answer(
                rig, "h2", sign_message(rig.devices["h2"].key, tags.UNLOCK_ANSWER, mine)
            )
        assert rig.authority.locked
        assert (await raw_answer(rig, "h1", honest_answer(rig, "h1", second))).state == "ready"
        replayed = honest_answer(rig, "h1", second)
        for start in (lambda: None, rig.start_authority):  # also while it is ready
            start()
            with pytest.raises(Refused, match="no such challenge"):
                await raw_answer(rig, "h1", replayed)
        assert rig.authority.locked
        assert failures(rig) == ["h1", "h2", "h2", "h1", "h1"]

    rig.run(day())


@pytest.mark.requirement("C6")
def test_an_old_challenge_expires() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        rig.start_authority()
        reply = await raw_challenge(rig, "h1")
        rig.clock.time += UNLOCK_LIFETIME
        with pytest.raises(Refused, match="no such challenge"):
            await raw_answer(rig, "h1", honest_answer(rig, "h1", reply))
        assert rig.authority.locked

    rig.run(day())


@pytest.mark.requirement("C6")
def test_somebody_elses_envelope_gives_nothing() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        rig.start_authority()
        others = (await raw_challenge(rig, "h2")).sealed

        def swap(caller: str, path: str, answer: bytes) -> bytes:
            if path != UNLOCK_CHALLENGE:
                return answer
            return encode(replace(decode(ChallengeReply, answer), sealed=others))

        rig.network.equivocate("authority", swap)
        tap_paths = len(rig.network.events)
        with pytest.raises(PeerFault) as caught:
            await rig.unlock_by("h1")
        assert caught.value.culprits == ("authority",)
        assert all(e.path != UNLOCK_ANSWER for e in rig.network.events[tap_paths:])
        assert rig.authority.locked

    rig.run(day())


def change_envelopes(rig: DomainRig, change: Callable[[Envelopes], Envelopes]) -> None:
    """A thief at the disk, who does not have the authority's signing key."""
    with rig.disk.transaction() as tx:
        ((key, row),) = list(tx.scan(ENVELOPES))
        signed = decode(Envelope, row)
        changed = encode(change(decode(Envelopes, signed.body)))
        tx.put(ENVELOPES, key, encode(replace(signed, body=changed)))


@pytest.mark.requirement("C6")
def test_a_thief_at_the_disk_brings_in_no_barrier_key_of_its_own() -> None:
    """The thief seals a key it knows to every holder: else it would own all rows from then on."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        roster = rig.authority.chain.current
        own = seal_barrier(Secret(b"\x07" * 32), roster, rig.randomness)
        rig.start_authority()
        change_envelopes(rig, lambda _: own)
        with pytest.raises(Damaged):
            await rig.unlock_by("h1")
        stranger = rig.device("stranger", Role.HOLDER)
        with rig.disk.transaction() as tx:
            ((key, _),) = list(tx.scan(ENVELOPES))
            tx.put(ENVELOPES, key, encode(sign_envelopes(stranger.key, own)))
        with pytest.raises(Damaged):
            await rig.unlock_by("h1")
        assert rig.authority.locked

    rig.run(day())


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("size", [0, 31, 32, 33])
def test_a_wrong_barrier_key_names_its_holder_and_opens_nothing(size: int) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        rig.start_authority()
        before = others_than_audit(rig)
        reply = await raw_challenge(rig, "h2")
        with pytest.raises(PeerFault) as caught:
            await raw_answer(rig, "h2", wrong_answer(rig, "h2", reply, b"\x09" * size))
        assert caught.value.culprits == ("h2",)
        assert rig.authority.locked
        assert failures(rig) == ["h2"]
        assert others_than_audit(rig) == before
        assert await rig.unlock_by("h1") == "ready"

    rig.run(day())


# --- old rosters ----------------------------------------------------------------------------


@pytest.mark.requirement("C6")
def test_against_an_old_roster_a_holder_brings_the_newer_one_and_says_so() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        old = rig.disk._tables[ROSTERS]
        await rig.requester("app")
        for name in rig.holders():
            await rig.sync(name)
        rig.disk._tables = {**rig.disk._tables, ROSTERS: old}
        rig.start_authority()
        assert rig.authority.chain.current.version == 2
        with pytest.raises(Refused, match="older roster"):
            await rig.unlock_by("h1")
        assert rig.authority.locked
        kinds = [kind for kind, _ in audit_kinds(rig)]
        assert kinds[-2:] == ["unlock.refused", "roster.adopted"]
        for start in (lambda: None, rig.start_authority):  # it is stored, too
            start()
            assert rig.authority.chain.current.version == 3
        assert await rig.unlock_by("h1") == "ready"

    rig.run(day())


@pytest.mark.requirement("C6")
def test_an_old_disk_is_not_unlocked_by_a_holder_that_knows_the_newer_log() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        stolen = rig.disk._tables
        await rig.create("payroll")
        rig.disk._tables = stolen
        rig.start_authority()
        with pytest.raises(PeerFault) as caught:
            await rig.unlock_by("h1")
        assert caught.value.culprits == ("authority",)
        assert rig.authority.locked
        assert audit_kinds(rig)[-1] == ("unlock.refused", "h1")

    rig.run(day())


@pytest.mark.requirement("C6")
def test_a_refusal_with_rubbish_in_it_is_still_in_the_log() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        rig.start_authority()
        reply = await raw_challenge(rig, "h1")
        challenge = open_challenge(reply.challenge, rig.key.public)
        answer = Answer(
            domain=challenge.domain,
            challenge=challenge_hash(reply.challenge),
            holder=index_of(rig, "h1"),
            roster=challenge.roster,
            wrapped=b"",
            refusal="no",
        )
        signed = sign_message(rig.devices["h1"].key, tags.UNLOCK_ANSWER, answer)
        real = rig.authority.chain.signed[-1]
        rosters = (replace(real, body=encode(replace(real.parse(), version=9))),)
        request = AnswerRequest(answer=signed, rosters=rosters)
        with pytest.raises(PeerFault):
            await rig.devices["h1"].party.channel.call(UNLOCK_ANSWER, encode(request))
        assert audit_kinds(rig)[-1] == ("unlock.refused", "h1")
        assert rig.authority.chain.current.version == 2

    rig.run(day())


# --- how many -------------------------------------------------------------------------------


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("unlock", [1, 2, 3])
def test_exactly_as_many_holders_as_agreed_unlock(unlock: int) -> None:
    rig = DomainRig(threshold=3, unlock=unlock)

    async def day() -> None:
        await rig.form(5)
        await rig.requester("app")
        await rig.create("payroll")
        before = await rig.release("app", "payroll", by=["h1", "h2", "h3"])
        rig.start_authority()
        names = ["h4", "h2", "h5"][:unlock]
        for place, name in enumerate(names[:-1], start=1):
            for _ in range(2):  # the same holder twice counts once
                reply = await Unlock(MemberClient(rig.devices[name].party)).answer(
                    wrong_passphrases=0
                )
                assert (reply.state, reply.have, reply.need) == ("locked", place, unlock)
        assert rig.authority.locked
        assert await rig.unlock_by(names[-1]) == "ready"
        after = await rig.release("app", "payroll", by=["h1", "h4", "h5"], reason="again")
        assert before.secret.matches(after.secret)

    rig.run(day())


@pytest.mark.requirement("C6")
@pytest.mark.requirement("X3")
def test_with_several_answers_the_wrong_one_is_named_and_the_right_ones_count() -> None:
    rig = DomainRig(threshold=3, unlock=3)

    async def day() -> None:
        await rig.form(4)
        rig.start_authority()
        await rig.unlock_by("h1")
        reply = await raw_challenge(rig, "h2")
        with pytest.raises(PeerFault) as caught:
            await raw_answer(rig, "h2", wrong_answer(rig, "h2", reply, b"\x09" * 32))
        assert caught.value.culprits == ("h2",)
        assert await rig.unlock_by("h3") == "locked"
        assert await rig.unlock_by("h4") == "ready"
        assert failures(rig) == ["h2"]

    rig.run(day())


@pytest.mark.requirement("C6")
def test_an_unlocking_that_stands_still_begins_anew() -> None:
    rig = DomainRig(threshold=2, unlock=2)

    async def day() -> None:
        await rig.form(3)
        rig.start_authority()
        assert await rig.unlock_by("h1") == "locked"
        rig.clock.time += UNLOCK_LIFETIME
        reply = await Unlock(MemberClient(rig.devices["h2"].party)).answer(wrong_passphrases=0)
        assert (reply.state, reply.have, reply.need) == ("locked", 1, 2)
        assert await rig.unlock_by("h3") == "ready"

    rig.run(day())


@pytest.mark.requirement("C6")
def test_wrong_passphrases_on_a_device_are_in_the_authoritys_log() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        rig.start_authority()
        await Unlock(MemberClient(rig.devices["h1"].party)).answer(wrong_passphrases=4)
        assert failures(rig) == ["h1"]
        with rig.disk.reading() as reader:
            entries = list(rig.authority._log.entries(reader, 0, 1000))
        assert any("4 wrong" in entry.summary for entry in entries)

    rig.run(day())


# --- where the barrier key is not -----------------------------------------------------------


def rows_with(rig: DomainRig, needle: bytes) -> list[str]:
    """Every stored row of any disk that holds these bytes, in a value or a key."""
    disks = {"authority": rig.disk, **{n: d.disk for n, d in rig.devices.items()}}
    return [
        f"{name}:{table}"
        for name, disk in disks.items()
        for table, rows in disk._tables.items()
        for key, value in rows.items()
        if needle in value or needle in key
    ]


@pytest.mark.requirement("C6")
@pytest.mark.requirement("X4")
@pytest.mark.parametrize("unlock", [1, 2])
def test_the_barrier_key_stands_in_no_row(unlock: int) -> None:
    rig = DomainRig(threshold=2, unlock=unlock)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        await rig.release("app", "payroll", by=["h1", "h2"])
        barrier = rig.authority.writer.memory.barrier.key.to_secret_bytes()
        rig.start_authority()
        for name in ("h1", "h2", "h3"):
            await rig.unlock_by(name)
        assert rig.authority.writer.memory.barrier.key.matches(barrier)
        assert rows_with(rig, barrier) == []
        with rig.disk.transaction() as tx:
            tx.put("control", b"key", b"before" + barrier + b"after")
        assert rows_with(rig, barrier) == ["authority:control"]

    rig.run(day())


@pytest.mark.requirement("C6")
def test_rows_behind_the_barrier_open_under_no_other_key() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        await rig.create("payroll")
        sealer = barrier_sealer(rig.authority)
        plain = {"audit", "audit-nodes", "audit-head", "authority", MARKS, ROSTERS, ENVELOPES}
        other = RowSealer(Secret(bytes(32)))
        sealed = {t: rows for t, rows in rig.disk._tables.items() if t not in plain}
        assert {"proposal", "custody-key", "custody-epoch"} <= set(sealed)
        for table, rows in sealed.items():
            for key, value in rows.items():
                sealer.open(table, key, value)
                with pytest.raises(Corrupt):
                    other.open(table, key, value)

    rig.run(day())


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("fails", ["the first", "the second"])
def test_a_commit_that_fails_takes_no_part_away_that_counts(
    fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder was told "1 of 2": a full disk in the next one's unlocking does not undo that."""
    rig = DomainRig(threshold=2, unlock=2)
    full = False
    transaction = rig.disk.transaction

    @contextmanager
    def maybe_full():
        with transaction() as tx:
            yield tx
            if full:
                raise Unavailable("the disk is full")

    monkeypatch.setattr(rig.disk, "transaction", maybe_full)

    async def unlocked_on_a_full_disk(name: str) -> None:
        nonlocal full
        client = Unlock(MemberClient(rig.devices[name].party))
        answer = client.party.channel.call

        async def call(path, *args, **more):
            nonlocal full
            full = path == UNLOCK_ANSWER
            return await answer(path, *args, **more)

        monkeypatch.setattr(type(client.party.channel), "call", staticmethod(call))
        with pytest.raises(Unavailable, match="the disk is full"):
            await client.answer(wrong_passphrases=0)
        monkeypatch.undo()
        monkeypatch.setattr(rig.disk, "transaction", maybe_full)
        full = False

    async def day() -> None:
        await rig.form(3)
        rig.start_authority()
        if fails == "the first":
            await unlocked_on_a_full_disk("h1")
        assert await rig.unlock_by("h1") == "locked"
        if fails == "the second":
            await unlocked_on_a_full_disk("h2")
            assert rig.authority.locked
        assert await rig.unlock_by("h2") == "ready"
        assert not rig.authority.locked
        lock = rig.services.lock
        assert (lock._given.parts, lock._given.accepted, lock._reports) == ({}, {}, {})

    rig.run(day())
