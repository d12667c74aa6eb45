"""One party of `bench_release.py`, a process of its own.

A holder that says yes to everything, one that only watches, or requesters that ask for one key
again and again. Run by the benchmark: `release_party.py holder|watcher|requesters PROFILE ...`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from contextlib import AsyncExitStack

from tigertally.base.errors import Refused, TigertallyError
from tigertally.base.ids import Name
from tigertally.base.process import settle_down
from tigertally.base.secret import Secret
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.requester import Requester
from tigertally.custody.messages.kinds import RELEASE, Form, KeyRef
from tigertally.node.connect import connected, until
from tigertally.node.profile import OpenProfile, home, open_profile
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.memory import SeenProposal

PASSPHRASE = b"a bench has no secrets"
KEY = KeyRef(name=Name("bench"), version=1)
_LONG_POLL = 25.0
_PATIENCE = 30.0  # seconds; a release that takes longer is lost


def opened(name: str) -> OpenProfile:
    return open_profile(home(), Name(name), passphrase=lambda: Secret(PASSPHRASE))


async def hold(name: str, *, answers: bool) -> None:
    """Follow the news, forever; approve every release at once, or nothing."""
    with opened(name) as profile:
        async with connected(profile) as party:
            client = Holder(party)
            settle_down()
            print("ready", flush=True)
            while True:
                try:
                    synced, _ = await client.sync(renew=False)
                    if answers:
                        await answer(client, synced)
                    await client.member.news(_LONG_POLL)
                except TigertallyError as error:
                    print(f"{name}: {error}", file=sys.stderr, flush=True)
                    await asyncio.sleep(0.2)


async def answer(client: Holder, synced: Synced) -> None:
    """Whatever waits is approved at the same time."""
    me = client.member.me(synced.roster).index
    waiting = [
        seen for seen in synced.proposals if seen.proposal.kind == RELEASE and not seen.voted(me)
    ]
    await asyncio.gather(*(approve(client, seen, synced) for seen in waiting))


async def approve(client: Holder, seen: SeenProposal, synced: Synced) -> None:
    with contextlib.suppress(Refused):  # too late: enough others were quicker
        await client.approve(seen, synced)


async def request(names: list[str]) -> None:
    """For each line `SECONDS [COUNT]`: the first COUNT requesters ask so long; print latencies."""
    async with AsyncExitStack() as stack:
        clients = []
        for name in names:
            profile = stack.enter_context(opened(name))
            party = await stack.enter_async_context(connected(profile))
            clients.append((Requester(party), profile.device_secret))
        settle_down()
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            seconds, count = line.split()
            end = time.perf_counter() + float(seconds)
            asked = [ask_until(end, *one) for one in clients[: int(count)]]
            latencies = [one for some in await asyncio.gather(*asked) for one in some]
            print(json.dumps(latencies), flush=True)


async def ask_until(end: float, client: Requester, secret: Secret) -> list[float]:
    latencies = []
    while (start := time.perf_counter()) < end:
        await ask(client, f"bench {start}", secret)
        latencies.append(time.perf_counter() - start)
    return latencies


async def ask(client: Requester, reason: str, secret: Secret) -> None:
    synced = await client.member.sync()
    asked, _ = await client.ask(KEY, reason, Form.FINAL, synced)

    async def step() -> object:
        return await client.collect(asked, KEY, Form.FINAL, synced, secret)

    if await until(client.member, step, wait=_PATIENCE) is None:
        raise SystemExit("a release was lost")
    client.forget(asked)


if __name__ == "__main__":
    what, *parties = sys.argv[1:]
    if what == "requesters":
        asyncio.run(request(parties))
    else:
        asyncio.run(hold(parties[0], answers=what == "holder"))
