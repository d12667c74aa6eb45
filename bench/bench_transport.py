"""A 500-byte POST over loopback TLS: what pinning, limits and retries cost over bare aiohttp.

Server and client are processes of their own, one connection, requests one after the other. Pairs
of rounds, ours and theirs in turn; the median ratio counts. The peer checks no client certificate,
keeps no limits, and carries no idempotency key.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from tigertally.base.randomness import SeededRandomness
from tigertally.crypto import certificates
from tigertally.crypto.signatures import SigningKey
from tigertally.transport.channel import Request
from tigertally.transport.client import HttpChannel
from tigertally.transport.door import Standing
from tigertally.transport.server import Server, ServerLimits

PAIRS = 9
REQUESTS = 400  # a round
BODY = bytes(500)
HOST = "127.0.0.1"

SERVER_KEY = SigningKey.generate(SeededRandomness("bench server"))
CLIENT_KEY = SigningKey.generate(SeededRandomness("bench client"))

# Of one request, in microseconds: round trip, CPU of the client, CPU of the server.
Sample = tuple[float, float, float]


async def _serve_ours(report: Callable[[int], None]) -> None:
    async def echo(request: Request) -> bytes:
        return request.body

    server = Server(
        SERVER_KEY,
        {"/echo": echo},
        standing=lambda _: Standing.HOLDER,
        limits=ServerLimits(requests_per_second=1e9),
    )
    await server.start(HOST, 0)
    report(server.port)
    await asyncio.Event().wait()


def _peer_context() -> ssl.SSLContext:
    """TLS with the same kind of certificate, but asking nothing of the client."""
    context = certificates.server_context(SERVER_KEY)
    context.verify_mode = ssl.CERT_NONE
    return context


async def _serve_peer(report: Callable[[int], None]) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_post("/echo", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=_peer_context())
    await site.start()
    report(runner.addresses[0][1])
    await asyncio.Event().wait()


def _child(serve: Callable[[Callable[[int], None]], Awaitable[None]], pipe: Connection) -> None:
    async def main() -> None:
        work = asyncio.ensure_future(serve(pipe.send))
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), work.cancel)  # the other end is closed
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(main())


class _Process:
    """A server in a process of its own, which ends with this object."""

    def __init__(self, serve: Callable[[Callable[[int], None]], Awaitable[None]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_child, args=(serve, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.port: int = self._ours.recv()

    def cpu(self) -> float:
        """Seconds its main thread has worked so far (Linux; elsewhere 0)."""
        account = Path(f"/proc/{self._process.pid}/schedstat")
        return int(account.read_text().split()[0]) / 1e9 if account.exists() else 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


async def _round(post: Callable[[], Awaitable[object]], server: _Process) -> Sample:
    wall, cpu, theirs = time.perf_counter(), time.process_time(), server.cpu()
    for _ in range(REQUESTS):
        await post()
    each = 1e6 / REQUESTS
    return (
        (time.perf_counter() - wall) * each,
        (time.process_time() - cpu) * each,
        (server.cpu() - theirs) * each,
    )


async def _pairs(our: _Process, peer: _Process) -> list[tuple[Sample, Sample]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    url = f"https://{HOST}:{peer.port}/echo"
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
    channel = HttpChannel(f"https://{HOST}:{our.port}", CLIENT_KEY, SERVER_KEY.public)

    async def ours() -> object:
        return await channel.call("/echo", BODY)

    async def theirs() -> object:
        async with session.post(url, data=BODY) as response:
            return await response.read()

    async with session, channel:
        await _round(ours, our)  # warm up: contexts, connections, caches
        await _round(theirs, peer)
        return [(await _round(ours, our), await _round(theirs, peer)) for _ in range(PAIRS)]


async def _handshakes(port: int, count: int = 40) -> float:
    """Milliseconds from a new channel to its first answer."""
    start = time.perf_counter()
    for _ in range(count):
        async with HttpChannel(f"https://{HOST}:{port}", CLIENT_KEY, SERVER_KEY.public) as channel:
            await channel.call("/echo", BODY)
    return (time.perf_counter() - start) / count * 1e3


async def _together(port: int, connections: int = 16, each: int = 150) -> float:
    """Requests per second of many callers at once through one channel."""
    async with HttpChannel(f"https://{HOST}:{port}", CLIENT_KEY, SERVER_KEY.public) as channel:

        async def caller() -> None:
            for _ in range(each):
                await channel.call("/echo", BODY)

        await caller()
        start = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(connections)))
        return connections * each / (time.perf_counter() - start)


def _row(name: str, pairs: list[tuple[Sample, Sample]], index: int, note: str) -> dict[str, Any]:
    ratios = [ours[index] / peer[index] for ours, peer in pairs if peer[index]]
    return {
        "name": name,
        "ours": round(statistics.median(ours[index] for ours, _ in pairs), 1),
        "peer": round(statistics.median(peer[index] for _, peer in pairs), 1),
        "ratio": round(statistics.median(ratios), 2) if ratios else None,
        "unit": "µs",
        "note": note,
    }


def run() -> list[dict[str, Any]]:
    """The rows of the table; about ten seconds."""
    with _Process(_serve_ours) as ours, _Process(_serve_peer) as peer:
        pairs = asyncio.run(_pairs(ours, peer))
        first = asyncio.run(_handshakes(ours.port))
        together = asyncio.run(_together(ours.port))
    peer_note = "peer: bare aiohttp server and client over TLS without client certificates"
    return [
        _row("500-byte POST over TLS, round trip", pairs, 0, peer_note),
        _row("500-byte POST over TLS, client CPU", pairs, 1, peer_note),
        _row("500-byte POST over TLS, server CPU", pairs, 2, peer_note),
        {
            "name": "new channel to first answer (mutual TLS 1.3 handshake, contexts)",
            "ours": round(first, 1),
            "peer": None,
            "ratio": None,
            "unit": "ms",
            "note": "one after the other, client and server share two cores",
        },
        {
            "name": "500-byte POST, 16 callers at once",
            "ours": round(together),
            "peer": None,
            "ratio": None,
            "unit": "requests/s",
            "note": "one client process, one server process",
        },
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
