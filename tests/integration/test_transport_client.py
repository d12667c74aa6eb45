"""The client against servers that stumble, vanish and misbehave, on real TLS sockets."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager

import pytest

from tigertally.base.errors import PeerFault, Refused, TigertallyError, Unavailable, UsageError
from tigertally.crypto import certificates
from tigertally.transport import problems
from tigertally.transport.client import HttpChannel
from tigertally.transport.server import Server
from transport_rig import (
    AUTHORITY,
    HOLDER,
    HOST,
    channel_to,
    echo,
    everybody_a_holder,
    serving,
    until,
)

pytestmark = pytest.mark.requirement("C1")

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: 2\r\n\r\nok"


class Script:
    """A TLS server with the right key that answers as told, one entry a request.

    An entry is the bytes to answer with before the connection is closed, or None to close at once;
    the last one is used for ever.
    """

    def __init__(self, *entries: bytes | None) -> None:
        self._entries = list(entries)
        self.requests: list[bytes] = []

    async def _talk(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"Content-Length: (\d+)", head)[1])
            self.requests.append(head + await reader.readexactly(length))
            entry = self._entries.pop(0) if len(self._entries) > 1 else self._entries[0]
            if entry is not None:
                writer.write(entry)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    def keys(self):
        return [re.search(rb"Idempotency-Key: (\S+)", head)[1] for head in self.requests]


@asynccontextmanager
async def talking(script):
    server = await asyncio.start_server(
        script._talk, HOST, 0, ssl=certificates.server_context(AUTHORITY)
    )
    port = server.sockets[0].getsockname()[1]
    async with HttpChannel(f"https://{HOST}:{port}", HOLDER, AUTHORITY.public) as channel:
        yield channel
    server.close()


async def test_an_attempt_that_breaks_off_is_repeated_with_the_same_key():
    script = Script(None, OK[:30], OK[:-1], OK)
    async with talking(script) as channel:
        assert await channel.call("/x", b"body") == b"ok"
        assert await channel.call("/x", b"body") == b"ok"
    first, second = script.keys()[:4], script.keys()[4:]
    assert len(set(first)) == 1
    assert len(second) == 1
    assert second[0] not in first
    assert all(request.endswith(b"\r\n\r\nbody") for request in script.requests)


async def test_a_large_body_is_repeated_whole():
    body = bytes(range(256)) * 16_384
    script = Script(None, OK)
    async with talking(script) as channel:
        assert await channel.call("/x", body) == b"ok"
    assert [request.split(b"\r\n\r\n", 1)[1] == body for request in script.requests] == [True] * 2


async def test_it_gives_up_after_a_few_attempts():
    script = Script(None)
    async with talking(script) as channel:
        with pytest.raises(Unavailable, match="does not answer"):
            await channel.call("/x", b"")
    assert 2 <= len(script.requests) <= 5


async def test_a_refusal_is_not_repeated():
    status, document = problems.to_document(Refused("no"))
    raw = b"HTTP/1.1 %d No\r\nContent-Type: application/problem+json\r\n" % status
    script = Script(raw + b"Content-Length: %d\r\n\r\n" % len(document) + document)
    async with talking(script) as channel:
        with pytest.raises(Refused, match="no"):
            await channel.call("/x", b"")
    assert len(script.requests) == 1


async def test_busy_with_retry_after_is_tried_again_and_unavailable_without_is_not():
    _, document = problems.to_document(Unavailable("busy"))
    raw = b"HTTP/1.1 429 Busy\r\nContent-Type: application/problem+json\r\n%s"
    raw += b"Content-Length: %d\r\n\r\n%s"
    busy = raw % (b"Retry-After: 1\r\n", len(document), document)
    async with talking(Script(busy, busy, OK)) as channel:
        assert await channel.call("/x", b"") == b"ok"
    script = Script(raw % (b"", len(document), document))
    async with talking(script) as channel:
        with pytest.raises(Unavailable, match="busy"):
            await channel.call("/x", b"")
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 403 No\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 There\r\nLocation: https://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\n\r\nendless",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_an_answer_of_another_protocol_is_the_peers_fault_and_not_repeated(answer):
    script = Script(answer)
    async with talking(script) as channel:
        with pytest.raises(PeerFault):
            await channel.call("/x", b"", wait=5)
    assert len(script.requests) == 1


async def test_compressed_answers_are_not_unpacked():
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Encoding: gzip\r\n"
    async with talking(Script(raw + b"Content-Length: 2\r\n\r\nok")) as channel:
        assert await channel.call("/x", b"") == b"ok"


async def test_a_caller_waits_no_longer_than_it_said():
    endless = asyncio.Event()

    async def poll(_):
        await endless.wait()
        return b""

    async with serving({"/poll": poll, "/echo": echo}) as server, channel_to(server) as channel:
        with pytest.raises(Unavailable, match="in time"):
            await channel.call("/poll", b"", wait=0.05)
        assert await channel.call("/echo", b"1") == b"1"
        endless.set()


async def test_a_cancelled_call_leaves_the_channel_usable():
    endless = asyncio.Event()

    async def poll(_):
        await endless.wait()
        return b""

    async with serving({"/poll": poll, "/echo": echo}) as server, channel_to(server) as channel:
        call = asyncio.create_task(channel.call("/poll", b""))
        await until(lambda: server.open_requests == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await channel.call("/echo", b"1") == b"1"
        endless.set()


async def test_a_restarted_server_is_found_again():
    server = Server(AUTHORITY, {"/echo": echo}, standing=everybody_a_holder)
    await server.start(HOST, 0)
    port = server.port
    async with channel_to(server) as channel:
        assert await channel.call("/echo", b"1") == b"1"
        await server.stop()
        with pytest.raises(Unavailable):
            await channel.call("/echo", b"2", wait=0.2)
        await server.start(HOST, port)
        assert await channel.call("/echo", b"3") == b"3"
        await server.stop()


async def test_a_server_that_comes_back_during_the_call_is_enough():
    server = Server(AUTHORITY, {"/echo": echo}, standing=everybody_a_holder)
    await server.start(HOST, 0)
    port = server.port
    async with channel_to(server) as channel:
        await server.stop()
        call = asyncio.create_task(channel.call("/echo", b"1"))
        await server.start(HOST, port)
        assert await call == b"1"
        await server.stop()


@pytest.mark.parametrize("form", ["key", "fingerprint"])
async def test_nobody_there_is_unavailable(form):
    async with serving() as server:
        url = f"https://{HOST}:{server.port}"
    pin = AUTHORITY.public if form == "key" else AUTHORITY.public.fingerprint
    async with HttpChannel(url, HOLDER, pin) as channel:
        with pytest.raises(Unavailable, match="refused"):
            await channel.call("/echo", b"")


async def test_a_first_contact_that_fails_is_tried_again():
    async with serving() as server:
        url = f"https://{HOST}:{server.port}"
        port = server.port
    async with HttpChannel(url, HOLDER, AUTHORITY.public.fingerprint) as channel:
        with pytest.raises(Unavailable):
            await channel.connect()
        back = Server(AUTHORITY, {"/echo": echo}, standing=everybody_a_holder)
        await back.start(HOST, port)
        assert await channel.call("/echo", b"1") == b"1"
        await back.stop()


async def test_an_address_that_does_not_listen_to_tls_is_unavailable():
    async def plain(reader, writer):
        writer.write(b"220 ready\r\n")
        await reader.read(100)
        writer.close()

    server = await asyncio.start_server(plain, HOST, 0)
    url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
    for pin in (AUTHORITY.public, AUTHORITY.public.fingerprint):
        async with HttpChannel(url, HOLDER, pin) as channel:
            with pytest.raises(TigertallyError):
                await channel.call("/x", b"")
    server.close()


@pytest.mark.parametrize(
    "url",
    ["", "example", "http://h:1", "https://h", "https://h:0", "https://h:99999", "https://h:x",
     "https://u@h:1", "https://h:1/path", "https://h:1?q", "https://h:1#f", "https://:1"],
)  # fmt: skip
def test_what_is_not_an_address(url):
    with pytest.raises(UsageError):
        HttpChannel(url, HOLDER, AUTHORITY.public)


@pytest.mark.parametrize("path", ["", "x", "/x?y", "/x#y", "/x y", "/%2e", "/x\r\nA: b"])
async def test_what_is_not_a_path(path):
    async with HttpChannel(f"https://{HOST}:1", HOLDER, AUTHORITY.public) as channel:
        with pytest.raises(UsageError):
            await channel.call(path, b"")


async def test_names_and_ipv6_are_addresses_too():
    server = Server(AUTHORITY, {"/echo": echo}, standing=everybody_a_holder)
    await server.start("localhost", 0)
    async with HttpChannel(f"https://localhost:{server.port}", HOLDER, AUTHORITY.public) as channel:
        assert await channel.call("/echo", b"1") == b"1"
    await server.stop()
    assert HttpChannel("https://[::1]:1/", HOLDER, AUTHORITY.public)


async def test_a_closed_channel_says_so():
    async with serving() as server:
        channel = channel_to(server)
        await channel.call("/echo", b"")
        await channel.close()
        await channel.close()
        with pytest.raises(UsageError, match="closed"):
            await channel.call("/echo", b"")
