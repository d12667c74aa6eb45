"""Releases through one authority: real processes on loopback, three of five holders.

What bounds it is the CPU of all processes together: the last but one row says how many releases
that allows when nothing else runs on this machine, the last one how many with the devices on
machines of their own. Nobody waits for the disk or for one process alone.
The authority is `tally authority run` (SQLite, synchronous=FULL, TLS 1.3 both ways); five holders
and the requesters are processes of their own. A holder approves whatever it sees at once. CPU is
what each process spent (user and system, from `/proc`), divided by the releases. Latency is from
asking to the final key in the requester's hands.
Run: `python bench/bench_release.py [SECONDS]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from release_party import KEY, PASSPHRASE
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.custody.client.holder import Holder
from tigertally.custody.messages.kinds import Create, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.node.connect import connected
from tigertally.node.profile import home, open_profile
from tigertally.quorum.card import Role
from tigertally.quorum.proposal import proposal_id
from town import Domain, approve, enrol

PARTY = Path(__file__).with_name("release_party.py")
HOLDERS = tuple(f"holder{n}" for n in range(1, 6))
THRESHOLD = 3
REQUESTERS = tuple(f"requester{n}" for n in range(1, 17))


async def create_key() -> None:
    with open_profile(home(), Name(HOLDERS[0]), passphrase=lambda: Secret(PASSPHRASE)) as profile:
        async with connected(profile) as party:
            client = Holder(party)
            synced, _ = await client.sync(renew=False)
            body = Create(
                key=KEY.name,
                suite=Suite.PEDERSEN_ED25519,
                acks=len(HOLDERS),
                options=KeyOptions.of(),
            )
            state = await client.dealings.create_key(body, synced)
    await approve(proposal_id(state.proposal).hex(), HOLDERS[1:])


async def form(made: dict[str, str]) -> None:
    for number, name in enumerate(HOLDERS):
        await enrol(name, Role.HOLDER, made, HOLDERS[: min(number, THRESHOLD)])
    for name in REQUESTERS:
        await enrol(name, Role.REQUESTER, made, HOLDERS[:THRESHOLD])
    await create_key()


def built(folder: Path, stack: ExitStack) -> Domain:
    domain = Domain(folder, stack)
    made = domain.found(THRESHOLD)
    asyncio.run(form(made))
    for name in HOLDERS:
        domain.start(name, str(PARTY), "holder", name)
    domain.start("requesters", str(PARTY), "requesters", *REQUESTERS)
    return domain


def ask(domain: Domain, seconds: float, requesters: int) -> list[float]:
    """Let so many requesters ask for so long; the latency of each release."""
    process = domain.parties["requesters"]
    assert process.stdin is not None
    assert process.stdout is not None
    print(seconds, requesters, file=process.stdin, flush=True)
    latencies: list[float] = json.loads(process.stdout.readline())
    return latencies


def measured(domain: Domain, seconds: float, requesters: int) -> dict[str, float]:
    before, start = domain.cpu(), time.perf_counter()
    latencies = ask(domain, seconds, requesters)
    took, after = time.perf_counter() - start, domain.cpu()
    count = len(latencies)
    spent = {name: after[name] - before[name] for name in before}
    holders = sum(spent[name] for name in HOLDERS)
    return {
        "releases": count,
        "releases / s (aim ≥ 50)": round(count / took, 1),
        "latency ms: median": round(1e3 * statistics.median(latencies), 1),
        "latency ms: 95 %": round(1e3 * statistics.quantiles(latencies, n=20)[-1], 1),
        "CPU ms a release: authority": round(1e3 * spent["authority"] / count, 1),
        "CPU ms a release: five holders": round(1e3 * holders / count, 1),
        "CPU ms a release: requesters": round(1e3 * spent["requesters"] / count, 1),
        "cores that were busy with it": round(sum(spent.values()) / took, 2),
        "cores that the busiest process had": round(max(spent.values()) / took, 2),
        "releases / s that this CPU allows, all cores free": round(
            (os.cpu_count() or 1) * count / sum(spent.values())
        ),
        "releases / s that one core allows the authority": round(count / spent["authority"]),
    }


def run(seconds: float = 8.0) -> list[dict[str, Any]]:
    """One column a load, one row a number."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, ExitStack() as stack:
        domain = built(Path(folder), stack)
        most = len(REQUESTERS)
        ask(domain, 2.0, most)  # connections, caches
        loads = {f"{n} ask, 5 answer": measured(domain, seconds, n) for n in (1, 4, most)}
        for name in HOLDERS[THRESHOLD:]:
            domain.stop(name)
            domain.start(name, str(PARTY), "watcher", name)
        ask(domain, 1.0, most)
        loads[f"{most} ask, 3 answer"] = measured(domain, seconds, most)
    numbers = next(iter(loads.values()))
    return [
        {"what": number, **{load: found[number] for load, found in loads.items()}}
        for number in numbers
    ]


if __name__ == "__main__":
    for line in run(float(sys.argv[1]) if len(sys.argv) > 1 else 8.0):
        print(line)
