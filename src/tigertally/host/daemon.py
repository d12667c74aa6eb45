"""A daemon's life: start, say `ready`, work until a signal, and leave nothing behind.

`serve` is the life of one that answers at doors, `follow` of one that asks at those of another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from tigertally.base.errors import Corrupt, Locked, Refused, TigertallyError, Unavailable
from tigertally.base.process import harden, settle_down

if TYPE_CHECKING:
    from structlog.typing import Processor

    from tigertally.crypto.signatures import SigningKey
    from tigertally.host.service import Service
    from tigertally.host.writer import Writer

_FIRST_PAUSE = 0.5  # seconds; doubled up to _LONGEST_PAUSE while the authority is away
_LONGEST_PAUSE = 30.0
_REFUSED_PAUSE = 300.0  # the longest while it refuses us: only people change that

Step = Callable[[], Awaitable[None]]
News = Callable[[float], Awaitable[None]]


class _Journal:
    """Standard error, from which no log line ends a daemon: its disk may be full as well."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, or lose the line."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or leave it."""
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def prepare(*, level: str = "info") -> None:
    """What every daemon does first: no core dumps, no ptrace, JSON logs on standard error.

    Whatever logs, with structlog or without it, a library or `warnings`: all lines take one way,
    a line of JSON each, however long its traceback is.

    Args:
        level: the least that this program says; libraries speak from warnings on.
    """
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(cast(TextIO, _Journal(sys.stderr)))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("tigertally").setLevel(level.upper())
    logging.captureWarnings(True)
    harden()


def stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def say_ready(what: str) -> None:
    """The line that scripts wait for."""
    settle_down()
    sys.stderr.write(f"ready {what}\n")
    sys.stderr.flush()


async def serve(
    make: Callable[[], Service], identity: SigningKey, *, host: str, port: int, url: str
) -> None:
    """Serve until a signal, and end in order: the whole life of a daemon that has doors.

    Args:
        make: makes the service. That may take long: a signal meanwhile ends it in order, too.
        identity: the key that its clients have pinned.
        url: how it is reached, for the line that says it is ready.

    Raises:
        MemoryParted: what is in memory may not be what is on the disk.
    """
    # Late, so that a daemon that only follows does not load them.
    from tigertally.host.pages import pages
    from tigertally.host.service import State
    from tigertally.transport.counts import ServerCounts
    from tigertally.transport.server import Server

    log = structlog.get_logger("tigertally.daemon")
    stop = stop_event()
    service = make()
    counts = ServerCounts()
    server = Server(
        identity,
        service.handlers(),
        pages=pages(service, counts),
        standing=service.standing,
        counts=counts,
    )
    worker: asyncio.Task[None] | None = None
    try:
        await server.start(host, port)
        await service.start()
        worker = asyncio.create_task(_background(service))
        say_ready(url)
        log.info("listening", url=url, locked=service.state() is State.LOCKED)
        await _until_stopped(stop, service.writer)
    finally:
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        service.end_waiting()
        await server.stop()
        await service.stop()
        service.close()
        log.info("stopped")


async def _background(service: Service) -> None:
    """Background work, begun again should it ever end."""
    while True:
        try:
            await service.work()
        except Exception as error:  # noqa: BLE001  what it helps goes on without it
            service.alarms.fault("background work", error)
        await asyncio.sleep(_LONGEST_PAUSE)


async def _until_stopped(stop: asyncio.Event, writer: Writer[Any, Any]) -> None:
    """Wait for a signal: nothing else ends a daemon, with one exception.

    Raises:
        MemoryParted: what is in memory may not be what is on the disk.
    """
    tasks = [asyncio.create_task(event.wait()) for event in (stop, writer.parted)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        writer.check()
    finally:
        for task in tasks:
            task.cancel()


class Backoff:
    """How long to wait before another try, and whether the reason has been said already."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE
        self._said = ""

    def new(self, error: Exception) -> bool:
        """Is this another reason than the last one?"""
        new, self._said = str(error) != self._said, str(error)
        return new

    def after(self, error: Exception) -> float:
        """Seconds to wait after this error; doubled each time, up to what it deserves."""
        longest = _REFUSED_PAUSE if isinstance(error, Refused) else _LONGEST_PAUSE
        pause = min(self._next, longest)
        self._next = 2 * pause
        return pause


async def follow(step: Step, news: News, log: structlog.stdlib.BoundLogger) -> None:
    """Do one step again and again; after one that failed, wait a little, and longer each time.

    Args:
        step: does what there is to do, and waits until there may be more.
        news: waits until the other side has news for us, or for so many seconds.

    Raises:
        Corrupt: our own store cannot be read.
    """
    backoff = Backoff()
    while True:
        try:
            await step()
            backoff = Backoff()
        except Corrupt as error:
            # The store of this device itself: only a person can mend it, and a daemon that has
            # ended is what a service manager shows. It takes nothing with it but its own voice.
            log.critical("cannot go on", error=str(error))
            raise
        except Unavailable as error:  # the authority is away or locked, or our disk is full
            if backoff.new(error):
                log.info("waiting", reason=str(error))
            await _pause(news, backoff, error)
        except TigertallyError as error:
            # Also where the authority refuses us: it may say so wrongly, or for a while only, and
            # a holder that ends on its word is a voice less. Removed, it asks in vain, seldom.
            if backoff.new(error):
                what = "refused" if isinstance(error, Refused) else "fault"
                log.warning(what, error=str(error), culprits=list(error.culprits))
            await _pause(news, backoff, error)
        except Exception as error:
            log.exception("a fault of this program")
            await _pause(news, backoff, error)


async def _pause(news: News, backoff: Backoff, error: Exception) -> None:
    """Wait before another try; less where the other side answers and has news.

    An authority answers long polls while it is locked, and wakes its holders when it is unlocked,
    or when one more of them has accepted its restore.
    """
    clock = asyncio.get_running_loop().time
    began, seconds = clock(), backoff.after(error)
    locked = isinstance(error, Locked)
    rest = seconds
    if locked or not isinstance(error, Unavailable):  # else nobody is there to have news
        with contextlib.suppress(Exception):  # whatever it is, the pause is over in time
            await news(_LONGEST_PAUSE if locked else seconds)
            rest = _FIRST_PAUSE  # one that always has news must not drive us in circles
    await asyncio.sleep(max(0.0, began + rest - clock()))


async def stoppable(stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Do something until it ends or somebody stops it."""
    worker = asyncio.ensure_future(work())
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({worker, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if worker.done():
            worker.result()
    finally:
        waiting.cancel()
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


def run(work: Awaitable[None]) -> None:
    """Run a daemon to its end; an interrupt is a clean stop."""

    async def whole() -> None:
        await work

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(whole())
