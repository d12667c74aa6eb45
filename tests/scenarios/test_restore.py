"""An authority is restored from a back-up: who must agree, what comes back, what can be cheated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from change_rig import Asking, change
from crash_rig import CrashRig
from custody_thief import audit_kinds, held_by
from domain_rig import Device, DomainRig, put_memory
from evil import tell
from restore_rig import accept, backup, convicted, restore, rounds, told
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    InvalidSignature,
    Locked,
    PeerFault,
    Refused,
    TigertallyError,
    Unavailable,
)
from tigertally.base.ids import DomainId, Hash, HolderIndex, Name, RosterHash
from tigertally.base.limits import CLOCK_SKEW
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.dealing import Certificate
from tigertally.custody.messages.kinds import CREATE, Create, Suite
from tigertally.custody.messages.lock import (
    UNLOCK_ANSWER,
    UNLOCK_REPORT,
    AnswerRequest,
    EpochClaim,
    KeyTerms,
    ReportRequest,
)
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.sync import ACKNOWLEDGE, CUSTODY_SYNC, CustodySyncReply
from tigertally.custody.protocol.receiver import acknowledge_again
from tigertally.custody.service import rows
from tigertally.custody.state.authority import KeyRecord
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum import changes, messages
from tigertally.quorum.approval import Verdict
from tigertally.quorum.authority.restore import PENDING, records
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.restoration import Acceptance, RestorationRecord, sign_acceptance
from tigertally.quorum.tally import Tally
from tigertally.transport.channel import DEFAULT_WAIT, Channel
from tigertally.transport.memory import Leg

pytestmark = pytest.mark.requirement("C6")


async def same_key(rig: DomainRig, key: str, by: list[str], expected: bytes, why: str) -> None:
    released = await rig.release("app", key, by=by, reason=why)
    assert released.secret.to_secret_bytes() == expected


@pytest.mark.parametrize(("holders", "threshold", "unlock", "need"), [(3, 2, 1, 2), (5, 3, 2, 3)])
def test_it_needs_so_many_that_every_quorum_has_one_of_them(holders, threshold, unlock, need):
    rig = DomainRig(threshold=threshold, unlock=unlock)

    async def day() -> None:
        await rig.form(holders)
        restore(rig, backup(rig))
        raw = await rig.devices["h1"].party.channel.call(
            messages.DOMAIN, encode(messages.Nothing())
        )
        info = decode(messages.DomainInfo, raw)
        assert (info.state, info.restored, info.unlock_need) == ("locked", True, need)
        with pytest.raises((Locked, PeerFault)):
            await rig.sync("h1")
        for number in range(1, need):
            reply = await accept(rig, f"h{number}", back=False)
            assert (reply.state, reply.have, reply.restored) == ("locked", number, True)
            assert (await accept(rig, "h1", back=False)).have == number, "nobody counts twice"
        reply = await accept(rig, f"h{need}", back=False)
        assert (reply.state, reply.restored) == ("ready", False)
        for name in rig.holders():
            await rig.sync(name)
            (line,) = told(rig, name)
            assert "nothing that this device had seen is lost" in line
        kinds = [kind for kind, _ in audit_kinds(rig)]
        assert kinds.count("authority.restored") == 1
        assert kinds.count("restore.accepted") == need
        assert (await rig.audit("h1").report()).entries
        rig.start_authority()
        assert await rig.unlock_by("h1") == "ready" or unlock > 1, "a restart is a restart again"

    rig.run(day())


@pytest.mark.parametrize("suite", list(Suite))
def test_keys_made_and_shared_anew_after_the_backup_come_back(suite):
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("old", suite=suite)
        old = (await rig.release("app", "old", by=["h1", "h2"])).secret.to_secret_bytes()
        kept = backup(rig)
        await rig.create("new", suite=suite)
        new = (await rig.release("app", "new", by=["h1", "h2"])).secret.to_secret_bytes()
        await change(rig, REMOVE, remove_body(Name("h3")), by=["h1", "h2"])
        thief = rig.devices.pop("h3")
        await rounds(rig, ["h1", "h2"])
        await change(rig, changes.QUORUM, encode_quorum(2, 2), by=["h1", "h2"])
        await rounds(rig, ["h1", "h2"])
        restore(rig, kept)
        rig.devices["h3"] = thief
        assert (await accept(rig, "h3")).have == 1, "for all that it knows"
        with pytest.raises(Locked):
            await rig.sync("h1")
        with pytest.raises(Refused, match="older roster"):
            await accept(rig, "h1")
        assert rig.authority.chain.current.version > 5
        with pytest.raises(Refused):
            await accept(rig, "h3")
        reply = await accept(rig, "h1")
        assert (reply.state, reply.have) == ("locked", 1), "what h3 said counts no more"
        with pytest.raises(PeerFault, match="loses entries"):
            await accept(rig, "h2", back=False)
        assert (await accept(rig, "h2")).state == "ready"
        del rig.devices["h3"]
        await rounds(rig, ["h1", "h2"])
        for name in ("h1", "h2"):
            assert "went back" in told(rig, name)[0]
            assert not convicted(rig, name)
        await same_key(rig, "old", ["h1", "h2"], old, "after")
        await same_key(rig, "new", ["h1", "h2"], new, "after")
        keys = await rig.asker("app").keys()
        assert {(str(one.ref.name), one.state) for one in keys} == {
            ("old", "active"),
            ("new", "active"),
        }
        assert "went back" in told(rig, "app")[0]
        assert "barrier.renewed" in [kind for kind, _ in audit_kinds(rig)]
        rig.devices["h3"] = thief
        rig.start_authority()
        with pytest.raises(Refused):
            await accept(rig, "h3")

    rig.run(day())


@pytest.mark.requirement("C12")
def test_a_removed_fragment_that_was_dead_is_known_to_be_dead_again():
    rig = DomainRig(threshold=2)

    async def dead() -> list[bool]:
        (found,) = await rig.asker("app").keys(Name("payroll"))
        return [one.dead for one in found.removed]

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll")
        kept = backup(rig)
        await change(rig, REMOVE, remove_body(Name("h4")), by=["h1", "h2"])
        rig.devices.pop("h4")
        await rounds(rig, ["h1", "h2", "h3"])
        assert await dead() == [True]
        restore(rig, kept)
        with pytest.raises(Refused, match="older roster"):
            await accept(rig, "h1")
        for name in ("h1", "h2"):
            reply = await accept(rig, name)
        assert reply.state == "ready"
        assert await dead() == [False], "nobody has told the restored authority what was erased"
        await rounds(rig, ["h1", "h2", "h3"])
        assert await dead() == [True]

    rig.run(day())


def encode_quorum(threshold: int, unlock: int) -> bytes:
    return changes.quorum_body(threshold=threshold, unlock=unlock)


@pytest.mark.parametrize("contacts", [3, 5, 6, 8])
def test_a_reshare_that_was_under_way_or_only_some_know_of_goes_on(contacts):
    """The crash comes after so many contacts: dealt, acknowledged, certified, known to some."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        kept = backup(rig)
        joining = rig.joining(rig.device("h4", Role.HOLDER))
        await rig.admit(joining, by=["h1", "h2"])
        for name in ["h4", "h1", "h2", "h3", "h4", "h1", "h2", "h3"][:contacts]:
            await rig.sync(name)
        restore(rig, kept)
        with pytest.raises(Refused, match="older roster"):
            await accept(rig, "h2")
        await accept(rig, "h2")
        await accept(rig, "h4")
        assert (await accept(rig, "h1")).state == "ready"
        await rig.sync("h4")
        await rounds(rig, ["h1", "h2", "h4", "h3"])
        await same_key(rig, "payroll", ["h3", "h4"], key, "after")

    rig.run(day())


@pytest.mark.parametrize(
    ("suite", "before", "after"),
    [
        (Suite.PEDERSEN_ED25519, 2, 1),  # dealt in another way than they deal again
        (Suite.PEDERSEN_ED25519, 1, 5),  # certified since
        (Suite.SHAMIR_GF256, 1, 4),  # acknowledged by some
    ],
)
def test_what_was_half_dealt_at_the_backup_begins_again(suite, before, after):
    """Else the devices would see two epochs of one attempt, and blame the authority for ever."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
        contacts = ["h4", "h1", "h2", "h3", "h1", "h4", "h2", "h3"]
        for number, name in enumerate(contacts[: before + after]):
            if number == before:
                kept = backup(rig)
            await rig.sync(name)
            await rig.child_work()
        restore(rig, kept)
        for name in ("h1", "h2", "h3"):
            reply = await accept(rig, name)
        assert reply.state == "ready"
        await rig.child_work()
        await rounds(rig, rig.holders(), 4)
        (found,) = await rig.asker("app").keys()
        assert (found.epoch, found.acknowledged) == (2, (1, 2, 3, 4))
        await same_key(rig, "payroll", ["h3", "h4"], key, "after")

    rig.run(day())


@pytest.mark.parametrize("contacts", [2, 4, 5])
def test_one_backup_restored_twice_during_a_reshare(contacts):
    """What was dealt between the two restores must not have the number of what is dealt after."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
        kept = backup(rig)
        for _ in range(2):
            restore(rig, kept)
            for name in ("h1", "h2", "h3"):
                reply = await accept(rig, name)
            assert reply.state == "ready"
            for name in ["h4", "h1", "h2", "h3", "h1"][:contacts]:
                await rig.sync(name)
        await rounds(rig, rig.holders(), 4)
        (found,) = await rig.asker("app").keys()
        assert (found.epoch, found.acknowledged) == (2, (1, 2, 3, 4))
        await same_key(rig, "payroll", ["h3", "h4"], key, "after")

    rig.run(day())


def test_so_many_restores_that_their_numbers_would_run_out():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        rig.clock.time += CLOCK_SKEW + 1
        for _ in range(66):
            restore(rig, backup(rig))
        for name in ("h1", "h2"):
            reply = await accept(rig, name)
        assert reply.state == "ready"
        await rounds(rig, rig.holders())
        await change(rig, REMOVE, remove_body(Name("h3")), by=["h1", "h2"])
        del rig.devices["h3"]
        restore(rig, backup(rig))
        for name in ("h1", "h2"):
            await accept(rig, name)
        await rounds(rig, ["h1", "h2"])
        (found,) = await rig.asker("app").keys()
        assert (found.epoch, found.acknowledged) == (2, (1, 2))

    rig.run(day())


def test_a_key_that_the_authority_had_still_to_deal_is_dealt_under_another_number():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.sync("h3")
        state = await rig.propose_key("payroll", suite=Suite.SHAMIR_GF256)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        kept = backup(rig)
        await rig.child_work()
        await rig.sync("h1")
        restore(rig, kept)
        for name in ("h1", "h2"):
            await accept(rig, name)
        await rig.child_work()
        await rounds(rig, rig.holders())
        assert await rig.release("app", "payroll", by=["h1", "h3"])

    rig.run(day())


def test_a_holder_that_was_away_brings_what_only_it_knows():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        kept = backup(rig)
        await rig.propose_key("second")
        restore(rig, kept)
        await accept(rig, "h1")
        assert (await accept(rig, "h3")).state == "ready"
        await rounds(rig, ["h1", "h3"])
        await rounds(rig, ["h2"])  # it took no part and need not be asked
        assert "accepted by" in told(rig, "h2")[0]
        await same_key(rig, "payroll", ["h2", "h3"], key, "after")
        for name in rig.holders():
            assert (await rig.audit(name).report()).cosigned_by

    rig.run(day())


def test_a_lying_authority_that_pretends_a_restore_gets_nowhere():
    """It has the newest state, but shows an old one: with too few who accept, devices stop."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        kept = backup(rig)
        await rig.create("second")
        await rounds(rig, ["h1", "h2", "h3"], 1)
        await rig.asker("app").member.sync()
        barrier = rig.authority.writer.memory.barrier
        restore(rig, kept)
        put_memory(rig.authority, barrier=barrier)  # it has kept what it must not have
        await accept(rig, "h1")
        before = {name: rig.devices[name].disk._tables for name in ("h1", "h2", "h3")}
        for name in ("h1", "h2", "h3"):
            with pytest.raises(PeerFault, match="too few") as caught:
                await rig.sync(name)
            assert caught.value.culprits == ("authority",)
            with pytest.raises(PeerFault):
                await rig.audit(name).report()
        assert {n: rig.devices[n].disk._tables for n in before} == before
        with rig.disk.transaction() as tx:
            tx.delete(PENDING, b"pending")  # claims that it was accepted
        with pytest.raises(PeerFault, match="too few"):
            await rig.asker("app").member.sync()
        assert (await accept(rig, "h2")).state == "ready"
        await rounds(rig, ["h1", "h2", "h3"])
        assert not any(convicted(rig, name) for name in rig.holders())

    rig.run(day())


def test_acceptances_of_removed_holders_and_copies_do_not_count():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        kept = backup(rig)
        await change(rig, REMOVE, remove_body(Name("h4")), by=["h1", "h2"])
        for name in ("h1", "h2", "h3"):
            await rig.sync(name)
        restore(rig, kept)
        for name, number in (("h4", 1),):
            assert (await accept(rig, name)).have == number
        # The authority conspires: it adopts nothing, and counts h4 three times over.
        with rig.disk.transaction() as tx:
            (key, row), *_ = tx.scan("restored")
            record = decode(RestorationRecord, row)
            (envelope,) = rig.services.lock._given.accepted.values()
            forged = RestorationRecord(restoration=record.restoration, acceptances=(envelope,) * 3)
            tx.put("restored", key, encode(forged))
        put_memory(rig.authority, barrier=None)
        with pytest.raises(TigertallyError):
            await rig.sync("h1")
        with pytest.raises(PeerFault, match="too few"):
            await rig.audit("h1").report()

    rig.run(day())


def test_two_signed_roots_of_one_size_convict_also_after_a_restore():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        restore(rig, backup(rig))
        await accept(rig, "h1")
        await accept(rig, "h2")
        await rounds(rig, ["h1", "h2", "h3"], 1)
        fork, barrier = rig.disk._tables, rig.authority.writer.memory.barrier
        await rig.requester("app")
        await rig.sync("h3")
        with rig.disk.reading() as reader:
            entries = rig.authority._log.size(reader)
        rig.disk._tables = fork
        rig.start_authority()
        put_memory(rig.authority, barrier=barrier)
        with rig.disk.transaction() as tx:
            while rig.authority._log.size(tx) < entries:
                rig.authority._log.append(tx, time=1, kind="x", actor="x", summary="x")
        with pytest.raises(PeerFault, match="forked") as caught:
            await rig.audit("h3").report()
        assert caught.value.sure
        assert convicted(rig, "h3")

    rig.run(day())


def test_a_backup_restored_twice_and_a_backup_of_a_restored_one():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        kept = backup(rig)
        await rig.create("one")
        key = (await rig.release("app", "one", by=["h1", "h2"])).secret.to_secret_bytes()
        restore(rig, kept)
        for name in ("h1", "h2"):
            await accept(rig, name)
        await rounds(rig, ["h1", "h2", "h3"])
        await same_key(rig, "one", ["h1", "h3"], key, "restored once")
        for source in (kept, backup(rig)):
            restore(rig, source)
            with pytest.raises(PeerFault, match="too few"):
                await rig.audit("h1").report()
            for name in ("h2", "h3"):
                await accept(rig, name)
            await rounds(rig, ["h1", "h2", "h3"])
            why = f"restored again {source is kept}"
            await same_key(rig, "one", ["h1", "h3"], key, why)
        assert len(told(rig, "h1")) == 3
        for name in rig.holders():
            assert (await rig.audit(name).report()).entries

    rig.run(day())


def test_a_release_that_was_lost_is_asked_again_and_spent_tallies_do_no_harm():
    """The same request, the same stored approvals: they cosign the log that was lost."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        kept = backup(rig)
        released = await rig.release("app", "payroll", by=["h1", "h2"], reason="night job")
        await rig.propose_key("lost", by="h3")
        restore(rig, kept)
        for name in ("h1", "h2"):
            await accept(rig, name)
        await rounds(rig, ["h1", "h2", "h3"])
        again = await rig.release("app", "payroll", by=["h1", "h2"], reason="night job")
        assert again.secret.to_secret_bytes() == released.secret.to_secret_bytes()
        with pytest.raises(Unavailable):
            await rig.release("app", "payroll", by=["h3"], reason="one is not enough")

    rig.run(day())


def test_acknowledgements_alone_bring_a_key_back_once_they_are_enough():
    """All holders had it, but the certificate had reached nobody when the disk died."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        kept = backup(rig)
        state = await rig.propose_key("late")
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rig.sync("h1")
        await rig.sync("h2")
        rig.network.drop(path=ACKNOWLEDGE, from_="h3", leg=Leg.ANSWER)
        with pytest.raises(Unavailable):
            await rig.sync("h3")
        rig.network.heal()
        assert all(held_by(rig, name)[0].certificate is None for name in rig.holders())
        restore(rig, kept)
        await accept(rig, "h1")
        assert (await accept(rig, "h2")).state == "ready"
        assert await rig.asker("app").keys() == (), "two of the three that it takes"
        await rounds(rig, ["h3", "h1", "h2"], 2)
        (key,) = await rig.asker("app").keys()
        assert (key.state, key.acknowledged) == ("active", (1, 2, 3))
        await rig.release("app", "late", by=["h1", "h3"])

    rig.run(day())


@pytest.mark.parametrize("lie", ["another's", "made up", "certified by itself", "easier terms"])
def test_what_a_lying_holder_reports_after_a_restore_changes_no_key(lie):
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        kept = backup(rig)
        await rig.create("late")
        restore(rig, kept)
        for name in ("h1", "h2"):
            await accept(rig, name)
        liar = rig.devices["h1"]
        (good,) = [h for h in held_by(rig, "h1") if h.parsed().keys[0].name == "payroll"]
        claim = lying_claim(rig, liar, good, lie)
        before = known_keys(rig)
        assert len(before) == 2
        refused = audit_kinds(rig).count(("custody.claim-refused", "h1"))
        await liar.party.channel.call(UNLOCK_REPORT, encode(ReportRequest(claims=(claim,))))
        assert known_keys(rig) == before
        if lie in ("another's", "easier terms"):  # the others wait for who says the same
            assert audit_kinds(rig).count(("custody.claim-refused", "h1")) == refused + 1
        honest = replace(claim, statement=good.statement, certificate=good.certificate)
        ack = acknowledge_again(good, HolderIndex(1), key=liar.key, now=rig.clock.now())
        honest = replace(honest, acknowledgement=ack)
        await liar.party.channel.call(UNLOCK_REPORT, encode(ReportRequest(claims=(honest,))))
        assert known_keys(rig) == before
        await rounds(rig, ["h1", "h2", "h3"])
        await same_key(rig, "payroll", ["h1", "h3"], key, "after the lie")

    rig.run(day())


def test_no_holder_alone_says_who_may_ask_for_a_key_that_was_lost():
    """It shows a tally of its own making; the key was made for `app`."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.requester("other")
        kept = backup(rig)
        client = rig.holder("h1")
        synced, _ = await client.sync()
        terms = {"suite": Suite.PEDERSEN_ED25519, "acks": 3}
        body = Create(key=Name("late"), options=KeyOptions.of((Name("app"),)), **terms)
        state = await client.dealings.create_key(body, synced)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rounds(rig, ["h1", "h2", "h3"], 2)
        restore(rig, kept)
        for name in ("h2", "h3"):
            await accept(rig, name)
        before = known_keys(rig)
        assert [one.options.requesters for one in before.values()] == [(Name("app"),)]
        (held,) = held_by(rig, "h1")
        proposal = client.member.new_proposal(
            CREATE, replace(body, options=KeyOptions.of()).to_body(), client.member.chain().current
        )
        yes = client.member.new_verdict(proposal, synced, Verdict.APPROVE)
        forged = KeyTerms(
            options=KeyOptions.of(unattended=True),
            making=Tally(proposal=proposal, approvals=(yes, yes)),
        )
        key = rig.devices["h1"].key
        claim = EpochClaim(
            statement=held.statement,
            certificate=held.certificate,
            acknowledgement=acknowledge_again(held, HolderIndex(1), key=key, now=rig.clock.now()),
            terms=(forged,),
        )
        request = encode(ReportRequest(claims=(claim,)))
        await rig.devices["h1"].party.channel.call(UNLOCK_REPORT, request)
        assert known_keys(rig) == before
        assert ("custody.claim-refused", "h1") in audit_kinds(rig)
        await rounds(rig, ["h1", "h2", "h3"])
        with pytest.raises(Refused, match="may not ask"):
            await rig.release("other", "late", by=["h1", "h2"])
        await rig.release("app", "late", by=["h1", "h2"])

    rig.run(day())


@pytest.mark.parametrize("suite", list(Suite))
def test_a_release_goes_on_in_the_epoch_that_holders_reported(suite):
    """One fragment of the old epoch had come: it serves no more, and its holder sends anew."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        asking = await Asking.make(rig)
        await asking.approved("h1", "h2")  # h2's has left, h1's has not
        kept = backup(rig)
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h3", "h2"])
        tell_no_releases(rig)
        for name in ("h4", "h2", "h3", "h4", "h2", "h3") * 2:
            await rig.sync(name)
            await rig.sync("h1")
            await rig.child_work()
        rig.network.heal()
        restore(rig, kept)
        with pytest.raises(Refused, match="older roster"):
            await accept(rig, "h3")
        for name in ("h3", "h4", "h2"):
            await accept(rig, name)
        assert not rig.authority.locked
        await rounds(rig, ["h1", "h2"], 2)
        released = await asking.collect()
        assert released is not None
        assert released.secret.to_secret_bytes() == key
        assert released.approved_by == ("h1", "h2")

    rig.run(day())


def tell_no_releases(rig: DomainRig) -> None:
    """The relay keeps complete requests to itself."""
    tell(
        rig,
        CUSTODY_SYNC,
        lambda who, raw: encode(replace(decode(CustodySyncReply, raw), releases=())),
    )


def lying_claim(rig: DomainRig, liar: Device, good: HeldEpoch, lie: str) -> EpochClaim:
    """What h1 says of an epoch: of a later attempt, with commitments of its own, or less."""
    statement, certificate = good.parsed(), None
    terms = (KeyTerms(options=KeyOptions.of(unattended=True), making=None),) * len(statement.keys)
    if lie != "another's":
        made_up = bytes(reversed(range(32))) * 2
        statement = replace(statement, attempt=9, commitments=(made_up,), acks=2)
    if lie == "easier terms":
        statement = replace(statement, acks=1)
    held = replace(good, statement=encode(statement))
    signer, me = (rig.devices["h2"], 2) if lie == "another's" else (liar, 1)
    ack = acknowledge_again(held, HolderIndex(me), key=signer.key, now=rig.clock.now())
    if lie == "certified by itself":
        certificate = Certificate(statement=held.statement, acknowledgements=(ack, ack))
        others = good.certificate.acknowledgements[1:]
        certificate = replace(certificate, acknowledgements=(ack, *others))
    return EpochClaim(
        statement=held.statement, certificate=certificate, acknowledgement=ack, terms=terms
    )


def known_keys(rig: DomainRig) -> dict[object, KeyRecord]:
    found = rig.authority_rows()[rows.KEYS].values()
    return {record.ref: record for record in (decode(KeyRecord, row) for row in found)}


@dataclass
class BentAnswer:
    """An answer to a restored authority with another acceptance than the program makes."""

    channel: Channel
    bend: Callable[[Acceptance], Acceptance]
    key: SigningKey
    late: Acceptance | None = None  # what it accepted before; the program would say nothing now

    async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
        if path == UNLOCK_ANSWER:
            sent = decode(AnswerRequest, body)
            said = self.late or decode(Acceptance, sent.acceptance.body)
            bent = sign_acceptance(self.key, self.bend(said))
            body = encode(replace(sent, acceptance=None if self.bend is nothing else bent))
        return await self.channel.call(path, body, wait=wait)


def nothing(said: Acceptance) -> Acceptance:
    return said


@pytest.mark.parametrize(
    "bend",
    [
        nothing,
        lambda said: replace(said, restoration=Hash(bytes(32))),
        lambda said: replace(said, roster=RosterHash(bytes(32))),
        lambda said: replace(said, domain=DomainId(bytes(32))),
        lambda said: replace(said, holder=HolderIndex(2)),
    ],
    ids=["nothing", "another restore", "another roster", "another domain", "another's"],
)
def test_an_answer_that_accepts_something_else_unlocks_nothing_and_is_logged(bend):
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        restore(rig, backup(rig))
        device = rig.devices["h1"]
        honest = device.party
        bent = BentAnswer(honest.channel, bend, device.key)
        device.party = replace(honest, channel=bent)
        failed = audit_kinds(rig).count(("unlock.failed", "h1"))
        with pytest.raises((Refused, InvalidSignature)):
            await accept(rig, "h1", back=False)
        assert audit_kinds(rig).count(("unlock.failed", "h1")) == failed + 1
        device.party = honest
        reply = await accept(rig, "h1", back=False)
        assert (reply.state, reply.have, reply.restored) == ("locked", 1, True)
        assert (await accept(rig, "h2", back=False)).state == "ready"

        record = accepted(rig)
        said = decode(Acceptance, record.acceptances[0].body)
        bent = BentAnswer(honest.channel, bend, device.key, late=said)
        device.party = replace(honest, channel=bent)
        if bend is not nothing:  # that is what an answer is like when nothing is to be accepted
            with pytest.raises((Refused, InvalidSignature)):
                await accept(rig, "h1", back=False)
        assert accepted(rig) == record
        assert len(record.acceptances) == 2

    rig.run(day())


def accepted(rig: DomainRig) -> RestorationRecord:
    """What the authority shows of its restore."""
    with rig.disk.reading() as reader:
        return records(reader)[-1]


class RestoredRig(CrashRig):
    """The authority that dies comes up as it would: the holders answer again."""

    async def revive(self) -> None:
        if self.journal.dead == "authority":
            self.journal.dead = ""
            await self.network.close()
            self.start_authority()


def test_everybody_killed_at_every_step_of_unlocking_a_restored_authority():
    rig = RestoredRig(threshold=2)

    async def unlock() -> str:
        for name in ("h1", "h2"):
            try:
                reply = await accept(rig, name)
            except Refused:  # it has handed the newer roster over
                reply = await accept(rig, name)
        if reply.state != "ready":
            raise Locked("the authority died and has forgotten the first")
        return reply.state

    async def day() -> int:
        await rig.form(3)
        await rig.create("old")
        kept = backup(rig)
        await rig.create("new")
        await change(rig, changes.QUORUM, encode_quorum(2, 2), by=["h1", "h2"])
        await rounds(rig, ["h1", "h2", "h3"], 1)
        restore(rig, kept)
        locked = rig.moment()
        for step in range(1, 100):
            rig.back_to(locked)
            rig.journal.arm(step)
            assert await rig.insist(unlock) == "ready"
            died = rig.journal.taken >= step
            rig.journal.left = None
            await rig.settle(["h1", "h2", "h3"])
            rig.check_quiet(["h1", "h2", "h3"])
            assert len(rig.private_keys(["h1", "h2", "h3"], together=2)) == 2
            kinds = [kind for kind, _ in audit_kinds(rig)]
            assert kinds.count("authority.restored") == 1
            assert kinds.count("restore.accepted") == 2
            if not died:
                return step
        raise AssertionError("never done")

    assert rig.run(day()) >= 9


def forget_receive_keys(rig: DomainRig, name: str) -> None:
    with rig.devices[name].store.transaction() as tx:
        for place, _ in list(tx.scan(device_rows.SEEDS)):
            tx.delete(device_rows.SEEDS, place)


async def lose_the_second_attempt(rig: DomainRig, ender: str) -> None:
    """The back-up has attempt 1. Then a device's receive keys were gone, and h1 took attempt 2."""
    kept = backup(rig)
    forget_receive_keys(rig, ender)
    await rig.sync(ender)
    for name in ("h1", "h2", "h1"):
        await rig.sync(name)
        await rig.child_work()
    await rig.sync("h1")
    assert max(held.parsed().attempt for held in held_by(rig, "h1")) == 2
    restore(rig, kept)
    for name in rig.holders():
        if rig.authority.locked:
            await accept(rig, name)
    for _ in range(4):
        for name in [ender, *(one for one in rig.holders() if one != ender)]:
            assert (await rig.sync(name)).culprits == []
        await rig.child_work()


@pytest.mark.parametrize("suite", list(Suite))
def test_a_reshare_goes_on_with_attempts_that_no_device_knows(suite):
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        key = (await rig.release("app", "payroll", by=["h1", "h2"])).secret.to_secret_bytes()
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
        for name in ("h4", "h2"):
            await rig.sync(name)
        await rig.holder("h1").sync()
        await rig.child_work()
        await lose_the_second_attempt(rig, "h4")
        (found,) = await rig.asker("app").keys()
        assert (found.state, found.missing) == ("active", ())
        assert all(held.parsed().attempt > 1000 for held in held_by(rig, "h4"))
        await same_key(rig, "payroll", ["h3", "h4"], key, "after")

    rig.run(day())


@pytest.mark.parametrize("suite", list(Suite))
def test_a_key_that_is_being_made_goes_on_with_attempts_that_no_device_knows(suite):
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        state = await rig.propose_key("payroll", suite=suite)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rig.child_work()
        await lose_the_second_attempt(rig, "h3")
        (found,) = await rig.asker("app").keys()
        assert (found.state, found.missing) == ("active", ())
        assert all(held.parsed().attempt > 1000 for held in held_by(rig, "h3"))
        await rig.release("app", "payroll", by=["h1", "h3"])

    rig.run(day())
