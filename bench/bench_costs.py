"""What others may cost: CPU per refused byte, memory after it, and syncs while others flood.

A real authority on loopback. CPU is what its threads spent (from `/proc`), for bodies of one size,
refused and taken; taken is a holder's signed report that was sent before. Memory is its resident
size, ten seconds after a thousand refused bodies. Syncs take turns with and without a flood by a
requester and ten fresh keys, on 176 connections (2,046 where it only connects), from an address of
its own (Linux). It is another process on the same cores, so it takes time from whoever syncs, too.
Run: `python bench/bench_costs.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from release_party import PASSPHRASE
from tigertally.algebra import tags
from tigertally.base.codec import decode, dumps, encode
from tigertally.base.errors import TigertallyError
from tigertally.base.ids import Hash, HolderIndex, Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import sign_message
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.client.holder import Holder
from tigertally.custody.messages.reports import HELD, HeldClaim, HeldReport
from tigertally.custody.messages.sync import DEAL
from tigertally.node.connect import connected
from tigertally.node.profile import OpenProfile, home, open_profile
from tigertally.quorum import messages
from tigertally.quorum.card import Role
from tigertally.quorum.member.client import Party
from tigertally.transport.client import HttpChannel
from town import Domain, enrol

HOLDERS = ("holder1", "holder2", "holder3")
REQUESTER = "requester1"
FLOOD = Path(__file__).parents[1] / "tests" / "flood.py"
KINDS = ("connections", "polls", "maps", "large maps", "joins", "unlocks")
SMALL, LARGE = 1_700, 40_000  # epochs in a report: 64 KiB, 1.5 MiB
FRESH_KEYS = 10
ROUNDS, SYNCS = 3, 4
BODIES = 1000

Rows = list[dict[str, Any]]


def opened(name: str) -> OpenProfile:
    return open_profile(home(), Name(name), passphrase=lambda: Secret(PASSPHRASE))


def maps(size: int) -> bytes:
    """A list of empty maps, so many bytes long."""
    return b"\x9a" + (size - 5).to_bytes(4, "big") + b"\xa0" * (size - 5)


def few_maps(size: int) -> bytes:
    """As many items as anybody may send, the rest one string."""
    few = [{}] * 500
    return dumps([few, bytes(size - len(dumps(few)) - 10)])


class Authority:
    """The process that is measured."""

    def __init__(self, domain: Domain) -> None:
        self.pid = domain.tally.daemons["authority"].pid

    def cpu(self) -> float:
        """Seconds that all its threads have worked."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9

    def memory(self) -> float:
        """MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    async def spent(self, channel: HttpChannel, path: str, body: bytes, times: int) -> float:
        """CPU microseconds per body, refused or not."""
        before = self.cpu()
        for _ in range(times):
            with contextlib.suppress(TigertallyError):
                await channel.call(path, body)
        return 1e6 * (self.cpu() - before) / times


def report(party: Party, domain: Any, epochs: int) -> bytes:
    """A signed report of so many epochs."""
    claims = tuple(HeldClaim(epoch=Hash(n.to_bytes(32, "big")), gone=()) for n in range(epochs))
    said = HeldReport(domain=domain, holder=HolderIndex(1), number=2**40, claims=claims)
    return encode(sign_message(party.key, tags.HELD, said))


async def refused(authority: Authority, url: str, key: VerifyKey) -> Rows:
    rows: Rows = []
    stranger = HttpChannel(url, SigningKey.generate(SystemRandomness()), key)
    with opened(HOLDERS[0]) as profile:
        async with connected(profile) as party, stranger:
            domain = (await Holder(party).member.sync()).roster.domain
            holder = party.channel
            for epochs, times in ((SMALL, 30), (LARGE, 4)):
                taken = report(party, domain, epochs)
                size = len(taken)
                await holder.call(HELD, taken)
                valid = await authority.spent(holder, HELD, taken, times)
                for who, channel, path, body in (
                    ("stranger", stranger, messages.PROPOSE, maps(size)),
                    ("stranger", stranger, messages.PROPOSE, few_maps(size)),
                    ("holder", holder, DEAL, maps(size)),
                    ("holder", holder, HELD, few_maps(size)),
                ):
                    if who == "stranger" and epochs == LARGE:
                        continue  # refused by its length
                    spent = await authority.spent(channel, path, body, times)
                    what = "empty maps" if body[:1] == b"\x9a" else "500 maps and a string"
                    rows.append(
                        {
                            "what": f"{size // 1024} KiB of {what}, by a {who}, refused",
                            "measured": f"{spent:.0f} µs CPU",
                            "against": f"{valid:.0f} µs (a message of that size, taken)",
                            "ratio": f"{spent / valid:.2f}",
                            "aim": "≤ 10",
                        }
                    )
    return rows


async def remembered(authority: Authority, url: str, key: VerifyKey) -> Rows:
    body = maps(64 * 1024)
    with opened(HOLDERS[0]) as profile:
        async with connected(profile) as party:
            await party.channel.call(messages.DOMAIN, encode(messages.Nothing()))
            before = authority.memory()
            paths = (messages.PROPOSE, messages.SYNC, HELD, DEAL)
            for number in range(BODIES):
                with contextlib.suppress(TigertallyError):
                    await party.channel.call(paths[number % len(paths)], body)
    most = authority.memory()
    await asyncio.sleep(10)
    after = authority.memory()
    return [
        {
            "what": f"memory after {BODIES:,} refused bodies of 64 KiB",
            "measured": f"{after:.1f} MiB (at most {most:.1f})",
            "against": f"{before:.1f} MiB (before)",
            "ratio": f"{after / before:.2f}",
            "aim": "≤ 1.10",
        }
    ]


async def sync(name: str) -> float:
    """Seconds of a sync with a connection of its own."""
    with opened(name) as profile:
        begun = time.perf_counter()
        async with connected(profile) as party:
            await Holder(party).sync(renew=False)
        return time.perf_counter() - begun


async def syncs() -> float:
    return statistics.median([await sync(HOLDERS[n % 3]) for n in range(SYNCS)])


async def order(kind: str, made: dict[str, str]) -> dict[str, Any]:
    with opened(REQUESTER) as profile:
        async with connected(profile) as party:
            raw = await party.channel.call(messages.TERMS, encode(messages.Nothing()))
        authority = profile.settings()["authority"]
        assert isinstance(authority, bytes)
        keys = [profile.signing_key]
        keys += [SigningKey.generate(SystemRandomness()) for _ in range(FRESH_KEYS)]
        found = decode(messages.JoinTerms, raw)
        return {
            "kind": kind,
            "url": made["url"],
            "authority": authority.hex(),
            "seeds": [key.seed.to_secret_bytes().hex() for key in keys],
            "connections": 186 if kind == "connections" else 16,
            "enough": 100,
            "source": "127.0.0.2" if sys.platform == "linux" else None,
            "domain": {
                "domain": str(found.domain),
                "electorate": str(found.electorate),
                "roster": str(found.roster),
                "now": int(time.time()),
            },
        }


@contextlib.contextmanager
def flooding(what: dict[str, Any]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, str(FLOOD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(FLOOD.parents[1] / "src")},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        try:
            process.stdout.readline()
            yield
        finally:
            process.stdin.close()
            process.stdout.read()


def flooded(made: dict[str, str]) -> Rows:
    rows: Rows = []
    for kind in KINDS:
        pairs = []
        for _ in range(ROUNDS):
            calm = asyncio.run(syncs())
            with flooding(asyncio.run(order(kind, made))):
                pairs.append((asyncio.run(syncs()), calm))
        rows.append(
            {
                "what": f"a holder's sync while others flood: {kind}",
                "measured": f"{1e3 * statistics.median(busy for busy, _ in pairs):.0f} ms",
                "against": f"{1e3 * statistics.median(calm for _, calm in pairs):.0f} ms (alone)",
                "ratio": f"{statistics.median(busy / calm for busy, calm in pairs):.2f}",
                "aim": "≤ 3",
            }
        )
    return rows


async def form(made: dict[str, str]) -> VerifyKey:
    for number, name in enumerate(HOLDERS):
        await enrol(name, Role.HOLDER, made, HOLDERS[: min(number, 2)])
    await enrol(REQUESTER, Role.REQUESTER, made, HOLDERS[:2])
    with opened(REQUESTER) as profile:
        authority = profile.settings()["authority"]
        assert isinstance(authority, bytes)
        return VerifyKey(authority)


def run() -> Rows:
    """The rows of the table; about two minutes."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, ExitStack() as stack:
        domain = Domain(Path(folder), stack)
        made = domain.found(2)
        key = asyncio.run(form(made))
        authority = Authority(domain)
        return [
            *asyncio.run(remembered(authority, made["url"], key)),
            *asyncio.run(refused(authority, made["url"], key)),
            *flooded(made),
        ]


if __name__ == "__main__":
    for line in run():
        print(line)
