"""The server on real TLS sockets: limits, malformed requests, retries, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import socket
import ssl
from pathlib import Path

import pytest

from tigertally.base import codec
from tigertally.base.errors import (
    MalformedMessage,
    PeerFault,
    Refused,
    TigertallyError,
    Unavailable,
    UsageError,
)
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto import certificates
from tigertally.crypto.signatures import SigningKey
from tigertally.transport.channel import Request
from tigertally.transport.door import Door, Standing
from tigertally.transport.server import Page, Server, ServerLimits
from transport_rig import (
    AUTHORITY,
    HOLDER,
    HOST,
    STRANGER,
    RawPeer,
    channel_to,
    echo,
    everybody_a_holder,
    serving,
    until,
)

pytestmark = [pytest.mark.requirement("C1"), pytest.mark.requirement("C13")]


async def decoding(request: Request) -> bytes:
    return codec.dumps(codec.loads(request.body))


def open_sockets() -> set[str]:
    """The sockets of this process, each by its number in the kernel."""
    links = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists the folder is gone by now
            links.add(str(entry.readlink()))
    return {link for link in links if link.startswith("socket:")}


def title_of(body: bytes) -> str:
    return json.loads(body)["title"]


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000, 4 * 1024 * 1024])
async def test_messages_of_all_sizes_arrive_whole(size):
    body = random.Random(size).randbytes(size)
    async with serving() as server, channel_to(server) as channel:
        assert await channel.call("/echo", body) == body


async def test_many_at_once_do_not_get_mixed_up():
    async with serving() as server, channel_to(server) as channel:
        bodies = [b"%d" % number for number in range(200)]
        assert await asyncio.gather(*(channel.call("/echo", b) for b in bodies)) == bodies


async def test_errors_of_a_handler_reach_the_caller():
    async def cheat(_):
        raise PeerFault("two stories", culprits=("holder-3",), sure=True)

    async def bug(_):
        raise RuntimeError("secret-word in /secret/path")

    async with serving({"/cheat": cheat, "/bug": bug}) as server, channel_to(server) as channel:
        with pytest.raises(PeerFault, match="two stories") as cheated:
            await channel.call("/cheat", b"")
        assert (cheated.value.culprits, cheated.value.sure) == (("holder-3",), False)
        with pytest.raises(TigertallyError) as broke:
            await channel.call("/bug", b"")
        assert type(broke.value) is TigertallyError
        assert "secret" not in str(broke.value)
        peer = await RawPeer.to(server)
        status, body = await peer.post(b"", path="/bug")
        assert status == 500
        assert b"secret" not in body
        assert b"RuntimeError" not in body
        peer.close()
        assert server.counts.failures == 2


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST /nowhere", "Content-Type: application/cbor", 404),
        ("POST /echo?x=1", "Content-Type: application/cbor", 404),
        ("PUT /echo", "Content-Type: application/cbor", 405),
        ("POST /echo", "Content-Type: text/plain", 415),
        ("POST /echo", "X: y", 415),
        ("GET /echo", "X: y", 404),
        ("POST /echo", "Content-Type: application/cbor\r\nIdempotency-Key: " + "k" * 65, 400),
    ],
)
async def test_what_is_not_a_message_is_turned_away_and_the_connection_lives(
    request_line, headers, status
):
    async with serving() as server:
        peer = await RawPeer.to(server)
        raw = f"{request_line} HTTP/1.1\r\nHost: x\r\n{headers}\r\nContent-Length: 1\r\n\r\n1"
        await peer.say(raw.encode())
        assert (await peer.answer())[0] == status
        assert await peer.post(b"2") == (200, b"2")
        peer.close()


async def test_too_long_a_body_is_refused_by_its_header_without_reading_it():
    async with serving(limits=ServerLimits(body_bytes=1000)) as server:
        peer = await RawPeer.to(server)
        await peer.say(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
            b"Content-Length: 100000000000\r\n\r\n"
        )
        status, body = await peer.answer()
        assert (status, title_of(body)) == (413, "a message has at most 1000 bytes")
        peer.close()
        async with channel_to(server) as channel:
            assert await channel.call("/echo", bytes(1000)) == bytes(1000)
            with pytest.raises(MalformedMessage, match="at most 1000"):
                await channel.call("/echo", bytes(1001))


async def test_too_long_a_body_in_chunks_is_cut_off():
    async with serving(limits=ServerLimits(body_bytes=1000)) as server:
        peer = await RawPeer.to(server)
        await peer.say(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(11):
            await peer.say(b"64\r\n" + bytes(100) + b"\r\n")
        assert (await peer.answer())[0] == 413
        assert await peer.ended()
        peer.close()


async def test_a_client_does_not_even_send_what_no_server_takes():
    async with serving() as server, channel_to(server) as channel:
        with pytest.raises(UsageError):
            await channel.call("/echo", bytes(4 * 1024 * 1024 + 1))
        assert server.counts.requests == 0


async def test_a_body_that_does_not_come_is_not_waited_for():
    async with serving(limits=ServerLimits(body_seconds=0.05)) as server:
        peer = await RawPeer.to(server)
        await peer.say(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
            b"Content-Length: 10\r\n\r\n123"
        )
        assert (await peer.answer())[0] == 408
        peer.close()


@pytest.mark.parametrize("said", [b"", b"POST /echo HTT"])
async def test_a_connection_that_says_nothing_is_closed(said):
    async with serving(limits=ServerLimits(idle_seconds=0.05)) as server:
        peer = await RawPeer.to(server)
        await peer.say(said)
        assert await peer.ended()
        peer.close()


async def test_ten_thousand_malformed_messages_on_one_connection():
    dice = random.Random(7)
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
    unhurried = ServerLimits(requests_per_second=1_000_000)
    async with serving({"/x": decoding}, limits=unhurried) as server:
        peer = await RawPeer.to(server)
        async with asyncio.timeout(60):
            for _ in range(500):
                batch = [b"\xff" + dice.randbytes(dice.randrange(40)) for _ in range(20)]
                await peer.say(
                    b"".join(head + b"Content-Length: %d\r\n\r\n" % len(b) + b for b in batch)
                )
                for _ in batch:
                    status, body = await peer.answer()
                    assert status == 400
                    assert json.loads(body)["type"].endswith(":malformed")
        good = codec.dumps([1, 2])
        assert await peer.post(good, path="/x") == (200, good)
        peer.close()
        async with channel_to(server, STRANGER) as channel:
            assert await channel.call("/x", good) == good
        assert (server.counts.problems, server.counts.failures) == (10_000, 0)


async def test_bytes_that_are_not_http_end_their_connection_and_nothing_else():
    dice = random.Random(8)
    rubbish = [
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"POST /echo HTTP/9.9\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 5000 + b"\r\n\r\n",
        b"POST /" + b"y" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
        ),
        *(dice.randbytes(200) + b"\r\n\r\n" for _ in range(40)),
    ]
    async with serving() as server, channel_to(server) as channel:
        for raw in rubbish:
            peer = await RawPeer.to(server)
            async with asyncio.timeout(5):
                await peer.say(raw)
                await peer.ended()
            peer.close()
            assert await channel.call("/echo", b"1") == b"1"
        assert server.counts.failures == 0


async def test_the_rate_of_one_party_is_limited_and_comes_back():
    limits = ServerLimits(requests_per_second=20)
    async with serving(limits=limits) as server:
        peer = await RawPeer.to(server)
        answers = [await peer.post(b"1") for _ in range(60)]
        assert [status for status, _ in answers[:40]] == [200] * 40
        assert 429 in [status for status, _ in answers]
        assert server.counts.refused >= 1
        async with channel_to(server, STRANGER) as other:
            assert await other.call("/echo", b"1") == b"1"
        async with channel_to(server) as patient:  # waits for its turn by itself
            assert await patient.call("/echo", b"1") == b"1"
        peer.close()


async def test_one_party_cannot_occupy_all_places():
    release = asyncio.Event()

    async def slow(_):
        await release.wait()
        return b"done"

    limits = ServerLimits(open_requests=4)
    async with serving({"/slow": slow, "/echo": echo}, limits=limits) as server:
        async with channel_to(server) as greedy, channel_to(server, STRANGER) as other:
            waiting = [asyncio.create_task(greedy.call("/slow", b"")) for _ in range(2)]
            await until(lambda: server.open_requests == 2)
            peer = await RawPeer.to(server)
            status, body = await peer.post(b"")
            assert (status, title_of(body)) == (429, "too many open requests of one party")
            peer.close()
            assert await other.call("/echo", b"1") == b"1"
            release.set()
            assert await asyncio.gather(*waiting) == [b"done", b"done"]
        assert server.open_requests == 0


def standing(key):
    return Standing.HOLDER if key == HOLDER.public else Standing.STRANGER


async def test_strangers_share_few_places_and_send_small_messages():
    limits = ServerLimits(stranger_body_bytes=100, stranger_requests=1, pause_seconds=0.0)
    release = asyncio.Event()

    async def slow(_):
        await release.wait()
        return b"done"

    async with (
        serving({"/slow": slow, "/echo": echo}, standing=standing, limits=limits) as server,
        channel_to(server) as member,
        channel_to(server, STRANGER) as stranger,
        channel_to(server, AUTHORITY) as another_stranger,
    ):
        assert await member.call("/echo", bytes(101)) == bytes(101)
        with pytest.raises(MalformedMessage, match="at most 100"):
            await stranger.call("/echo", bytes(101))
        waiting = asyncio.create_task(stranger.call("/slow", b""))
        await until(lambda: server.open_requests == 1)
        with pytest.raises(Unavailable):
            await another_stranger.call("/echo", b"", wait=0.2)
        assert await member.call("/echo", b"1") == b"1"
        release.set()
        await waiting


def identity(name: str) -> ssl.SSLContext:
    """Connects as a party that nobody knows."""
    key = SigningKey.generate(SeededRandomness(name))
    return certificates.client_context(key, certificates.certificate_of(AUTHORITY.public))


async def test_the_connection_of_a_stranger_that_is_idle_longest_makes_room():
    limits = ServerLimits(stranger_connections=2)
    async with serving(standing=standing, limits=limits) as server:
        first, second = [await RawPeer.to(server, identity(name)) for name in "ab"]
        assert await second.post(b"2") == (200, b"2")
        assert await first.post(b"1") == (200, b"1")
        third = await RawPeer.to(server, identity("c"))
        assert await third.post(b"3") == (200, b"3")
        assert await second.ended()
        assert await first.post(b"1") == (200, b"1")
        member = await RawPeer.to(server)
        assert await member.post(b"4") == (200, b"4")
        assert server.connections == 3
        for peer in (first, second, third, member):
            peer.close()


async def test_a_connection_at_work_is_kept_and_then_there_is_no_room():
    release = asyncio.Event()

    async def slow(_):
        await release.wait()
        return b"done"

    limits = ServerLimits(stranger_connections=1)
    async with serving({"/slow": slow}, standing=standing, limits=limits) as server:
        worker = await RawPeer.to(server, identity("a"))
        posting = asyncio.create_task(worker.post(b"", path="/slow"))
        await until(lambda: server.open_requests == 1)
        refused = await RawPeer.to(server, identity("b"))
        assert await refused.ended()
        release.set()
        assert await posting == (200, b"done")
        worker.close()
        refused.close()


async def test_who_never_finishes_a_handshake_is_pushed_out_by_those_who_do():
    async with serving(standing=standing, limits=ServerLimits(handshakes=3)) as server:
        silent = [await asyncio.open_connection(HOST, server.port) for _ in range(20)]
        member = await RawPeer.to(server)
        assert await member.post(b"1") == (200, b"1")
        assert server.connections <= 4
        assert await silent[0][0].read() == b""
        for _, writer in silent:
            writer.transport.abort()
        member.close()


async def test_an_address_of_strangers_that_come_again_and_again_is_turned_away_unseen():
    limits = ServerLimits(
        handshakes_per_address=2, handshakes_per_second=0.0, unlimited_handshake_seconds=0.0
    )
    async with serving(standing=standing, limits=limits) as server:
        for name in "ab":
            peer = await RawPeer.to(server, identity(name))
            assert await peer.post(b"1") == (200, b"1")
            peer.close()
        await until(lambda: server.connections == 0)
        with pytest.raises(ConnectionError):
            await RawPeer.to(server, identity("c"))
        assert server.counts.connections == 2

    async with serving(standing=standing, limits=limits) as server:
        member = await RawPeer.to(server)
        for name in "abcd":
            peer = await RawPeer.to(server, identity(name))
            assert await peer.post(b"1") == (200, b"1")
            peer.close()
        member.close()


async def test_a_flood_of_silent_connections_does_not_push_out_another_address():
    def knock(address: str) -> socket.socket:
        return socket.create_connection((HOST, server.port), source_address=(address, 0))

    async with serving(limits=ServerLimits(handshakes=4)) as server:
        slow = knock("127.0.0.2")
        await until(lambda: server.connections == 1)
        silent = [knock(HOST) for _ in range(20)]
        member = await RawPeer.to(server)
        assert await member.post(b"1") == (200, b"1")
        context = certificates.client_context(HOLDER, certificates.certificate_of(AUTHORITY.public))
        streams = await asyncio.open_connection(sock=slow, ssl=context, server_hostname="x")
        late = RawPeer(*streams)
        assert await late.post(b"2") == (200, b"2")
        for one in silent:
            one.close()
        member.close()
        late.close()


async def test_whoever_asks_too_much_as_a_stranger_waits_for_the_answer():
    limits = ServerLimits(stranger_requests_per_second=0.001, pause_seconds=3600.0)
    async with serving(standing=standing, limits=limits) as server:
        peer = await RawPeer.to(server, identity("a"))
        asking = asyncio.create_task(peer.post(b"1"))
        await until(lambda: server.counts.refused == 1)
        member = await RawPeer.to(server)
        assert {(await member.post(b"1"))[0] for _ in range(20)} == {200}
        assert not asking.done()
        asking.cancel()
        peer.close()
        member.close()


POLL = Door("/poll", object, object, who=Standing.STRANGER, poll=True)


async def test_long_polls_are_no_work_and_have_a_count_of_their_own():
    go_on = asyncio.Event()

    async def poll(request):
        with request.waiting():
            await go_on.wait()
        return b"news"

    limits = ServerLimits(open_requests=2, polls_per_key=3)
    async with serving({POLL: poll, "/echo": echo}, limits=limits) as server:
        peers = [await RawPeer.to(server) for _ in range(4)]
        key = "Idempotency-Key: the same\r\n"
        posts = [asyncio.create_task(p.post(b"", path="/poll", headers=key)) for p in peers[:3]]
        await until(lambda: server.open_polls == 3)
        assert server.open_requests == 0
        status, body = await peers[3].post(b"", path="/poll")
        assert (status, title_of(body)) == (503, "too many long polls of one party")
        assert await peers[3].post(b"1") == (200, b"1")
        go_on.set()
        assert await asyncio.gather(*posts) == [(200, b"news")] * 3
        assert (server.open_polls, server.open_requests) == (0, 0)
        for peer in peers:
            peer.close()


async def test_a_slow_body_of_a_stranger_holds_no_place():
    limits = ServerLimits(stranger_requests=1)
    async with serving(standing=standing, limits=limits) as server:
        slow, quick = [await RawPeer.to(server, identity(name)) for name in "ab"]
        await slow.say(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
            b"Content-Length: 2\r\n\r\n1"
        )
        await until(lambda: server.counts.requests == 1)
        assert await quick.post(b"quick") == (200, b"quick")
        await slow.say(b"2")
        assert await slow.answer() == (200, b"12")
        slow.close()
        quick.close()


async def test_who_floods_the_doors_does_not_hide_the_pages():
    release = asyncio.Event()

    async def slow(_):
        await release.wait()
        return b"done"

    limits = ServerLimits(stranger_requests=2, stranger_requests_per_second=2, pause_seconds=0.01)
    pages = {"/healthz": lambda: Page(body=b"ok")}
    options = {"standing": standing, "limits": limits, "pages": pages}
    async with serving({"/slow": slow}, **options) as server:
        flood = [await RawPeer.to(server, identity("a")) for _ in range(5)]
        posts = [asyncio.create_task(peer.post(b"", path="/slow")) for peer in flood]
        await until(lambda: server.counts.refused >= 3)
        monitor = await RawPeer.to(server, identity("a"))
        await monitor.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await monitor.answer() == (200, b"ok")
        release.set()
        await asyncio.gather(*posts)
        for peer in (*flood, monitor):
            peer.close()


class Counting:
    """A handler that counts how often it works, and may be held up."""

    def __init__(self):
        self.times = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, request):
        self.times += 1
        await self.go_on.wait()
        if request.body == b"refuse":
            raise Refused(f"no, for the {self.times}. time")
        return b"%d" % self.times


async def test_of_what_only_reads_no_answer_is_kept():
    read = Door("/read", object, object, reads=True)
    handler = Counting()
    async with serving({read: handler}) as server:
        peer = await RawPeer.to(server)
        key = "Idempotency-Key: abc\r\n"
        answers = [await peer.post(b"", path="/read", headers=key) for _ in range(3)]
        assert answers == [(200, b"1"), (200, b"2"), (200, b"3")]
        assert server.counts.replayed == 0
        peer.close()


@pytest.mark.parametrize("body", [b"accept", b"refuse"])
async def test_a_repeated_key_is_executed_once_and_answered_alike(body):
    handler = Counting()
    async with serving({"/x": handler}) as server:
        first, second = await RawPeer.to(server), await RawPeer.to(server)
        key = "Idempotency-Key: abc\r\n"
        answer = await first.post(body, path="/x", headers=key)
        assert await first.post(body, path="/x", headers=key) == answer
        assert await second.post(body, path="/x", headers=key) == answer
        assert handler.times == 1
        assert await first.post(body, path="/x", headers="Idempotency-Key: abd\r\n") != answer
        assert handler.times == 2
        assert server.counts.replayed == 2
        first.close()
        second.close()


async def test_a_repetition_that_overtakes_the_work_waits_for_it():
    handler = Counting()
    handler.go_on.clear()
    async with serving({"/x": handler}) as server:
        peers = [await RawPeer.to(server) for _ in range(3)]
        key = "Idempotency-Key: abc\r\n"
        posts = [asyncio.create_task(p.post(b"", path="/x", headers=key)) for p in peers]
        await until(lambda: server.open_requests == 3)
        handler.go_on.set()
        assert await asyncio.gather(*posts) == [(200, b"1")] * 3
        assert handler.times == 1
        for peer in peers:
            peer.close()


async def test_a_caller_who_vanishes_and_retries_gets_the_answer_of_its_first_try():
    handler = Counting()
    handler.go_on.clear()
    async with serving({"/x": handler}) as server:
        gone = await RawPeer.to(server)
        key = "Idempotency-Key: abc\r\n"
        lost = asyncio.create_task(gone.post(b"", path="/x", headers=key))
        await until(lambda: handler.times == 1)
        gone.close()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await lost
        back = await RawPeer.to(server)
        retry = asyncio.create_task(back.post(b"", path="/x", headers=key))
        await until(lambda: server.open_requests == 2)
        handler.go_on.set()
        assert await retry == (200, b"1")
        assert handler.times == 1
        back.close()


async def test_a_key_is_for_one_body_and_one_party():
    handler = Counting()
    async with serving({"/x": handler}, standing=lambda _: Standing.STRANGER) as server:
        peer = await RawPeer.to(server)
        key = "Idempotency-Key: abc\r\n"
        await peer.post(b"1", path="/x", headers=key)
        assert (await peer.post(b"2", path="/x", headers=key))[0] == 422
        peer.close()
        other = await RawPeer.to(server, identity("other"))
        assert await other.post(b"1", path="/x", headers=key) == (200, b"2")
        other.close()


async def test_pages_for_monitoring():
    async def ready():
        return Page(body=b"locked", status=503)

    def broken():
        raise RuntimeError("secret-word")

    pages = {"/healthz": lambda: Page(body=b"ok"), "/readyz": ready, "/metrics": broken}
    async with serving({}, pages=pages) as server:
        peer = await RawPeer.to(server)
        answers = []
        for path in pages:
            await peer.say(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answers.append(await peer.answer())
        assert answers[:2] == [(200, b"ok"), (503, b"locked")]
        assert answers[2][0] == 500
        assert b"secret-word" not in answers[2][1]
        peer.close()


async def a_busy_server_that_is_stopped():
    """Idle, silent, mute, half-sent and half-shaken connections, and a request without end."""
    endless = asyncio.Event()

    async def poll(_):
        await endless.wait()
        return b""

    async with serving({"/poll": poll, "/echo": echo}) as server, channel_to(server) as channel:
        await channel.call("/echo", b"")
        waiting = asyncio.create_task(channel.call("/poll", b""))
        silent, half, mute = [await RawPeer.to(server) for _ in range(3)]
        await half.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await mute.post(b"")
        mute.writer.transport.pause_reading()  # so it does not answer a TLS close either
        _, shaking = await asyncio.open_connection(HOST, server.port)  # never says hello
        await until(lambda: server.open_requests == 1 and server.connections == 5)
        port = server.port
        async with asyncio.timeout(20):
            await server.stop()
        with pytest.raises(Unavailable):
            await waiting
        for peer in (silent, half, mute):
            peer.close()
        shaking.transport.abort()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(HOST, port)


async def test_after_a_stop_no_task_and_no_socket_is_left():
    gc.collect()
    sockets, tasks = open_sockets(), asyncio.all_tasks()
    async with serving() as server, channel_to(server) as channel:
        await channel.call("/echo", b"")
        assert len(open_sockets()) >= len(sockets) + 3  # they would be seen
        assert asyncio.all_tasks() > tasks
    await a_busy_server_that_is_stopped()
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() == tasks
    assert open_sockets() == sockets


async def test_a_request_in_work_is_finished_before_the_stop():
    go_on = asyncio.Event()

    async def slow(_):
        await go_on.wait()
        return b"finished"

    async with serving({"/slow": slow}) as server, channel_to(server) as channel:
        waiting = asyncio.create_task(channel.call("/slow", b""))
        await until(lambda: server.open_requests == 1)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        go_on.set()
        await stopping
        assert await waiting == b"finished"


async def test_a_server_can_start_again_and_only_once_at_a_time():
    server = Server(AUTHORITY, {"/echo": echo}, standing=everybody_a_holder)
    with pytest.raises(UsageError):
        _ = server.port
    for _ in range(2):
        await server.start(HOST, 0)
        with pytest.raises(UsageError):
            await server.start(HOST, 0)
        async with channel_to(server) as channel:
            assert await channel.call("/echo", b"1") == b"1"
        await server.stop()
    await server.stop()


def test_a_server_is_open_to_nobody_by_default():
    with pytest.raises(TypeError, match="standing"):
        Server(AUTHORITY, {"/echo": echo})


async def test_a_taken_port_is_unavailable():
    async with serving() as server:
        other = Server(AUTHORITY, {}, standing=everybody_a_holder)
        with pytest.raises(Unavailable, match="cannot listen"):
            await other.start(HOST, server.port)
        await other.stop()
