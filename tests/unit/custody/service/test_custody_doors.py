"""Every door of the authority: the wrong person with the right message changes nothing."""

from __future__ import annotations

import contextlib

import pytest

from custody_thief import CrookedHolder, Tap, approve_with, spoil
from domain_rig import DomainRig
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, Refused, TigertallyError
from tigertally.base.ids import Name
from tigertally.custody.messages import sync as paths
from tigertally.custody.messages.dealing import Certificate
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.release import CollectRequest
from tigertally.custody.messages.sync import EpochRequest, KeysReply, KeysRequest
from tigertally.quorum.card import Role
from tigertally.quorum.proposal import proposal_id

HOLDERS_ONLY = {
    paths.CUSTODY_SYNC,
    paths.RECEIVE_KEYS,
    paths.DEAL,
    paths.ACKNOWLEDGE,
    paths.COMPLAIN,
    paths.DELIVER,
}


async def a_day(rig: DomainRig) -> Tap:
    """Every custody message once: also a complaint, a second attempt, a release."""
    tap = Tap(rig)
    await rig.form(3)
    await rig.requester("app")
    state = await rig.propose_key("payroll")
    crook = CrookedHolder(rig.devices["h2"].party, bend=spoil(3))
    await approve_with(crook, proposal_id(state.proposal).hex())
    for _ in range(3):
        for name in rig.holders():
            await rig.sync(name)
    await rig.release("app", "payroll", by=["h1", "h3"])
    return tap


@pytest.mark.requirement("C7")
@pytest.mark.parametrize("who", ["app", "stranger"])
def test_a_holders_messages_are_taken_from_holders_only(who: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        tap = await a_day(rig)
        rig.device("stranger", Role.HOLDER)
        before = rig.disk._tables
        seen = set()
        for sender, path, body in list(tap.sent):
            if path not in HOLDERS_ONLY or sender not in rig.holders():
                continue
            with pytest.raises(Refused):
                await rig.devices[who].party.channel.call(path, body)
            seen.add(path)
        assert seen == HOLDERS_ONLY
        assert rig.disk._tables == before

    rig.run(day())


@pytest.mark.requirement("C7")
def test_one_holders_message_is_not_taken_from_another() -> None:
    """What a holder signed is handed in by that holder."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        tap = await a_day(rig)
        before = rig.disk._tables
        signed = {paths.DEAL, paths.ACKNOWLEDGE, paths.COMPLAIN, paths.DELIVER}
        seen = set()
        for sender, path, body in list(tap.sent):
            if path not in signed:
                continue
            other = "h1" if sender != "h1" else "h2"
            with pytest.raises(Refused, match="handed in by its"):
                await rig.devices[other].party.channel.call(path, body)
            seen.add(path)
        assert seen == signed
        assert rig.disk._tables == before

    rig.run(day())


@pytest.mark.requirement("C7")
def test_everything_sent_again_changes_nothing() -> None:
    """A relay replays the whole day, to the authority itself, message by message."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        tap = await a_day(rig)
        signed = {paths.DEAL, paths.ACKNOWLEDGE, paths.COMPLAIN, paths.DELIVER}
        before = rig.disk._tables
        count = 0
        for sender, path, body in list(tap.sent):
            if path not in signed:
                continue
            count += 1
            with contextlib.suppress(TigertallyError):
                await rig.devices[sender].party.channel.call(path, body)
            assert rig.authority_rows() == opened(rig, before)
        assert count >= 8

    rig.run(day())


def opened(rig: DomainRig, tables: object) -> object:
    """Sealed rows differ by their nonces: compare them opened."""
    now, rig.disk._tables = rig.disk._tables, tables
    try:
        return rig.authority_rows()
    finally:
        rig.disk._tables = now


@pytest.mark.requirement("C7")
def test_only_who_asked_collects() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        tap = await a_day(rig)
        await rig.requester("other")
        (body,) = set(tap.bodies("app", paths.COLLECT))
        for who in ("other", "h1"):
            with pytest.raises(Refused, match="only the requester that asked"):
                await rig.devices[who].party.channel.call(paths.COLLECT, body)
        unknown = encode(CollectRequest(proposal=type(_id(body))(bytes(32))))
        with pytest.raises(Refused, match="no proposal"):
            await rig.devices["app"].party.channel.call(paths.COLLECT, unknown)

    rig.run(day())


def _id(body: bytes):
    return decode(CollectRequest, body).proposal


@pytest.mark.requirement("C13")
def test_members_see_keys_and_strangers_do_not() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await a_day(rig)
        rig.device("stranger", Role.REQUESTER)
        ref = KeyRef(name=Name("payroll"), version=1)
        questions = {
            paths.KEYS: encode(KeysRequest(name=None)),
            paths.KEY_EPOCH: encode(EpochRequest(key=ref)),
        }
        for path, body in questions.items():
            with pytest.raises(Refused):
                await rig.devices["stranger"].party.channel.call(path, body)
            for who in ("app", "h1"):
                assert await rig.devices[who].party.channel.call(path, body)
        raw = await rig.devices["app"].party.channel.call(paths.KEYS, questions[paths.KEYS])
        (info,) = decode(KeysReply, raw).keys
        assert (info.ref, info.state, info.acknowledged) == (ref, "active", (1, 2, 3))
        assert any("h2 lied" in line for line in info.trouble)
        raw = await rig.devices["app"].party.channel.call(
            paths.KEY_EPOCH, questions[paths.KEY_EPOCH]
        )
        assert len(decode(Certificate, raw).acknowledgements) == 3

    rig.run(day())


@pytest.mark.parametrize("path", sorted(HOLDERS_ONLY | {paths.ERASED, paths.COLLECT, paths.KEYS}))
def test_rubbish_at_every_door_changes_nothing(path: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        before = rig.disk._tables
        for body in (b"", b"\x00", b"\x80", b"\x82\x41\x00\x41\x00", b"\xff" * 100):
            with pytest.raises(MalformedMessage):
                await rig.devices["h1"].party.channel.call(path, body)
        assert rig.disk._tables == before

    rig.run(day())


@pytest.mark.requirement("C7")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_key_is_asked_for_only_when_it_is_active_and_by_its_own_requesters(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        with pytest.raises(Refused, match="no key payroll"):
            await rig.release("app", "payroll", by=["h1", "h2"])
        state = await rig.propose_key("payroll", suite=suite)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        with pytest.raises(Refused, match="pending"):
            await rig.release("app", "payroll", by=["h1", "h2"])
        with pytest.raises(Refused, match="already"):
            await rig.propose_key("payroll", by="h2")
        await rig.child_work()
        for _ in range(2):
            for name in rig.holders():
                await rig.sync(name)
        assert await rig.release("app", "payroll", by=["h1", "h2"])

    rig.run(day())
