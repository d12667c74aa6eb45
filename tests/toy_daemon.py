"""A whole daemon: a counter of squares. A number comes in at one door, another tells the count.

`run([FOLDER, PORT])` serves; `python -m toy_daemon` is its one-shot child, which squares.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from tigertally.audit.log import AuditLog
from tigertally.base.ids import Nonce
from tigertally.base.randomness import SeededRandomness, SystemRandomness
from tigertally.crypto.signatures import SigningKey
from tigertally.host import daemon
from tigertally.host.alarms import Alarms
from tigertally.host.child import child_main, in_child
from tigertally.host.chores import keep_up
from tigertally.host.desk import Desk
from tigertally.host.routes import Handlers, served
from tigertally.host.service import Gauge, Service
from tigertally.host.writer import Writer
from tigertally.quorum.messages import Nothing
from tigertally.storage.journal import Journal
from tigertally.storage.table import RAW, Marks, Table, fixed, message, number
from tigertally.transport.door import Door, Standing

KEY = SigningKey.generate(SeededRandomness("toy"))
Step = Enum("Step", {"TAKEN": "taken", "GIVEN": "given to the child", "COUNTED": "counted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    id: Nonce
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    count: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    step: Step
    number: int


@dataclass(slots=True, kw_only=True)
class ToyDesk(Desk):
    count: int


ADD = Door("/toy/add", Add, Count, who=Standing.STRANGER)
COUNT = Door("/toy/count", Nothing, Count, who=Standing.STRANGER, reads=True)
COUNTS = Table("toy-count", RAW, number(16))
TAKEN = Marks("toy-taken", fixed(Nonce))
WORK = Table("toy-work", fixed(Nonce), message(Work))
FOLLOWS = {Step.TAKEN: frozenset({Step.GIVEN}), Step.GIVEN: frozenset({Step.COUNTED})}
JOURNAL = Journal(
    table=WORK,
    follows=FOLLOWS,
    state=lambda work: work.step,
    moved=lambda work, step: replace(work, step=step),
    what="a square",
)


class Toy(Service):
    def __init__(self, store):
        self._store, self._log, self._wake = store, AuditLog("toy", KEY), asyncio.Event()
        with store.reading() as reader:
            count = COUNTS.get(reader, b"") or 0
        self.alarms = Alarms()
        self.writer = Writer(
            store,
            count,
            open_desk=self._desk,
            keep=lambda desk, count: desk.count,
            closing=lambda desk, count, damaged: (count, frozenset(WORK.keys(desk.plain, limit=1))),
            wake=lambda keys, waiting: self._wake.set() if waiting else None,
            alarms=self.alarms,
        )
        self._handlers = Handlers(self.writer, standing=self.standing)

    def _desk(self, tx, count):
        now, draws = int(time.time()), SystemRandomness()
        return ToyDesk(plain=tx, now=now, randomness=draws, key=KEY, log=self._log, count=count)

    def standing(self, key):
        return Standing.HOLDER if key == KEY.public else Standing.STRANGER

    def handlers(self):
        routes = (served(ADD, self._add), served(COUNT, self._count))
        return {door: self._handlers.on_desk(door, answer) for door, answer in routes}

    def _add(self, desk, asked, peer):
        if not TAKEN.has(desk.plain, asked.id):
            TAKEN.put(desk.plain, asked.id)
            JOURNAL.begin(desk.plain, asked.id, Work(step=Step.TAKEN, number=asked.number))
        return self._count(desk, asked, peer)

    def _count(self, desk, asked, peer):
        return Count(count=desk.count, waiting=len([*WORK.keys(desk.plain)]))

    async def work(self):
        await keep_up("squares", self._square, alarms=self.alarms, every=60, wake=self._wake)

    async def _square(self):
        run = self.writer.run
        id_, work = await run(lambda desk: next(WORK.rows(desk.plain), (None, None)))
        if id_ is None:
            return
        if work.step is Step.TAKEN:
            await run(lambda desk: JOURNAL.move(desk.plain, id_, Step.GIVEN))
        square = int(await in_child("toy_daemon", b"%d" % work.number))
        await run(lambda desk: self._squared(desk, id_, square))

    def _squared(self, desk, id_, square):
        JOURNAL.move(desk.plain, id_, Step.COUNTED)
        desk.count += square
        COUNTS.put(desk.plain, b"", desk.count)
        desk.record("toy.counted", actor="toy", summary=f"{square}")

    async def gauges(self):
        return (Gauge("toy_count", "the squares so far", self.writer.memory),)

    def close(self):
        self.writer.close()
        self._handlers.close()
        self._store.close()


def run(args):
    from tigertally.storage.sql import SqlStore

    daemon.prepare()
    make, url = lambda: Toy(SqlStore(Path(args[0]) / "toy.db")), f"https://127.0.0.1:{args[1]}"
    daemon.run(daemon.serve(make, KEY, host="127.0.0.1", port=int(args[1]), url=url))
    return 0


if __name__ == "__main__":
    child_main(lambda job: b"%d" % (int(job) ** 2 % 2**32))
