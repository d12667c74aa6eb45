"""A join in a domain with many keys: what all parties spend on sharing every key anew.

Five holders, quorum three; a sixth joins. Real processes: the authority is `tally authority run`,
each step of a device is a process of its own with empty caches. CPU is user and system of all of
them together (`/proc`, `process_time`), messages and bytes are counted where devices call. Keys are
made by the real commands' code. *First*: every key is in the epoch that made it. *Next*: one more
holder joins when all keys travel together in one epoch. The slope is between the two sizes, so it
leaves out what a join costs without keys.
Run: `python bench/bench_join.py [KEYS ...]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from release_party import PASSPHRASE
from tigertally.base.ids import Fingerprint, Name
from tigertally.base.secret import Secret
from tigertally.custody.client.holder import Holder
from tigertally.custody.messages.kinds import CREATE, Create, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.node.connect import connected, introduced
from tigertally.node.profile import home, open_profile
from tigertally.quorum.card import Role
from tigertally.quorum.changes import JOIN
from tigertally.quorum.member.client import Party
from tigertally.quorum.member.join import JoiningClient
from tigertally.transport.channel import Channel
from town import Domain, enrol, member

HOLDERS = tuple(f"holder{n}" for n in range(1, 6))
THRESHOLD = 3
_BATCH = 50  # proposals that a holder answers between two syncs
_CONTACTS = 3  # every device comes by so often after the join


@dataclass
class Spent:
    """What a step, or several, took."""

    cpu: float = 0.0
    calls: int = 0
    sent: int = 0
    received: int = 0
    largest: int = 0

    def add(self, other: Spent) -> None:
        """Count another step in."""
        self.cpu += other.cpu
        self.calls += other.calls
        self.sent += other.sent
        self.received += other.received
        self.largest = max(self.largest, other.largest)


@dataclass
class Counting:
    """A channel that counts what goes through it."""

    inner: Channel
    spent: Spent = field(default_factory=Spent)

    async def call(self, path: str, body: bytes, **options: Any) -> bytes:
        """Ask, and count."""
        answer = await self.inner.call(path, body, **options)
        self.spent.calls += 1
        self.spent.sent += len(body)
        self.spent.received += len(answer)
        self.spent.largest = max(self.spent.largest, len(body), len(answer))
        return answer


def counted(party: Party) -> tuple[Party, Spent]:
    channel = Counting(party.channel)
    return replace(party, channel=channel), channel.spent


def apart(step: Callable[[], Awaitable[Spent]]) -> Spent:
    """Run a step in a process of its own, with nothing remembered; what it took there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            start = time.process_time()
            spent = asyncio.run(step())  # type: ignore[arg-type]
            spent.cpu = time.process_time() - start
            os.write(writing, json.dumps(vars(spent)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit("a step failed")
    return Spent(**json.loads(said))


def contact(name: str, *, approves: Name | None = None, renew: bool = True) -> Spent:
    """A holder syncs; it approves what is there of one kind."""

    async def step() -> Spent:
        profile_of = open_profile(home(), Name(name), passphrase=lambda: Secret(PASSPHRASE))
        with profile_of as profile:
            async with connected(profile) as plain:
                party, spent = counted(plain)
                client = Holder(party)
                synced, report = await client.sync(renew=renew)
                if report.problems:
                    raise SystemExit(f"{name}: {report.problems}")
                me = client.member.me(synced.roster).index
                for seen in synced.proposals:
                    if seen.proposal.kind == approves and not seen.voted(me):
                        await client.approve(seen, synced)
        return spent

    return apart(step)


def propose_keys(numbers: range) -> None:
    """The first holder proposes keys."""

    async def step() -> Spent:
        profile_of = open_profile(home(), Name(HOLDERS[0]), passphrase=lambda: Secret(PASSPHRASE))
        with profile_of as profile:
            async with connected(profile) as party:
                client = Holder(party)
                synced, _ = await client.sync(renew=False)
                for number in numbers:
                    body = Create(
                        key=Name(f"key-{number}"),
                        suite=Suite.PEDERSEN_ED25519,
                        acks=len(HOLDERS),
                        options=KeyOptions.of(),
                    )
                    await client.dealings.create_key(body, synced)
        return Spent()

    apart(step)


def create_keys(count: int) -> None:
    """Make so many keys, each with a proposal, approvals and dealings of its own."""
    for start in range(0, count, _BATCH):
        propose_keys(range(start, min(start + _BATCH, count)))
        for name in HOLDERS[1:THRESHOLD]:
            contact(name, approves=CREATE, renew=False)
        for _ in range(2):
            for name in HOLDERS:
                contact(name, renew=False)


def ask_to_join(name: str, made: dict[str, str]) -> Spent:
    """A device asks to be a holder (the first time), or finishes its enrolment."""

    async def step() -> Spent:
        profile_of = open_profile(home(), Name(name), passphrase=lambda: Secret(PASSPHRASE))
        with profile_of as profile:
            where = made["url"], Fingerprint.from_text(made["fingerprint"])
            async with introduced(profile, *where) as (plain, key):
                party, spent = counted(plain)
                joining = JoiningClient(party, name=Name(name), role=Role.HOLDER, authority=key)
                if (await joining.ask()).state == "enrolled":
                    await Holder(party).sync()
        return spent

    return apart(step)


def join(domain: Domain, made: dict[str, str], name: str, holders: list[str]) -> dict[str, Spent]:
    """One more holder joins; then everybody comes by until every key is shared anew."""
    member(name, Role.HOLDER)
    before, start = domain.cpu()["authority"], time.perf_counter()
    devices = Spent()
    devices.add(ask_to_join(name, made))
    for other in holders[:THRESHOLD]:
        devices.add(contact(other, approves=JOIN))
    joiner = ask_to_join(name, made)
    devices.add(joiner)
    for _ in range(_CONTACTS):
        for other in [*holders, name]:
            devices.add(contact(other, renew=False))
    authority = Spent(cpu=domain.cpu()["authority"] - before)
    return {
        "authority": authority,
        "devices": devices,
        "time": Spent(cpu=time.perf_counter() - start),
    }


def check_all_anew(domain: Domain, keys: int, epoch: int) -> None:
    """Every key is active in this epoch."""
    listed = domain.tally.json("key", "list", "--profile", HOLDERS[0])
    assert len(listed) == keys
    assert {(key["state"], key["epoch"]) for key in listed} == {("active", epoch)}, listed[:2]


def measured(keys: int) -> list[dict[str, Spent]]:
    """The first and the next join in a domain of so many keys."""
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder, ExitStack() as stack:
        domain = Domain(Path(folder), stack)
        made = domain.found(THRESHOLD)
        for number, name in enumerate(HOLDERS):
            asyncio.run(enrol(name, Role.HOLDER, made, HOLDERS[: min(number, THRESHOLD)]))
        create_keys(keys)
        found, holders = [], list(HOLDERS)
        for epoch, name in enumerate(("sixth", "seventh"), start=2):
            found.append(join(domain, made, name, holders))
            holders.append(name)
            check_all_anew(domain, keys, epoch)
        return found


NUMBERS: tuple[tuple[str, Callable[[dict[str, Spent]], float], str], ...] = (
    (
        "CPU of all",
        lambda s: s["authority"].cpu * 1e3 + s["devices"].cpu * 1e3,
        "ms; aim: 10 a key",
    ),
    ("CPU of the authority", lambda s: s["authority"].cpu * 1e3, "ms"),
    ("CPU of all devices", lambda s: s["devices"].cpu * 1e3, "ms"),
    ("time, one step after the other", lambda s: s["time"].cpu * 1e3, "ms"),
    ("messages (question and answer)", lambda s: s["devices"].calls, ""),
    ("bytes to the authority", lambda s: s["devices"].sent / 1e3, "kB"),
    ("bytes from the authority", lambda s: s["devices"].received / 1e3, "kB"),
    ("largest message", lambda s: s["devices"].largest / 1e3, "kB; limit: 4,194"),
)


def run(small: int = 100, large: int = 1000) -> list[dict[str, Any]]:
    """One row a number; two joins."""
    rows: list[dict[str, Any]] = []
    pairs = zip(("first", "next"), measured(small), measured(large), strict=True)
    for which, low, high in pairs:
        for name, of, unit in NUMBERS:
            slope = (of(high) - of(low)) / (large - small)
            rows.append(
                {
                    "what": f"{which} join: {name}",
                    f"{small} keys": round(of(low), 1),
                    f"{large} keys": round(of(high), 1),
                    "a key more": round(slope, 3),
                    "unit": unit,
                }
            )
    return rows


if __name__ == "__main__":
    for line in run(*map(int, sys.argv[1:])):
        print(line)
