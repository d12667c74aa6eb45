"""Floods an authority on loopback, until its standard input ends; then says what it was answered.

    python tests/flood.py

The first line of its standard input is the order, as JSON: `kind`, `url`, `authority` (its public
key, hex), `seeds` (of the signing keys to come with, hex), `connections` (per key), `enough` (after
so many answers and connections, refused ones too, it says so), `domain`, what a proposal to join
must name, and perhaps `source`, the address to come from, and `doors`, those of another daemon. It
runs in a process of its own, so that it takes nothing from those who are measured.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, cycle
from typing import Any
from urllib.parse import urlsplit

from tigertally.base.codec import decode, encode
from tigertally.base.ids import DomainId, Hash, Name, Nonce, RosterHash
from tigertally.base.secret import Secret
from tigertally.crypto import certificates
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.messages.lock import UNLOCK_CHALLENGE, ChallengeRequest
from tigertally.quorum import messages
from tigertally.quorum.card import Role, sign_card
from tigertally.quorum.changes import JOIN, join_body
from tigertally.quorum.proposal import Proposal, sign_proposal

KINDS = ("connections", "polls", "maps", "large maps", "joins", "unlocks")

DOORS = (messages.DOMAIN, messages.FOUND, messages.TERMS, messages.PROPOSE, messages.SYNC)

Bodies = Iterator[tuple[str, bytes]]


def maps(size: int) -> bytes:
    """A list of empty maps, so many bytes long."""
    return b"\x9a" + (size - 5).to_bytes(4, "big") + b"\xa0" * (size - 5)


def bodies(kind: str, key: SigningKey, order: dict[str, Any]) -> Bodies:
    """What one key sends, without end."""
    if kind == "joins":
        yield from joins(key, order["domain"])
    if kind == "unlocks":
        ask = encode(ChallengeRequest(roster_version=0, checkpoint_size=0, wrong_passphrases=0))
        while True:
            yield UNLOCK_CHALLENGE, ask
    body = maps(4 * 1024 * 1024 if kind == "large maps" else 64 * 1024)
    for door in cycle(order.get("doors", DOORS)):
        yield door, body


def joins(key: SigningKey, domain: dict[str, str]) -> Bodies:
    """Proper requests to join, each another one."""
    name = Name(f"x{key.public.hex()[:20]}")
    wrapping = PrivateKey(Secret(bytes(96))).public
    body = join_body(sign_card(key, wrapping, name=name, role=Role.HOLDER))
    for number in count():
        proposal = Proposal(
            kind=JOIN,
            body=body,
            domain=DomainId.from_text(domain["domain"]),
            electorate=Hash.from_text(domain["electorate"]),
            predecessor=RosterHash.from_text(domain["roster"]),
            nonce=Nonce(number.to_bytes(32, "big")),
            proposer=key.public,
            created=domain["now"],
            expires=domain["now"] + 24 * 3600,
        )
        request = messages.ProposeRequest(
            proposal=sign_proposal(key, proposal), approval=None, attachment=b""
        )
        yield messages.PROPOSE, encode(request)


class Flood:
    """Many connections that ask without pause, and come back when they are closed."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._kind = order["kind"]
        parts = urlsplit(order["url"])
        self._where = parts.hostname, parts.port
        source = order.get("source")
        self._source = None if source is None else (source, 0)
        self._authority = VerifyKey(bytes.fromhex(order["authority"]))
        self.counts: Counter[str] = Counter()
        self._seen = 1  # of a long poll that is answered

    async def run(self, ended: Callable[[], Any]) -> None:
        """Flood until `ended` returns."""
        tasks: list[asyncio.Task[None]] = []
        for seed in self._order["seeds"]:
            key = SigningKey(Secret(bytes.fromhex(seed)))
            certificate = certificates.certificate_of(self._authority)
            context = certificates.client_context(key, certificate)
            sends = bodies(self._kind, key, self._order)
            ones = (self._one(context, sends) for _ in range(self._order["connections"]))
            tasks += map(asyncio.create_task, ones)
        await asyncio.to_thread(ended)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, context: ssl.SSLContext, sends: Bodies) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    *self._where, ssl=context, local_addr=self._source
                )
            except OSError:
                self._count("not connected")
                await asyncio.sleep(0.1)
                continue
            self._count("connected")
            try:
                if self._kind == "connections":
                    await reader.read()
                while self._kind != "connections":
                    await self._post(reader, writer, *next(sends))
            except (OSError, asyncio.IncompleteReadError):
                self._count("broken off")
            finally:
                writer.transport.abort()

    def _count(self, what: str) -> None:
        self.counts[what] += 1
        if self.counts.total() == self._order["enough"]:
            print("enough", flush=True)

    async def _post(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
    ) -> None:
        if self._kind == "polls":
            path = messages.NEWS
            body = encode(messages.NewsRequest(seen=self._seen, wait=25))
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(
            line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line
        )
        told = await reader.readexactly(int(fields["content-length"]))
        status = head.split()[1].decode()
        self._count(status)
        if self._kind == "polls" and status == "200":
            self._seen = decode(messages.NewsReply, told).seen


def main() -> None:
    logging.disable()  # of connections that the other side ended in the middle
    order = json.loads(sys.stdin.readline())
    flood = Flood(order)
    asyncio.run(flood.run(sys.stdin.read))
    print(json.dumps(flood.counts))


if __name__ == "__main__":
    main()
