"""Real servers and channels on loopback for the transport's tests; free ports, fixed keys."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tigertally.base.randomness import SeededRandomness
from tigertally.crypto import certificates
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.transport.channel import Handler, Request
from tigertally.transport.client import HttpChannel
from tigertally.transport.door import Standing
from tigertally.transport.server import Server

HOST = "127.0.0.1"

AUTHORITY = SigningKey.generate(SeededRandomness("authority"))
HOLDER = SigningKey.generate(SeededRandomness("holder"))
STRANGER = SigningKey.generate(SeededRandomness("stranger"))


async def echo(request: Request) -> bytes:
    return request.body


def everybody_a_holder(key: VerifyKey) -> Standing:
    return Standing.HOLDER


@asynccontextmanager
async def serving(
    routes: Mapping[str, Handler] | None = None,
    *,
    standing: Callable[[VerifyKey], Standing] = everybody_a_holder,
    **options: Any,
) -> AsyncIterator[Server]:
    routes = {"/echo": echo} if routes is None else routes
    server = Server(AUTHORITY, routes, standing=standing, **options)
    await server.start(HOST, 0)
    try:
        yield server
    finally:
        await server.stop()


def channel_to(
    server: Server, identity: SigningKey = HOLDER, pin: VerifyKey = AUTHORITY.public
) -> HttpChannel:
    return HttpChannel(f"https://{HOST}:{server.port}", identity, pin)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; no time passes by itself."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is awaited has no event of its own
            await asyncio.sleep(0)


class RawPeer:
    """A TLS client that says whatever it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: Server, context: ssl.SSLContext | None = None) -> RawPeer:
        certificate = certificates.certificate_of(AUTHORITY.public)
        context = context or certificates.client_context(HOLDER, certificate)
        return cls(*await asyncio.open_connection(HOST, server.port, ssl=context))

    async def post(
        self, body: bytes, *, path: str = "/echo", headers: str = ""
    ) -> tuple[int, bytes]:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n{headers}"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return await self.answer()

    async def say(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        body = await self.reader.readexactly(int(fields["content-length"]))
        return int(lines[0].split()[1]), body

    async def ended(self) -> bool:
        """Whether the other side closed; reads what was left."""
        try:
            while await self.reader.read(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        return True

    def close(self) -> None:
        self.writer.transport.abort()
