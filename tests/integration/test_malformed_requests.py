"""10,000 malformed requests at a real authority's doors: it and the connection survive."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import random
from urllib.parse import urlsplit

import pytest

from process_rig import PASSPHRASE
from tigertally.base.codec import encode
from tigertally.base.ids import Name, Text
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.certificates import client_context
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.client.requester import Requester
from tigertally.custody.client.unlock import Unlock
from tigertally.custody.messages import sync
from tigertally.custody.messages.kinds import Create, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.node.connect import connected
from tigertally.node.profile import open_profile
from tigertally.node.wiring import AuthorityServices
from tigertally.quorum import messages
from tigertally.quorum.member.audit import Audit
from tigertally.quorum.member.client import MemberClient

REQUESTS = 10_000
REFUSALS = {400, 403, 404, 409, 413, 415, 423, 503}


class Recorder:
    """A channel that keeps what goes over it."""

    def __init__(self, channel, kept):
        self._channel = channel
        self._kept = kept

    async def call(self, path, body, *, wait=30.0):
        self._kept.append((path, body))
        return await self._channel.call(path, body, wait=wait)


def opened(town, name):
    ask = (lambda: Secret(PASSPHRASE.encode())) if name else None
    return open_profile(town.home, Name(name), passphrase=ask)


async def as_member(town, name, kept, work):
    """Do something as a member, recorded."""
    with opened(town, name) as profile:
        async with connected(profile) as party:
            await work(dataclasses.replace(party, channel=Recorder(party.channel, kept)))


async def valid_messages(town):
    """What members really send, one or more for almost every door."""
    kept = []

    async def create(party):
        client = KeyProposals(Holder(party))
        synced, _ = await client.holder.sync()
        body = Create(key=Name("x"), suite=Suite.PEDERSEN_ED25519, acks=3, options=KeyOptions.of())
        await client.propose_or_resume(body, synced)
        await Unlock(MemberClient(party)).answer(wrong_passphrases=1)
        await Audit(client.member).report()
        for path in (messages.DOMAIN, messages.TERMS, sync.HOLDERS):
            await party.channel.call(path, encode(messages.Nothing()))
        await party.channel.call(messages.ROSTERS, encode(messages.RostersRequest(after=0)))

    async def ask(party):
        client = Requester(party)
        synced = await client.member.sync()
        ref = KeyRef(name=Name("payroll"), version=1)
        request, _ = await client.ask(ref, "r", Form.FINAL, synced)
        with Secret(bytes(32)) as secret:
            assert await client.collect(request, ref, Form.FINAL, synced, secret) is None

    async def vote(party):
        client = KeyProposals(Holder(party))
        synced, _ = await client.holder.sync()
        first, second = synced.proposals
        await client.holder.approve(first, synced)
        await client.holder.reject(second, synced, Text("no"))

    await as_member(town, "alice", kept, create)
    await as_member(town, "app", kept, ask)
    await as_member(town, "bob", kept, vote)
    return kept


def malformed(valid, paths, draw):
    """A path and bytes that are no message for it, or hardly."""
    path, body = draw.choice(valid)
    kind = draw.randrange(5)
    if kind == 0:
        return draw.choice(paths), draw.randbytes(draw.randrange(300))
    if kind == 1 and body:
        return path, body[: draw.randrange(len(body))]
    if kind == 2:
        return draw.choice([other for other in paths if other != path]), body
    if kind == 3:
        return path, body + draw.randbytes(draw.randrange(1, 9))
    raw = bytearray(body)
    for _ in range(draw.choice((1, 1, 2, 8))):
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return path, bytes(raw)


def connection(town, key):
    address = urlsplit(town.url)
    connection = http.client.HTTPSConnection(
        address.hostname, address.port, context=client_context(key, None), timeout=30
    )
    connection.connect()
    return connection


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("C13")
def test_ten_thousand_malformed_requests(town):
    valid = [one for one in asyncio.run(valid_messages(town)) if one[0] != messages.NEWS]
    paths = [*AuthorityServices().routes()]
    assert len({path for path, _ in valid}) >= 12, {path for path, _ in valid}
    before = town.state()
    with opened(town, "carol") as carol:
        member = connection(town, carol.signing_key)
    stranger = connection(town, SigningKey.generate(SystemRandomness()))
    sockets = [member.sock, stranger.sock]
    draw = random.Random(8)
    counts: dict[int, int] = {}
    for number in range(REQUESTS):
        path, body = malformed(valid, paths, draw)
        # Strangers have a rate of their own, far below what this loop does.
        door = stranger if number % 100 == 0 else member
        door.request("POST", path, body, {"Content-Type": "application/cbor"})
        answer = door.getresponse()
        text = answer.read()
        counts[answer.status] = counts.get(answer.status, 0) + 1
        assert answer.status == 200 or answer.status in REFUSALS, (path, body, text)
        assert b"Traceback" not in text
    assert [member.sock, stranger.sock] == sockets, "the connections are the same"
    assert sum(counts[status] for status in counts if status != 200) > 0.8 * REQUESTS, counts
    assert counts[400] > REQUESTS // 2
    member.close()
    stranger.close()
    assert not town.authority.ended()
    assert town.state() == before
    assert town.json("audit", "verify", "--profile", "alice")["ok"]
    assert '"level": "error"' not in town.authority.said()
    town.create("afterwards")
