"""What every daemon must pass, shown by a toy and by the authority: real processes, real TLS.

A new daemon gets a function that starts it, and a line in `DAEMONS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import toy_daemon
from full_disk import Disk
from process_rig import PASSPHRASE, ROOT, Command, Town
from sources import TESTS
from tigertally.base.codec import encode
from tigertally.base.errors import TigertallyError, Unavailable
from tigertally.base.ids import Name, Nonce
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.certificates import client_context
from tigertally.crypto.signatures import SigningKey
from tigertally.node.profile import open_profile
from tigertally.node.wiring import AuthorityServices
from tigertally.quorum import messages
from tigertally.quorum.messages import Nothing
from tigertally.storage.sql import SqlStore
from tigertally.transport.client import HttpChannel
from tigertally.transport.door import Door, ask
from toy_daemon import ADD, COUNT, Add, Count
from walks import sampled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.requirement("C13")]

REQUESTS = 300  # malformed ones, per daemon
REFUSALS = {400, 403, 404, 409, 413, 415, 423, 503}
ENOUGH = 200  # answers and connections until it counts as a flood
STEPS = 10  # before and after each commit of a toy that squares one number


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A daemon under test.

    Attributes:
        up: starts it, with faults of `fork_server`, and waits until it is ready.
        key: its own: who has it stands as high as anybody.
        doors: all of them, without those at which one only waits.
        tells: a door at which what it tells must not change, with a question.
        ready: what `/readyz` says, and its status.
        lasting: what of that another start leaves as it was.
    """

    town: Town
    up: Callable[..., Command]
    key: SigningKey
    doors: Sequence[Door[Any, Any]]
    tells: tuple[Door[Any, Any], Any]
    ready: tuple[int, dict[str, Any]]
    lasting: Callable[[Any], Any] = lambda told: told

    async def ask(self, door: Door[Any, Any], question: Any, key: SigningKey | None = None) -> Any:
        """Ask at a door with a key, its own by default, on a connection of its own."""
        channel = HttpChannel(self.town.url, key or self.key, self.key.public)
        try:
            return await ask(channel, door, question, wait=10)
        finally:
            await channel.close()

    def told(self) -> Any:
        """What it tells at its door."""
        return asyncio.run(self.ask(*self.tells))

    @contextmanager
    def connection(self, key: SigningKey) -> Iterator[http.client.HTTPSConnection]:
        """A connection on which anything may be said."""
        context = client_context(key, None)
        one = http.client.HTTPSConnection("127.0.0.1", self.town.port, context=context, timeout=30)
        try:
            yield one
        finally:
            one.close()

    def page(self, path: str) -> tuple[int, str]:
        """A page: its status and its text."""
        with self.connection(self.key) as one:
            one.request("GET", path)
            answer = one.getresponse()
            return answer.status, answer.read().decode()


def toy(town: Town) -> Daemon:
    folder = town.home.parent

    def up(**faults: str) -> Command:
        path = f"{town.server.program}:{TESTS}"
        faults = {"FAULT_PROGRAM": "toy_daemon", "PYTHONPATH": path, **faults}
        town.authority = town.start(folder, str(town.port), **faults)
        town.authority.await_words("^ready ")
        return town.authority

    return Daemon(
        town=town,
        up=up,
        key=toy_daemon.KEY,
        doors=(ADD, COUNT),
        tells=(COUNT, Nothing()),
        ready=(200, {"ready": True, "state": "ready"}),
    )


def authority(town: Town) -> Daemon:
    town.make_authority()
    town.authority_down()
    ask_for = lambda: Secret(PASSPHRASE.encode())  # noqa: E731
    with open_profile(town.home, Name("hq"), passphrase=ask_for) as profile:
        key = SigningKey(Secret(profile.signing_key.seed.to_secret_bytes()))
    return Daemon(
        town=town,
        up=town.authority_up,
        key=key,
        doors=tuple(AuthorityServices().routes()),
        tells=(messages.DOMAIN, Nothing()),
        ready=(503, {"ready": False, "state": "forming"}),
        lasting=lambda told: replace(told, checkpoint=""),  # its log says that it was started
    )


DAEMONS = (toy, authority)


def stranger() -> SigningKey:
    return SigningKey.generate(SystemRandomness())


@pytest.fixture(params=DAEMONS, ids=lambda make: make.__name__)
def daemon(request, nowhere) -> Daemon:
    return request.param(nowhere)


@pytest.fixture
def counter(nowhere) -> Daemon:
    return toy(nowhere)


def test_its_pages_say_how_it_is(daemon):
    daemon.up()
    status, alive = daemon.page("/healthz")
    assert (status, json.loads(alive)) == (200, {"alive": True})
    status, ready = daemon.page("/readyz")
    assert (status, json.loads(ready)) == daemon.ready
    status, metrics = daemon.page("/metrics")
    assert status == 200
    lines = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    for name in ("erasures_owed", "unlocked_secrets", 'turned_away_total{what="connection"}'):
        assert float(lines[f"tigertally_{name}"]) == 0, name
    assert 'tigertally_program_faults_total{work="after a commit"}' in lines


def test_whatever_comes_in_is_refused_and_changes_nothing(daemon):
    running = daemon.up()
    before, draw = daemon.told(), random.Random(7)
    good = encode(Add(id=Nonce(bytes(32)), number=3))
    answers: Counter[int] = Counter()
    with daemon.connection(daemon.key) as one:
        for _ in range(REQUESTS):
            body = draw.choice(
                [
                    draw.randbytes(draw.randrange(200)),
                    good[: draw.randrange(len(good))],
                    good + b"\x00",
                    b"\x9a\x00\x00\xff\xff" + b"\xa0" * 0xFFFF,
                ]
            )
            headers = {"Content-Type": "application/cbor"}
            one.request("POST", draw.choice(daemon.doors), body, headers)
            answer = one.getresponse()
            answer.read()
            answers[answer.status] += 1
    assert answers.keys() <= REFUSALS
    assert answers[400] > 0, "the control: some were read"
    assert daemon.told() == before
    assert not running.ended()
    assert "Traceback" not in running.said()


def test_a_flood_of_a_stranger_keeps_nobody_out_who_stands_higher(daemon):
    running = daemon.up()
    order = {
        "kind": "maps",
        "url": daemon.town.url,
        "authority": daemon.key.public.hex(),
        "seeds": [stranger().seed.to_secret_bytes().hex()],
        "connections": 50,
        "enough": ENOUGH,
        "doors": list(daemon.doors),
    }
    words = [sys.executable, str(TESTS / "flood.py")]
    environment = daemon.town.environment(PYTHONPATH=f"{ROOT / 'src'}:{TESTS}")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment, **pipes) as flood:
        flood.stdin.write(json.dumps(order) + "\n")
        flood.stdin.flush()
        assert flood.stdout.readline() == "enough\n"
        told = [daemon.told() for _ in range(3)]
        flood.stdin.close()
        counts = json.loads(flood.stdout.read())
    assert len(set(map(repr, told))) == 1
    assert sum(counts.values()) >= ENOUGH, "the control"
    assert not running.ended()
    assert "a fault of this program" not in running.said()


def test_a_signal_ends_it_in_order_and_it_comes_back_as_it_was(daemon):
    running = daemon.up()
    before = daemon.told()
    with daemon.connection(stranger()) as idle:
        idle.connect()
        ended = running.stop()
    assert ended.code == 0, ended.err
    assert '"event": "stopped"' in ended.err
    assert "Traceback" not in ended.err
    daemon.up()
    assert daemon.lasting(daemon.told()) == daemon.lasting(before)


# --- what takes a daemon that writes ------------------------------------------------------------


def counted(daemon: Daemon) -> Count:
    """Wait until nothing is left to be squared."""
    while (now := daemon.told()).waiting:
        pass
    return now


def test_a_number_is_squared_elsewhere_and_counted_once(counter):
    counter.up()
    id_ = Nonce(bytes(32))
    for number in (3, 3, 5):  # the same id: the first counts
        asyncio.run(counter.ask(ADD, Add(id=id_, number=number), stranger()))
    assert counted(counter) == Count(count=9, waiting=0)
    asyncio.run(counter.ask(ADD, Add(id=Nonce(b"\x01" * 32), number=4), stranger()))
    assert counted(counter) == Count(count=25, waiting=0)
    assert "tigertally_toy_count 25.0" in counter.page("/metrics")[1].splitlines()


def await_settled(folder: Path, running: Command) -> None:
    """Wait, without a word to it, until nothing is left to be done on its disk, or it is dead."""
    while not running.ended():
        with SqlStore(folder / "toy.db", create=False).reading() as reader:
            if not list(toy_daemon.WORK.keys(reader)):
                return


@pytest.mark.walk
def test_killed_at_any_step_it_goes_on_and_counts_once(counter, tmp_path):
    """`kill -9` just before or after the N-th commit; started again, the command given again."""
    killed = 0
    for step in sampled(range(1, STEPS + 1), 4, "steps of the toy"):
        for path in tmp_path.glob("toy.db*"):
            path.unlink()
        first = counter.up(FAULT_AT=str(step))
        add = Add(id=Nonce(step.to_bytes(32, "big")), number=7)
        with contextlib.suppress(TigertallyError):
            asyncio.run(counter.ask(ADD, add))
            await_settled(tmp_path, first)
        killed += first.ended()
        first.kill()
        counter.up()
        asyncio.run(counter.ask(ADD, add))
        assert counted(counter) == Count(count=49, waiting=0), step
        counter.town.authority_down()
        with SqlStore(tmp_path / "toy.db", create=False).reading() as reader:
            assert toy_daemon.COUNTS.get(reader, b"") == 49
            assert not list(toy_daemon.WORK.keys(reader))
    assert killed, "the control"


def test_a_full_disk_ends_nothing_and_loses_nothing(counter, tmp_path):
    disk = Disk(tmp_path, "toy")
    running = counter.up(FAULT_FULL=str(disk.marker))
    asyncio.run(counter.ask(ADD, Add(id=Nonce(bytes(32)), number=2)))
    before = counted(counter)
    add = Add(id=Nonce(b"\x01" * 32), number=3)
    with disk.full_from(1):
        with pytest.raises(Unavailable):
            asyncio.run(counter.ask(ADD, add))
        assert counter.told() == before
    assert disk.struck > 0, "the control"
    assert not running.ended()
    asyncio.run(counter.ask(ADD, add))
    assert counted(counter) == Count(count=13, waiting=0)
