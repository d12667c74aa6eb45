"""Every door of the authority: whatever comes in, an error of the tree and nothing changed."""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from functools import cache
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doors_rig import AUDIT, TAKES, Doors
from tigertally.algebra import tags
from tigertally.base.codec import decode, dumps, encode, loads
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    Refused,
    Unavailable,
    UsageError,
)
from tigertally.base.ids import ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages import destroy, imports, lock, release, reports, sync, v1
from tigertally.custody.messages.dealing import Acknowledgement, Dealing, DealingPackage
from tigertally.custody.messages.kinds import KeyRef
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, attachment_hash, sign_approval
from tigertally.quorum.messages import DomainInfo, JoinTerms
from tigertally.quorum.proposal import Proposal
from tigertally.quorum.receive_keys import ReceiveKeys
from tigertally.transport import virtual_time
from tigertally.transport.answers import carry_out
from tigertally.transport.channel import Request
from typed_messages import Pool

pytestmark = [pytest.mark.requirement("C13"), pytest.mark.requirement("C1")]

READ_WITHOUT_A_WORD = (messages.DOMAIN, messages.TERMS, messages.RESTORATIONS, sync.HOLDERS)
# For anybody who connects; every other door is for members, or for a proposal's own proposer.
OPEN_TO_ALL = {messages.DOMAIN, messages.TERMS}
# Doors whose good messages leave a trace even if a field was changed, and which.
TRACES = {
    sync.CUSTODY_SYNC: {"custody-seen", "custody-receive-keys", "custody-bundle"},
    v1.CUSTODY_SYNC_V1: {"custody-seen", "custody-receive-keys", "custody-bundle"},
    lock.UNLOCK_CHALLENGE: set(AUDIT),
}
# Refusals that are remembered: strangers at the lock, bad answers to a challenge, wrong PINs.
REMEMBERED = {lock.UNLOCK_CHALLENGE, lock.UNLOCK_ANSWER, messages.FOUND}
WHO = ("h1", "h2", "h3", "app", "joiner", "mallory")


@cache
def doors() -> Doors:
    return Doors()


@cache
def unfounded() -> Doors:
    return Doors(founded=False)


@cache
def pool() -> Pool:
    rows = [row for table in doors().rows.values() for row in table.values()]
    return Pool([one.body for one in doors().kept] + rows)


def good() -> dict[str, tuple[str, bytes]]:
    """The untouched messages: name -> (path, sender, body)."""
    return {f"{one.path} by {one.sender}": one for one in doors().kept}


READS = {
    messages.PROPOSAL: lambda: messages.ProposalRequest(id=open_id()),
    messages.SYNC: lambda: messages.SyncRequest(roster_version=0, checkpoint_size=3),
    messages.SYNC_V1: lambda: messages.SyncRequest(roster_version=0, checkpoint_size=3),
    messages.TALLIES_V1: lambda: messages.TalliesRequest(since=0, limit=100),
    messages.ROSTERS: lambda: messages.RostersRequest(after=0),
    messages.TALLIES: lambda: messages.TalliesRequest(since=0, limit=100),
    messages.AUDIT: lambda: messages.AuditRequest(since=0, limit=100, prove=(1, 2, 3)),
    messages.NEWS: lambda: messages.NewsRequest(seen=0, wait=1),
    sync.KEYS: lambda: sync.KeysRequest(name=None),
    v1.KEYS_V1: lambda: sync.KeysRequest(name=None),
    sync.KEY_EPOCH: lambda: sync.EpochRequest(key=KeyRef(name="payroll", version=1)),
    sync.RECEIVE_KEYS: lambda: sync.ReceiveKeysRequest(proposal=None),
    imports.CONTENT: lambda: imports.ContentRequest(key=KeyRef(name="wallet", version=1)),
}


def open_id() -> ProposalId:
    vote = next(one for one in doors().kept if one.path == messages.VOTE)
    body = decode(messages.VoteRequest, vote.body).verdict.body
    return decode(Approval, body).proposal


def held(knock, path: str) -> None:
    """The invariant of every knock with something that is not a good message."""
    if knock.error is not None:
        assert not isinstance(knock.error, Corrupt), "a message is never our own disk's fault"
        allowed = set(AUDIT) if path in REMEMBERED else set()
        if path == messages.FOUND:
            allowed |= {"authority"}
        assert knock.changed <= allowed
        assert knock.audited == len(knock.changed & {"audit"})
    else:
        assert knock.changed <= TRACES.get(path, set())


def test_every_door_is_knocked_at():
    assert set(TAKES) == set(doors().handlers)


@pytest.mark.parametrize("number", range(11))
def test_the_good_messages_are_taken(number):
    """The positive control: untouched, every kept message does something."""
    one = doors().kept[number]
    knock = doors().knock(one.path, one.sender, one.body)
    assert knock.error is None
    if one.path != lock.UNLOCK_ANSWER:
        assert knock.changed or one.path == lock.UNLOCK_CHALLENGE


def test_that_is_all_of_them():
    assert len(doors().kept) == 12


def refusals():
    """What every door refuses to each of three: rubbish, many items, one byte off."""
    for path in sorted(set(TAKES) - {messages.NEWS}):
        spoilt = [bytes([*m.body[:-1], m.body[-1] ^ 1]) for m in doors().kept if m.path == path]
        rubbish = [b"\xff", b"\x80", dumps([[{}] * 300]), dumps([b"x" * 1000, b"y" * 64])]
        for body in (*rubbish, *spoilt):
            for who in ("h1", "app", "mallory"):
                yield path, Request(path=path, body=body, peer=doors().key(who))


def test_nothing_of_a_refused_message_stays():
    """No traceback, no ring of objects that waits for a garbage collection."""

    handlers, asked = doors().handlers, list(refusals())

    async def refuse_all():
        statuses = [(await carry_out(handlers[path], one)).status for path, one in asked]
        assert statuses.count(400) > 100
        assert statuses.count(403) > 100
        assert set(statuses) <= {200, 400, 403, 409, 423}

    async def counted():
        await refuse_all()  # so that whatever is kept for good is there
        gc.collect()
        gc.disable()
        try:
            await refuse_all()
            assert gc.collect() == 0
            ring: list[object] = []
            ring.append(ring)
            del ring
            assert gc.collect() == 1, "a ring is seen"
        finally:
            gc.enable()

    virtual_time.run(counted())


def test_a_thousand_bodies_of_empty_maps_take_no_memory():
    """Each would make 65,000 objects, four megabytes of them."""
    size = 64 * 1024
    body = b"\x9a" + (size - 5).to_bytes(4, "big") + b"\xa0" * (size - 5)
    asked = [
        (path, Request(path=path, body=body, peer=doors().key(who)))
        for path in sorted(set(TAKES) - {messages.NEWS})
        for who in ("h1", "app", "mallory")
    ]
    handlers = doors().handlers

    async def refuse(number):
        for path, one in (asked * (number // len(asked) + 1))[:number]:
            assert (await carry_out(handlers[path], one)).status in (400, 403, 423)

    virtual_time.run(refuse(len(asked)))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        virtual_time.run(refuse(1000))
        after, most = tracemalloc.get_traced_memory()
        assert most - before < 10 * size
        assert after - before < size
        raw = loads(dumps([{}] * 60_000))
        assert tracemalloc.get_traced_memory()[0] - after > 50 * size, "what is built is seen"
        del raw
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", sorted(TAKES))
@settings(max_examples=15)
@given(raw=st.binary(max_size=200), who=st.sampled_from(WHO))
def test_any_bytes(path, raw, who):
    knock = doors().knock(path, who, raw)
    held(knock, path)
    if path not in READ_WITHOUT_A_WORD and raw[:1] != b"\x80":
        assert isinstance(knock.error, (MalformedMessage, Refused))


@settings(max_examples=300)
@given(st.data())
def test_changed_good_messages(data):
    one = data.draw(st.sampled_from(doors().kept))
    raw = bytearray(one.body)
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if bytes(raw) != one.body:
        held(doors().knock(one.path, one.sender, bytes(raw)), one.path)


@settings(max_examples=150)
@given(st.data())
def test_good_messages_in_the_wrong_hands_or_at_the_wrong_door(data):
    one = data.draw(st.sampled_from(doors().kept))
    path = data.draw(st.sampled_from(sorted(TAKES)))
    who = data.draw(st.sampled_from(WHO))
    if (path, who) != (one.path, one.sender):
        held(doors().knock(path, who, one.body), path)


@pytest.mark.parametrize("path", sorted(TAKES))
@settings(max_examples=25)
@given(data=st.data(), who=st.sampled_from(WHO))
def test_wrong_messages_of_the_right_kind(path, data, who):
    """Real ids, keys, hashes and envelopes, put together at random."""
    raw = dumps(data.draw(pool().of(TAKES[path])))
    if not any(raw == one.body and who == one.sender for one in doors().kept):
        held(doors().knock(path, who, raw), path)


@pytest.mark.parametrize("path", sorted(READS))
def test_members_read_and_strangers_do_not(path):
    raw = encode(READS[path]())
    for who in ("h1", "app"):
        knock = doors().knock(path, who, raw)
        assert not knock.changed
        if (path, who) != (sync.RECEIVE_KEYS, "app"):
            assert knock.error is None
    for who in ("joiner", "mallory"):
        knock = doors().knock(path, who, raw)
        assert not knock.changed
        if path not in OPEN_TO_ALL:
            told = Unavailable if path == messages.NEWS else Refused  # may be let in later
            assert type(knock.error) is told
            assert not knock.answer


def members_secrets() -> list[bytes]:
    """What would tell a stranger who the members are."""
    roster = doors().rig.authority.chain.current
    return [bytes(one.signing_key) for one in (*roster.holders, *roster.requesters)]


@pytest.mark.parametrize("path", [messages.DOMAIN, messages.TERMS])
def test_what_anybody_may_know_says_nothing_about_the_members(path):
    knock = doors().knock(path, "mallory", encode(messages.Nothing()))
    assert knock.error is None
    assert not knock.changed
    shown = [secret for secret in members_secrets() if secret in knock.answer]
    assert shown == []
    roster = doors().rig.authority.chain.current
    if path == messages.TERMS:
        assert decode(JoinTerms, knock.answer).roster == roster.hash
    else:
        assert decode(DomainInfo, knock.answer).holders == len(roster.holders)
    everything = doors().knock(messages.ROSTERS, "h1", encode(messages.RostersRequest(after=0)))
    assert all(secret in everything.answer for secret in members_secrets())  # positive control


@pytest.mark.requirement("C8")
@settings(max_examples=60)
@given(st.data())
def test_the_first_holders_door(data):
    """Before there is a domain: only a message that can be read counts as a try of the PIN."""
    (one,) = unfounded().kept
    raw = bytearray(one.body)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if bytes(raw) == one.body:
        return
    knock = unfounded().knock(one.path, "h1", bytes(raw))
    assert isinstance(knock.error, (MalformedMessage, Refused, InvalidSignature))
    if isinstance(knock.error, MalformedMessage):
        assert not knock.changed
    else:
        assert knock.changed in (set(), {*AUDIT, "authority"}, {"audit", "audit-head", "authority"})
    assert unfounded().rig.authority.chain is None


def test_the_first_holders_good_message_is_taken():
    (one,) = unfounded().kept
    knock = unfounded().knock(one.path, "h1", one.body)
    assert knock.error is None
    assert "roster" in knock.changed
    stolen = unfounded().knock(one.path, "mallory", one.body)
    assert isinstance(stolen.error, Refused)
    assert not stolen.changed


def test_before_there_is_a_domain_every_other_door_stays_shut():
    for path in sorted(set(TAKES) - {messages.DOMAIN, messages.FOUND, messages.NEWS}):
        raw = next((m.body for m in doors().kept if m.path == path), None)
        body = raw or (encode(READS[path]()) if path in READS else encode(messages.Nothing()))
        knock = unfounded().knock(path, "mallory", body)
        assert knock.error is not None
        assert not isinstance(knock.error, (Corrupt, UsageError))
        assert not knock.changed


# Where a signed message stands in a request, its tag and what it says: a dishonest member can
# sign whatever it likes.
SIGNED: dict[tuple[str, str], tuple[bytes, type]] = {
    (messages.PROPOSE, "proposal"): (tags.PROPOSAL, Proposal),
    (messages.PROPOSE, "approval"): (tags.APPROVAL, Approval),
    (messages.VOTE, "verdict"): (tags.APPROVAL, Approval),
    (lock.UNLOCK_ANSWER, "answer"): (tags.UNLOCK_ANSWER, lock.Answer),
    (sync.CUSTODY_SYNC, "receive_keys"): (tags.RECEIVE_KEYS, ReceiveKeys),
    (sync.ACKNOWLEDGE, ""): (tags.ACKNOWLEDGEMENT, Acknowledgement),
    (reports.HELD, ""): (tags.HELD, reports.HeldReport),
    (destroy.ERASURE, ""): (tags.ERASURE, destroy.Erasure),
    (imports.IMPORT, ""): (tags.IMPORT, imports.Imported),
    (sync.DELIVER, "delivery"): (tags.FRAGMENT_DELIVERY, release.FragmentDelivery),
}


def spoilt(data, kind: type, body: bytes) -> bytes:
    """The message with one or two fields exchanged for others that mean something somewhere."""
    values = loads(body)
    names = [field.name for field in dataclasses.fields(kind)]
    hints = get_type_hints(kind)
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)):
        values[names.index(name)] = data.draw(pool().of(hints[name]))
    return dumps(values)


def resigned(data, one, place: str, who: str) -> bytes:
    """A kept message whose signed part was spoilt and signed again by this party."""
    tag, kind = SIGNED[one.path, place]
    request = decode(TAKES[one.path], one.body)
    inner = request.fragment if place == "delivery" else request
    envelope = getattr(inner, place) if place else inner
    if envelope is None:
        return one.body
    body = spoilt(data, kind, envelope.body)
    made = Envelope(body=body, signature=doors().rig.devices[who].key.sign(tag, body))
    inner = dataclasses.replace(inner, **{place: made}) if place else made
    if place == "delivery":
        inner = dataclasses.replace(request, fragment=inner)
    return encode(inner)


@pytest.mark.parametrize(("path", "place"), SIGNED, ids=[f"{p} {n}" for p, n in SIGNED])
@settings(max_examples=60)
@given(data=st.data())
def test_what_a_dishonest_member_may_sign(path, place, data):
    """Well signed nonsense: refused, or one more vote (proposal, key, …) of this member alone."""
    one = data.draw(st.sampled_from([m for m in doors().kept if m.path == path]))
    who = data.draw(st.sampled_from([one.sender, one.sender, *WHO[:5]]))
    raw = resigned(data, one, place, who)
    knock = doors().knock(path, who, raw)
    if knock.error is not None:
        held(knock, path)
    else:
        assert "roster" not in knock.changed
        assert "envelopes" not in knock.changed
        assert knock.audited <= 3


@settings(max_examples=60)
@given(data=st.data(), who=st.sampled_from(WHO[:3]))
def test_a_dishonest_dealer(data, who):
    one = next(m for m in doors().kept if (m.path, m.sender) == (messages.PROPOSE, "h1"))
    request = decode(messages.ProposeRequest, one.body)
    package = decode(DealingPackage, request.attachment)
    body = spoilt(data, Dealing, package.dealing.body)
    key = doors().rig.devices[who].key
    envelope = Envelope(body=body, signature=key.sign(tags.DEALING, body))
    attachment = encode(dataclasses.replace(package, dealing=envelope))
    approval = decode(Approval, request.approval.body)
    signed = sign_approval(
        doors().rig.devices["h1"].key,
        dataclasses.replace(approval, attachment=attachment_hash(attachment)),
    )
    if body == package.dealing.body:
        return
    whole = dataclasses.replace(request, approval=signed, attachment=attachment)
    held(doors().knock(messages.PROPOSE, "h1", encode(whole)), messages.PROPOSE)
    held(doors().knock(sync.DEAL, who, attachment), sync.DEAL)
