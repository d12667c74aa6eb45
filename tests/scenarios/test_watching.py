"""What can be watched: who is missing, how many may be lost, and when an old fragment is dead."""

from __future__ import annotations

import pytest

from change_rig import remove
from domain_rig import DomainRig
from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, Refused
from tigertally.base.ids import HolderIndex, Name
from tigertally.custody.client import rows as device_rows
from tigertally.custody.client.rows import all_held
from tigertally.custody.messages.reports import HELD
from tigertally.custody.messages.sync import HOLDERS, HoldersReply, KeyInfo
from tigertally.custody.protocol.reports import claims_of, sign_report
from tigertally.custody.service import watch
from tigertally.quorum.card import Role
from tigertally.quorum.messages import Nothing
from tigertally.quorum.proposal import proposal_id


async def info(rig: DomainRig, key: str = "payroll") -> KeyInfo:
    (found,) = await rig.asker("app").keys(Name(key))
    return found


async def holders(rig: DomainRig, *, by: str = "h1") -> HoldersReply:
    raw = await rig.devices[by].party.channel.call(HOLDERS, encode(Nothing()))
    return decode(HoldersReply, raw)


def dead(found: KeyInfo) -> dict[int, bool]:
    return {int(one.holder): one.dead for one in found.removed}


async def overview(rig: DomainRig) -> watch.Overview:
    return await rig.authority.run(watch.overview)


@pytest.mark.requirement("C10")
@pytest.mark.requirement("C12")
def test_a_removal_is_watched_until_the_old_fragment_is_dead() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        assert (await holders(rig)).least_margin is None, "there is no key yet"
        await rig.create("payroll")
        seen = await info(rig)
        assert (seen.usable - seen.threshold, seen.missing, seen.removed) == (2, (), ())

        await remove(rig, "h4", by=["h1", "h2"])
        seen = await info(rig)
        assert seen.usable - seen.threshold == 1, "the removed one does not count any more"
        assert dead(seen) == {4: False}, "the old epoch is still the live one"
        for name in ("h1", "h2", "h1"):
            await rig.sync(name)
        seen = await info(rig)
        assert seen.missing == (HolderIndex(3),)
        await rig.sync("h3")
        seen = await info(rig)
        assert (seen.epoch, seen.state) == (2, "active")
        assert dead(seen) == {4: False}, "two holders have not yet erased the old epoch"
        reply = await holders(rig)
        assert [one.alive for one in reply.removed] == [1]
        assert (await overview(rig)).old_fragments == 1

        await rig.sync("h1")
        assert dead(await info(rig)) == {4: False}, "with h2's old fragment it still makes the key"
        await rig.sync("h2")
        assert dead(await info(rig)) == {4: True}
        assert (await overview(rig)).old_fragments == 0
        reply = await holders(rig)
        assert [(one.index, one.alive) for one in reply.removed] == [(4, 0)]
        assert reply.least_margin == 1

        del rig.devices["h4"]
        rig.clock.time += 10
        await rig.create("ledger")
        assert dead(await info(rig, "ledger")) == {}, "it never had a fragment of this key"
        stored = rig.disk._tables["custody-held"]
        assert len(stored) == 4, "what the removed one said stays known"

    rig.run(day())


@pytest.mark.requirement("C10")
def test_a_destroyed_keys_fragments_are_dead_when_too_few_have_not_erased_them() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll")
        await remove(rig, "h4", by=["h1", "h2"])
        assert dead(await info(rig)) == {4: False}
        await rig.destroy("payroll", by=["h1", "h2"])  # h2's yes completes it: h2 erases at once
        assert (await info(rig)).erased == (HolderIndex(2),)
        assert dead(await info(rig)) == {4: False}, "h1 and h3 still have theirs"
        await rig.sync("h1")
        assert dead(await info(rig)) == {4: False}, "with h3's it still makes the key"
        before = rig.snapshot()
        await rig.sync("h3")
        assert dead(await info(rig)) == {4: True}
        assert (await overview(rig)).old_fragments == 0

        rig.restore(before)
        await remove(rig, "h3", by=["h1", "h2"])
        await rig.sync("h1")
        assert (await info(rig)).missing == (), "nobody who is still here has to erase it"
        assert dead(await info(rig)) == {3: False, 4: False}, "these two together are the key"
        assert (await overview(rig)).old_fragments == 2

    rig.run(day())


@pytest.mark.requirement("C10")
def test_two_removed_holders_are_not_taken_at_their_word() -> None:
    """h3 says that it has erased what it shared with h4, and goes: it may have kept a copy."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll")
        await remove(rig, "h4", by=["h1", "h2"])
        for name in ("h1", "h2", "h3") * 3:
            await rig.sync(name)
        assert dead(await info(rig)) == {4: True}
        before = rig.snapshot()
        await rig.authority.run(lambda desk: desk.sealed.delete("custody-held", bytes([1])))
        assert dead(await info(rig)) == {4: False}, "who has not said that it erased it has it"
        rig.restore(before)
        await remove(rig, "h3", by=["h1", "h2"])
        for name in ("h1", "h2") * 3:
            await rig.sync(name)
        assert (await info(rig)).epoch == 3
        assert dead(await info(rig)) == {3: False, 4: True}

    rig.run(day())


@pytest.mark.requirement("C10")
def test_fragments_of_an_attempt_that_was_ended_count_too() -> None:
    """h4 and the joiner took a fragment of an epoch that never came: together they are the key."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        await rig.create("payroll")
        await rig.admit(rig.joining(rig.device("h5", Role.HOLDER)), by=["h1", "h2"])
        for name in ("h5", "h1", "h2", "h4", "h5"):
            await rig.sync(name)
        assert {n: fragments(rig, f"h{n}") for n in (5, 4)} == {5: 1, 4: 2}
        await remove(rig, "h4", by=["h1", "h2"], acks=3)
        for name in ("h1", "h2", "h3") * 3:
            await rig.sync(name)
        seen = await info(rig)
        assert (seen.epoch, seen.missing) == (2, (HolderIndex(5),))
        assert dead(seen) == {4: False}
        await rig.sync("h5")
        assert fragments(rig, "h5") == 1, "the new one, certified"
        assert dead(await info(rig)) == {4: True}

    rig.run(day())


def fragments(rig: DomainRig, name: str) -> int:
    with rig.devices[name].store.reading() as reader:
        return sum(1 for _ in all_held(reader))


@pytest.mark.requirement("C12")
def test_margins_say_who_is_needed() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        state = await rig.propose_key("payroll", acks=2)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        for name in ("h1", "h2", "h1", "h2"):
            await rig.sync(name)
        reply = await holders(rig)
        assert reply.least_margin == 0
        assert [(one.fragments, one.missing, one.needed) for one in reply.holders] == [
            (1, 0, 1),
            (1, 0, 1),
            (0, 1, 0),
        ]
        now = await overview(rig)
        assert (now.least_margin, now.pending) == (0, 0)
        assert (now.keys["active"], now.epochs["certified"]) == (1, 1)
        assert now.seen[HolderIndex(3)] > 0
        await rig.sync("h3")
        assert (await holders(rig)).least_margin == 1
        # All that hold it but one are lost, as far as the authority knows: it says so.
        await remove(rig, "h3", by=["h1", "h2"])
        assert (await holders(rig)).least_margin == 0

    rig.run(day())


@pytest.mark.requirement("C12")
def test_a_key_that_too_few_hold_is_called_lost() -> None:
    """h3 and h4 came too late for their fragments, and vote h1 out: h2's alone is no key."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        state = await rig.propose_key("payroll", acks=2)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        for name in ("h1", "h2", "h1", "h2"):
            await rig.sync(name)
        for name in ("h3", "h4"):
            with rig.devices[name].store.transaction() as tx:
                for place, _ in list(tx.scan(device_rows.SEEDS)):
                    tx.delete(device_rows.SEEDS, place)
            await rig.sync(name)
        reply = await holders(rig)
        assert (reply.least_margin, reply.lost) == (0, 0)
        await remove(rig, "h1", by=["h3", "h4"])
        reply = await holders(rig, by="h2")
        assert (reply.least_margin, reply.lost) == (0, 1)
        assert (await overview(rig)).least_margin == -1
        seen = await info(rig)
        assert seen.usable - seen.threshold == -1
        assert "only 1 holders of the live epoch are left, 2 needed" in seen.trouble[-1]
        with pytest.raises(Refused, match="no active fragment"):
            await rig.release("app", "payroll", by=["h2", "h3"])

    rig.run(day())


def test_a_report_is_its_holders_own_and_never_older() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        before = dict(rig.disk._tables["custody-held"])
        one, two = rig.devices["h1"], rig.devices["h2"]
        with one.store.reading() as reader:
            claims = claims_of(all_held(reader))
        assert len(claims) == 1
        domain = (await rig.holder("h1").member.sync()).roster.domain
        later = rig.clock.time + 1000
        good = sign_report(one.key, domain, HolderIndex(1), number=later, claims=claims)
        with pytest.raises(Refused, match="handed in by its holder"):
            await two.party.channel.call(HELD, encode(good))
        forged = sign_report(two.key, domain, HolderIndex(1), number=later, claims=())
        with pytest.raises(InvalidSignature):
            await one.party.channel.call(HELD, encode(forged))
        old = sign_report(one.key, domain, HolderIndex(1), number=1, claims=())
        await one.party.channel.call(HELD, encode(old))
        assert dict(rig.disk._tables["custody-held"]) == before
        await one.party.channel.call(HELD, encode(good))
        assert dict(rig.disk._tables["custody-held"]) != before
        with pytest.raises(Refused):
            await rig.devices["app"].party.channel.call(HELD, encode(good))

    rig.run(day())


def test_a_thousand_keys_are_a_few_words() -> None:
    """Summaries in the audit log and what a sync waits for stay short, whatever the number."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        for number in range(12):
            await rig.create(f"key-{'x' * 50}-{number}")
        device = rig.device("h3", Role.HOLDER)
        await rig.admit(rig.joining(device), by=["h1", "h2"])
        for name in ("h1", "h2"):
            await rig.sync(name)
        report = await rig.sync("h1")
        theirs, ours = report.waiting_for
        assert theirs.endswith("and 11 more: h2 to deal"), theirs
        assert ours.endswith("and 9 more: h3 to sync first"), ours
        for _ in range(3):
            for name in rig.holders():
                await rig.sync(name)
        assert (await rig.sync("h1")).waiting_for == ()
        entries = (await rig.audit("h1").report()).entries
        opened = [entry for entry in entries if entry.kind == "custody.opened"][-1]
        assert "and 9 more: attempt 1" in opened.summary
        assert len(opened.detail) == 32, "the hash of the statement that names them all"
        held = [entry for entry in entries if entry.kind == "custody.acknowledged"][-1]
        assert held.summary.endswith("and 9 more")
        assert max(len(entry.summary) for entry in entries) <= 300

    rig.run(day())


def test_the_view_of_an_epoch_says_what_the_epoch_says() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        await rig.create("payroll")
        before = await info(rig)
        await rig.authority.run(
            lambda desk: [
                desk.sealed.delete("custody-epoch-view", key)
                for key, _ in list(desk.sealed.scan("custody-epoch-view"))
            ]
        )
        assert await info(rig) == before, "a store from before there were views"

    rig.run(day())
