"""What ends a daemon: a signal, and a memory that may differ from the disk."""

from __future__ import annotations

import asyncio
import errno
import os
import signal

import pytest

from tigertally.base.errors import UsageError
from tigertally.host import daemon
from tigertally.host.alarms import Alarms
from tigertally.host.daemon import _background, _Journal, _until_stopped, serve
from tigertally.host.writer import MemoryParted
from tigertally.storage.sql import SqlStore
from tigertally.transport import virtual_time
from toy_daemon import KEY, Toy


class Writer:
    """As much of a writer as the daemon looks at."""

    def __init__(self) -> None:
        self.parted = asyncio.Event()

    def check(self) -> None:
        if self.parted.is_set():
            raise MemoryParted("memory and disk may differ")


async def test_a_signal_ends_it_in_order():
    stop, writer = asyncio.Event(), Writer()
    waiting = asyncio.create_task(_until_stopped(stop, writer))
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await asyncio.wait_for(waiting, 5)


async def test_a_memory_that_may_differ_from_the_disk_ends_it_with_an_error():
    stop, writer = asyncio.Event(), Writer()
    waiting = asyncio.create_task(_until_stopped(stop, writer))
    await asyncio.sleep(0)
    writer.parted.set()
    with pytest.raises(MemoryParted):
        await asyncio.wait_for(waiting, 5)


def test_background_work_that_ends_is_begun_again():
    class Service:
        alarms = Alarms()
        begun = 0

        async def work(self) -> None:
            self.begun += 1
            raise ZeroDivisionError

    async def day() -> None:
        service = Service()
        working = asyncio.create_task(_background(service))
        await asyncio.sleep(100)
        assert not working.done()
        working.cancel()
        assert service.begun == service.alarms.faults["background work"] == 4

    virtual_time.run(day())


def test_a_log_that_nobody_can_write_ends_nothing():
    class Full:
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self) -> None:
            self.write("")

    journal = _Journal(Full())
    assert journal.write("line\n") == 5
    journal.flush()


def test_a_signal_while_its_service_is_made_ends_it_in_order(tmp_path, monkeypatch, capsys):
    made = []

    def make() -> Toy:
        made.append(Toy(SqlStore(tmp_path / "toy.db")))
        os.kill(os.getpid(), signal.SIGTERM)
        return made[0]

    async def life() -> None:
        async with asyncio.timeout(60):
            await serve(make, KEY, host="127.0.0.1", port=0, url="https://toy")

    def unheard(*_: object) -> None:
        raise AssertionError("nobody listens to signals yet")

    monkeypatch.setattr(daemon, "settle_down", lambda: None)  # this process goes on afterwards
    before = signal.signal(signal.SIGTERM, unheard)
    try:
        asyncio.run(life())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "ready https://toy" in capsys.readouterr().err
    with pytest.raises(UsageError, match="the store is closed"), made[0]._store.reading():
        pass
