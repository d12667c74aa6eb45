"""Floods of strangers and requesters against a real authority: members are served, nothing stays.

Nothing here is timed: a fixed number of members' syncs succeeds while the flood goes on, memory
comes back, and the log has grown by few entries. How much slower a sync becomes: bench_costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flood import KINDS
from process_rig import HOLDERS, PASSPHRASE, ROOT, Town
from tigertally.base.codec import decode, encode
from tigertally.base.ids import Fingerprint, Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.client.holder import Holder
from tigertally.node.connect import connected, look_up
from tigertally.node.profile import open_profile
from tigertally.quorum import messages
from walks import WHOLE, sampled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.walk,
    pytest.mark.timeout(300 if not WHOLE else 3600),
    pytest.mark.requirement("C13"),
]

SYNCS = 3  # of members, under each flood; whole walks flood for a minute
ENOUGH = 300  # answers and connections until it counts as a flood
WARM_UP = 4  # times that members are served before memory is measured
FRESH_KEYS = 10
MOST_ENTRIES = 100  # of the audit log, for all floods together
MOST_MORE_MEMORY = 1.10
SECONDS = 60.0  # for memory to come back, and for whole walks


def opened(town: Town, name: str):
    secret = Secret(PASSPHRASE.encode())
    return open_profile(town.home, Name(name), passphrase=lambda: secret)


async def sync(town: Town, name: str) -> None:
    """What `tally holder sync` does, on a connection of its own."""
    with opened(town, name) as profile:
        async with connected(profile) as party:
            await Holder(party).sync(renew=False)


async def terms(town: Town) -> dict[str, Any]:
    """What a request to join must name."""
    with opened(town, HOLDERS[0]) as profile:
        async with connected(profile) as party:
            raw = await party.channel.call(messages.TERMS, encode(messages.Nothing()))
    found = decode(messages.JoinTerms, raw)
    names = {"domain": found.domain, "electorate": found.electorate, "roster": found.roster}
    return {name: str(value) for name, value in names.items()} | {"now": int(time.time())}


async def audited(town: Town) -> int:
    """How many entries the audit log has."""
    count = 0
    with opened(town, HOLDERS[0]) as profile:
        async with connected(profile) as party:
            while True:
                ask = messages.AuditRequest(since=count, limit=1000, prove=())
                raw = await party.channel.call(messages.AUDIT, encode(ask))
                entries = decode(messages.AuditReply, raw).entries
                if not entries:
                    return count
                count += len(entries)


def memory(town: Town) -> int:
    """What the authority has in memory, in KiB."""
    assert town.authority is not None
    status = Path(f"/proc/{town.authority.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def order(town: Town, kind: str, who: str, domain: dict[str, Any]) -> dict[str, Any]:
    with opened(town, "app") as app:
        key = app.settings()["authority"]
        assert isinstance(key, bytes)
        mine = app.signing_key.seed.to_secret_bytes().hex()
    fresh = [
        SigningKey.generate(SystemRandomness()).seed.to_secret_bytes().hex()
        for _ in range(FRESH_KEYS if who == "requester" else 1)
    ]
    return {
        "kind": kind,
        "url": town.url,
        "authority": key.hex(),
        "seeds": [mine, *fresh] if who == "requester" else fresh,
        "connections": (2048 if kind == "connections" else 256) // (FRESH_KEYS + 1),
        "enough": ENOUGH,
        "domain": domain,
    }


@contextlib.contextmanager
def flooding(what: dict[str, Any]) -> Iterator[dict[str, int]]:
    """A flood that has begun, and what it was answered, once it is over."""
    counts: dict[str, int] = {}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "flood.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "src")},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        try:
            assert process.stdout.readline() == "enough\n"
            yield counts
        finally:
            process.stdin.close()
            counts |= json.loads(process.stdout.readline())


async def be_served(town: Town) -> None:
    """Members sync, and a newcomer hears who the authority is."""
    for number in range(SYNCS):
        await sync(town, HOLDERS[number % len(HOLDERS)])
    await look_up(town.url, Fingerprint.from_text(town.fingerprint))


CASES = [(kind, who) for kind in KINDS for who in ("stranger", "requester")]


def chosen() -> list[tuple[str, str]]:
    """Every kind once, by whom the seed says; in a whole walk both."""
    if WHOLE:
        return CASES
    pairs = [[case for case in CASES if case[0] == kind] for kind in KINDS]
    return [sampled(pair, 1, f"flood of {pair[0][0]}")[0] for pair in pairs]


def flood(town: Town, kind: str, who: str, domain: dict[str, Any], seconds: float) -> None:
    """Flood for so long, and at least until members were served."""
    with flooding(order(town, kind, who, domain)) as counts:
        asyncio.run(be_served(town))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asyncio.run(be_served(town))
    assert sum(counts.values()) >= ENOUGH, (kind, who)
    turned_away = sum(number for what, number in counts.items() if what != "200")
    assert turned_away > ENOUGH / 2, (kind, who, counts)
    assert town.authority is not None
    assert not town.authority.ended()


def test_members_are_served_while_others_flood(town):
    """In a whole walk memory is compared with that after a short flood of each kind.

    The C library and Python keep some of what was free once in between: that fills, and stays.
    """
    domain = asyncio.run(terms(town))
    for _ in range(WARM_UP):  # caches fill, whoever asks
        asyncio.run(be_served(town))
    entries = asyncio.run(audited(town))
    if WHOLE:
        for kind, who in CASES:
            flood(town, kind, who, domain, 0.0)
    before = memory(town)
    for kind, who in chosen():
        flood(town, kind, who, domain, SECONDS if WHOLE else 0.0)
    assert asyncio.run(audited(town)) <= entries + MOST_ENTRIES
    deadline = time.monotonic() + SECONDS
    while (now := memory(town)) > MOST_MORE_MEMORY * before:
        assert time.monotonic() < deadline, f"{before} KiB before the floods, {now} after them"
        time.sleep(0.5)
    assert '"level": "error"' not in town.authority.said()
    town.create("afterwards")
    assert town.json("audit", "verify", "--profile", "alice")["ok"]
