"""The other way round: whatever an authority answers, a member's device errs in our tree only."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doors_rig import KEY, Doors
from evil import dump, restore
from tigertally.base.codec import decode, dumps, loads
from tigertally.base.errors import Corrupt, PeerFault, TigertallyError
from tigertally.base.ids import Name
from tigertally.custody.client.unlock import Unlock
from tigertally.custody.messages import imports, lock, release, sync
from tigertally.custody.messages.kinds import Form
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval
from tigertally.quorum.member.client import MemberClient
from typed_messages import Pool

pytestmark = [pytest.mark.requirement("C13"), pytest.mark.requirement("X5")]

# Who asks what, and what the answer is made of.
ANSWERS: dict[str, tuple[str, type]] = {
    messages.SYNC: ("h1", messages.SyncReply),
    messages.AUDIT: ("h1", messages.AuditReply),
    messages.TALLIES: ("h1", messages.TalliesReply),
    messages.ROSTERS: ("app", messages.RostersReply),
    messages.PROPOSAL: ("h1", messages.ProposalState),
    sync.CUSTODY_SYNC: ("h1", sync.CustodySyncReply),
    sync.RECEIVE_KEYS: ("h1", sync.ReceiveKeysReply),
    sync.COLLECT: ("app", release.CollectReply),
    imports.CONTENT: ("app", imports.ContentReply),
    lock.UNLOCK_CHALLENGE: ("h1", lock.ChallengeReply),
}


@cache
def doors() -> Doors:
    made = Doors()
    made.disks = {name: dump(device.disk) for name, device in made.rig.devices.items()}
    made.real = {}
    return made


@cache
def pool() -> Pool:
    rows = [row for table in doors().rows.values() for row in table.values()]
    return Pool([one.body for one in doors().kept] + rows + list(real().values()))


def step(path: str):
    """What the device does that brings it to ask this."""
    rig = doors().rig
    name = ANSWERS[path][0]
    if path == lock.UNLOCK_CHALLENGE:
        return Unlock(MemberClient(rig.devices[name].party)).answer(wrong_passphrases=0)
    if path == messages.ROSTERS:
        return rig.joining(rig.devices[name]).fetch()
    if path == messages.PROPOSAL:
        return look_up()
    if path in (sync.COLLECT, imports.CONTENT):
        return collect("complete" if path == sync.COLLECT else "done")
    if path in (messages.AUDIT, messages.TALLIES):
        return rig.audit(name).report()
    if path == sync.RECEIVE_KEYS:
        return rig.propose_key("another", by=name)
    return rig.sync(name)


async def look_up():
    vote = next(one for one in doors().kept if one.path == messages.VOTE)
    body = decode(messages.VoteRequest, vote.body).verdict.body
    client = doors().rig.holder("h1")
    return await client.member.find(decode(Approval, body).proposal, await client.member.sync())


async def collect(reason):
    rig = doors().rig
    client = rig.asker("app")
    synced = await client.member.sync()
    request, _ = await client.ask(KEY, reason, Form.PRIVATE, synced)
    secret = rig.devices["app"].device_secret
    return await client.collect(request, KEY, Form.PRIVATE, synced, secret)


def put_back() -> None:
    rig = doors().rig
    restore(rig.disk, doors().rows)
    rig.authority.writer.memory = doors()._inside
    for name, tables in doors().disks.items():
        restore(rig.devices[name].disk, tables)


@cache
def real() -> dict[str, bytes]:
    """The honest answer of every path."""
    rig, found = doors().rig, {}
    for path in ANSWERS:
        put_back()
        rig.network.equivocate("authority", lambda _, at, raw: found.setdefault(at, raw) and raw)
        try:
            rig.run(step(path))
        except TigertallyError:
            continue
    return found


def answered(path: str, raw: bytes) -> BaseException | None:
    """Let the device ask, and give it this answer."""
    rig = doors().rig
    put_back()
    rig.network.equivocate("authority", lambda _, at, honest: raw if at == path else honest)
    rig.network.events.clear()
    error = None
    try:
        rig.run(step(path))
    except TigertallyError as refused:
        error = refused
    assert not isinstance(error, Corrupt), "an answer is never our own disk's fault"
    return error


def test_every_answer_is_known():
    assert set(ANSWERS) <= set(real())
    assert Name("payroll") == KEY.name


@pytest.mark.parametrize("path", sorted(ANSWERS))
@settings(max_examples=25)
@given(data=st.data())
def test_answers_with_fields_exchanged(path, data):
    kind = ANSWERS[path][1]
    values = loads(real()[path])
    names = [field.name for field in dataclasses.fields(kind)]
    hints = get_type_hints(kind)
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)):
        values[names.index(name)] = data.draw(pool().of(hints[name]))
    answered(path, dumps(values))


@pytest.mark.parametrize("path", sorted(ANSWERS))
@settings(max_examples=15)
@given(data=st.data())
def test_answers_with_flipped_bits_convict_nobody(path, data):
    raw = bytearray(real()[path])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    error = answered(path, bytes(raw))
    if isinstance(error, PeerFault):
        assert not error.sure
