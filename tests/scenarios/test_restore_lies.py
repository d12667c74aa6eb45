"""Lies about restores: of an authority that pretends them, of a holder to one that had one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from change_rig import change
from custody_thief import (
    CrookedHolder,
    approve_with,
    audit_kinds,
    epoch_records,
    held_by,
    spoil,
)
from domain_rig import DomainRig
from evil import lead, twin
from restore_rig import accept, backup, convicted, restore, rounds
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused
from tigertally.base.ids import Name, Nonce
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import sign_message
from tigertally.custody.client.rows import all_held
from tigertally.custody.messages.dealing import Acknowledgement
from tigertally.custody.messages.kinds import Create, KeyRef, Suite
from tigertally.custody.messages.lock import (
    UNLOCK_ANSWER,
    UNLOCK_CHALLENGE,
    UNLOCK_REPORT,
    AnswerRequest,
    ChallengeReply,
    ChallengeRequest,
    EpochClaim,
    KeyTerms,
    ReportRequest,
)
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.protocol.lock import accept_only, open_challenge
from tigertally.custody.protocol.receiver import acknowledge_again
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum import changes
from tigertally.quorum.authority.restore import PENDING, RESTORED, mark_restored, records
from tigertally.quorum.authority.rows import OPEN, PROPOSALS
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.messages import RESTORATIONS, SYNC, Nothing, RestorationsReply, SyncRequest
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.restoration import Acceptance, open_restoration, sign_acceptance
from tigertally.quorum.tally import Tally
from tigertally.storage.memory import MemoryStore

VOTERS = ["h2", "h3", "h4"]
NEVER = {"roster_version": 0, "checkpoint_size": 0}

pytestmark = pytest.mark.requirement("C6")


def carry_over(source: MemoryStore, to: MemoryStore) -> None:
    """The authority shows on one log what was proposed and approved on the other."""
    with to.transaction() as tx:
        for table in (PROPOSALS, OPEN):
            for key, row in source._tables.get(table, {}).items():
                tx.put(table, key, row)


@pytest.mark.parametrize("excuse", [True, False])
def test_two_pretended_restores_do_not_hide_a_fork(excuse):
    """With m = n one acceptance is enough: so each half of the holders gets a log of its own."""
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(3)
        for name in rig.holders():
            await rig.sync(name)
        kept = backup(rig)
        other = rig.disk_for("other")
        other._tables = kept
        restore(rig, kept)
        with other.transaction() as tx:
            mark_restored(
                tx,
                rig.key,
                domain=rig.authority.chain.current.domain,
                made=rig.clock.now(),
                now=rig.clock.now(),
                nonce=Nonce(rig.randomness.bytes(32)),
            )
        if excuse:  # each log claims to know of the other restore
            first, second = (store._tables[RESTORED][b"\0\0\0\1"] for store in (rig.disk, other))
            for store, record in ((rig.disk, second), (other, first)):
                with store.transaction() as tx:
                    tx.put(RESTORED, b"\0\0\0\0", record)
            before = rig.devices["h1"].disk._tables
            with pytest.raises(PeerFault, match="does not come from") as caught:
                await accept(rig, "h1", back=False)
            assert caught.value.culprits == ("authority",)
            assert rig.devices["h1"].disk._tables == before
            return
        assert (await accept(rig, "h1", back=False)).state == "ready"
        twin(rig, disk=other)
        lead(rig, "twin", "h2", "h3")
        assert (await accept(rig, "h2", back=False)).state == "ready"
        with other.transaction() as tx:
            tx.delete(PENDING, b"pending")
        client = rig.holder("h1")
        synced, _ = await client.sync()
        proposal = client.member.new_proposal(
            changes.QUORUM, changes.quorum_body(threshold=2, unlock=1), synced.roster
        )
        await client.member.propose_with_yes(proposal, synced)
        carry_over(rig.disk, other)
        with pytest.raises(PeerFault, match="another log") as caught:
            await rig.approve("h2", proposal_id(proposal).hex())
        assert caught.value.culprits == ("authority",)

    rig.run(day())


def test_who_signs_a_checkpoint_that_nobody_made_vouches_for_nothing():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        client = rig.holder("h3")
        synced, _ = await client.sync()
        proposal = client.member.new_proposal(
            changes.QUORUM, changes.quorum_body(threshold=3, unlock=1), synced.roster
        )
        before = (await rig.audit("h1").report()).cosigned_by
        made_up = replace(synced, checkpoint=synced.checkpoint.replace("\n", "0\n", 2))
        await client.member.propose_with_yes(proposal, made_up)
        assert "h3" not in before
        assert (await rig.audit("h1").report()).cosigned_by == before

    rig.run(day())


def claim_of(rig: DomainRig, name: str, key: str, *, making: Tally | None = None) -> bytes:
    """A report of an epoch that never was, with terms of the liar's own."""
    roster, device = rig.authority.chain.current, rig.devices[name]
    holder = roster.holder_of(device.key.public)
    ref = KeyRef(name=Name(key), version=1)
    with device.store.reading() as reader:
        like = next(iter(all_held(reader))).parsed()
    statement = replace(
        like,
        roster=roster.hash,
        roster_version=roster.version,
        keys=(ref,),
        commitments=like.commitments[:1],
        acks=len(roster.holders),
    )
    ack = Acknowledgement(
        domain=roster.domain, epoch=statement.hash, holder=holder.index, time=rig.clock.now()
    )
    claim = EpochClaim(
        statement=encode(statement),
        certificate=None,
        acknowledgement=sign_message(device.key, tags.ACKNOWLEDGEMENT, ack),
        terms=(KeyTerms(options=KeyOptions.of(unattended=True), making=making),),
    )
    return encode(ReportRequest(claims=(claim,)))


async def made_for(rig: DomainRig, key: str, *requesters: str) -> None:
    client = rig.holder("h1")
    synced, _ = await client.sync()
    body = Create(
        key=Name(key),
        suite=Suite.PEDERSEN_ED25519,
        acks=len(synced.roster.holders),
        options=KeyOptions.of(tuple(map(Name, requesters))),
    )
    asked = await client.dealings.create_key(body, synced)
    await rig.approve("h2", proposal_id(asked.proposal).hex())
    await rounds(rig, rig.holders(), 2)


def test_one_holder_cannot_change_the_terms_of_keys_that_are_made_after_a_restore():
    """Else the others would blame the authority, and the key could never be shared anew."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("old")
        restore(rig, backup(rig))
        for name in ("h1", "h2"):
            await accept(rig, name)
        await rounds(rig, rig.holders(), 1)
        liar = rig.devices["h3"].party.channel
        await liar.call(UNLOCK_REPORT, claim_of(rig, "h3", "payroll"))
        await made_for(rig, "payroll", "app")
        await liar.call(UNLOCK_REPORT, claim_of(rig, "h3", "payroll"))
        await liar.call(UNLOCK_REPORT, claim_of(rig, "h3", "old"))
        (found,) = await rig.asker("app").keys(Name("payroll"))
        assert found.options == KeyOptions.of((Name("app"),))
        (found,) = await rig.asker("app").keys(Name("old"))
        assert found.options == KeyOptions.of()
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
        await rig.sync("h4")
        await rounds(rig, rig.holders(), 4)
        assert await rig.release("app", "payroll", by=["h1", "h4"])

    rig.run(day())


@pytest.mark.parametrize("when", ["at once", "too late"])
def test_a_restore_makes_no_removed_holder_one_again(when):
    """The removal was fetched by h1 alone, and the others accepted the back-up without it."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll")
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        kept = backup(rig)
        await change(rig, REMOVE, remove_body(Name("h4")), by=["h1", "h2"])
        await rig.holder("h1").member.sync()
        restore(rig, kept)
        for name in ("h4", "h2", "h3"):
            reply = await accept(rig, name)
        assert reply.state == "ready"
        if when == "too late":
            rig.clock.time += MAX_PROPOSAL_LIFETIME  # who voted for the removal may vote again
            await change(rig, changes.QUORUM, changes.quorum_body(threshold=3, unlock=1), by=VOTERS)
            with pytest.raises(PeerFault, match="two different rosters"):
                await rig.sync("h1")
            assert not convicted(rig, "h1"), "that the authority says so is no proof"
            return
        await rig.sync("h1")
        assert [str(one.name) for one in rig.authority.chain.current.holders] == ["h1", "h2", "h3"]
        with pytest.raises(Refused):
            await rig.devices.pop("h4").party.channel.call(SYNC, encode(SyncRequest(**NEVER)))
        await rounds(rig, rig.holders())
        (found,) = await rig.asker("app").keys(Name("payroll"))
        assert (found.epoch, found.acknowledged) == (2, (1, 2, 3))
        again = await rig.release("app", "payroll", by=["h2", "h3"], reason="after")
        assert again.secret.to_secret_bytes() == key

    rig.run(day())


async def accept_once_more(rig: DomainRig, name: str) -> None:
    """A device that signs another acceptance, though it has followed."""
    device, roster = rig.devices[name], rig.authority.chain.current
    asked = ChallengeRequest(roster_version=0, checkpoint_size=0, wrong_passphrases=0)
    raw = await device.party.channel.call(UNLOCK_CHALLENGE, encode(asked))
    challenge = decode(ChallengeReply, raw).challenge
    opened = open_challenge(challenge, rig.key.public)
    me = roster.holder_of(device.key.public).index
    with rig.disk.reading() as reader:
        restoration = open_restoration(records(reader)[-1].restoration, rig.key.public)
    acceptance = Acceptance(
        domain=roster.domain,
        restoration=restoration.hash,
        holder=me,
        roster=roster.hash,
        seen="",
        time=rig.clock.now(),
    )
    sent = AnswerRequest(
        answer=accept_only(challenge, opened, holder=me, key=device.key),
        rosters=(),
        acceptance=sign_acceptance(device.key, acceptance),
    )
    await device.party.channel.call(UNLOCK_ANSWER, encode(sent))


def test_one_holder_accepts_a_restore_once():
    """However often it does: else nobody could fetch all acceptances any more."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        restore(rig, backup(rig))
        for name in ("h1", "h2"):
            await accept(rig, name)
        for _ in range(3):
            rig.clock.time += 1
            await accept_once_more(rig, "h3")
        assert [kind for kind, _ in audit_kinds(rig)].count("restore.accepted") == 3
        raw = await rig.devices["h1"].party.channel.call(RESTORATIONS, encode(Nothing()))
        (record,) = decode(RestorationsReply, raw).records
        assert len(record.acceptances) == 3

    rig.run(day())


def claim_like(rig: DomainRig, name: str, held: HeldEpoch) -> bytes:
    """A report of an epoch that another device holds, too."""
    device, roster = rig.devices[name], rig.authority.chain.current
    me = roster.holder_of(device.key.public).index
    claim = EpochClaim(
        statement=held.statement,
        certificate=None,
        acknowledgement=acknowledge_again(held, me, key=device.key, now=rig.clock.now()),
        terms=(KeyTerms(options=KeyOptions.of(), making=None),),
    )
    return encode(ReportRequest(claims=(claim,)))


def test_an_attempt_that_was_ended_does_not_come_back_with_a_restore():
    """h2 dealt badly and never acknowledged. Had it done so, the authority had gone on with it."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        for name in rig.holders():
            await rig.sync(name)
        kept = backup(rig)
        state = await rig.propose_key("payroll", acks=2)
        crooked = CrookedHolder(rig.devices["h2"].party, bend=spoil(3))
        await approve_with(crooked, proposal_id(state.proposal).hex())
        await rig.sync("h1")
        (ended,) = held_by(rig, "h1")
        assert "wrong fragment" in str((await rig.sync("h3")).problems)
        await rig.sync("h1")
        assert {one.parsed().attempt for one in held_by(rig, "h1")} == {1, 2}
        restore(rig, kept)
        for name in ("h1", "h3"):
            await accept(rig, name)
        await rounds(rig, ["h1", "h3"], 1)
        await rig.devices["h2"].party.channel.call(UNLOCK_REPORT, claim_like(rig, "h2", ended))
        await rounds(rig, ["h1", "h3"], 2)
        assert not [one for one in epoch_records(rig) if one.acknowledged == (1, 2)]

    rig.run(day())
