"""Daemons: start, say `ready`, work until a signal, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import structlog

from tigertally.base.errors import Corrupt, Locked, Refused, TigertallyError, Unavailable
from tigertally.base.process import harden, settle_down
from tigertally.base.randomness import SystemRandomness
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.report import Report
from tigertally.custody.client.unattended import answer_by_rules
from tigertally.node.clock import SystemClock
from tigertally.node.connect import connected
from tigertally.node.profile import OpenProfile
from tigertally.node.rulebook import RuleBook
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.member.witness import notices

if TYPE_CHECKING:
    from structlog.typing import Processor

    from tigertally.host.writer import Writer
    from tigertally.node.authority import Authority, Memory
    from tigertally.quorum.authority.desk import DomainDesk

_RENEW_SECONDS = 900  # a daemon's receive keys are never older; the forward-secrecy window
_FIRST_PAUSE = 0.5  # seconds; doubled up to _LONGEST_PAUSE while the authority is away
_LONGEST_PAUSE = 30.0
_REFUSED_PAUSE = 300.0  # the longest while it refuses us: only people change that


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


async def run_authority(profile: OpenProfile, *, host: str, port: int, url: str) -> None:
    """The authority's whole life: it comes up locked, if it has a domain."""
    # Late, so that a holder's daemon does not load them.
    from tigertally.node.authority import Authority
    from tigertally.node.backup import forget_interrupted
    from tigertally.node.health import pages
    from tigertally.node.wiring import AuthorityServices
    from tigertally.transport.counts import ServerCounts
    from tigertally.transport.server import Server

    log = structlog.get_logger("tigertally.authority")
    stop = stop_event()
    forget_interrupted(profile.info.path)
    authority = Authority(
        profile.plain_store,
        key=profile.signing_key,
        wrapping_key=profile.wrapping_key,
        services=AuthorityServices(),
        clock=SystemClock(),
        randomness=SystemRandomness(),
    )
    counts = ServerCounts()
    server = Server(
        profile.signing_key,
        authority.handlers(),
        pages=pages(authority, counts),
        standing=authority.standing,
        counts=counts,
    )
    worker: asyncio.Task[None] | None = None
    try:
        await server.start(host, port)
        await authority.start()
        worker = asyncio.create_task(_background(authority))
        say_ready(url)
        log.info("listening", url=url, locked=authority.locked)
        await _until_stopped(stop, authority.writer)
    finally:
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        authority.end_waiting()
        await server.stop()
        await authority.stop()
        authority.close()
        log.info("stopped")


async def _background(authority: Authority) -> None:
    """Background work, begun again should it ever end."""
    while True:
        try:
            await authority.work()
        except Exception as error:  # noqa: BLE001  what it helps goes on without it
            authority.alarms.fault("background work", error)
        await asyncio.sleep(_LONGEST_PAUSE)


async def _until_stopped(stop: asyncio.Event, writer: Writer[DomainDesk, Memory]) -> None:
    """Wait for a signal: nothing else ends an unlocked authority, with one exception.

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


async def run_holder(profile: OpenProfile, *, rules: Path | None = None) -> None:
    """A holder's daemon: syncs whenever there is news; approves what its rules allow, or nothing.

    Args:
        rules: the rules file; read again at SIGHUP.

    Raises:
        UsageError: the rules cannot be read.
    """
    log = structlog.get_logger("tigertally.holder")
    book = None if rules is None else RuleBook(rules)
    stop = stop_event()
    if book is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, book.reload)
    async with connected(profile) as party:
        holder = Holder(party)
        say_ready(str(profile.info.member))
        await _stoppable(stop, lambda: _follow(holder, profile, log, book))
    log.info("stopped")


async def _stoppable(stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
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


class Pauses:
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


async def _follow(
    holder: Holder,
    profile: OpenProfile,
    log: structlog.stdlib.BoundLogger,
    book: RuleBook | None,
) -> None:
    clock = asyncio.get_running_loop().time
    renewed = -float(_RENEW_SECONDS)
    pauses = Pauses()
    told = 0
    waited: tuple[str, ...] = ()
    while True:
        renew = clock() - renewed >= _RENEW_SECONDS
        try:
            with profile.exclusive(doing="syncing"):
                synced, report = await holder.sync(renew=renew)
                if book is not None:
                    book.changed.clear()
                    book.tell(await answer_by_rules(holder, synced, book.rules, report))
            renewed = clock() if renew else renewed
            waited = _tell(report, log, waited)
            told = _tell_notices(profile, log, told)
            await _news(holder.member, book)
            pauses = Pauses()  # not before: let in to no long poll, it would sync all the time
        except Corrupt as error:
            # The store of this device itself: only a person can mend it, and a daemon that has
            # ended is what a service manager shows. It takes nothing with it but its own voice.
            log.critical("cannot go on", error=str(error))
            raise
        except Unavailable as error:  # the authority is away or locked, or our disk is full
            if pauses.new(error):
                log.info("waiting", reason=str(error))
            await _pause(holder.member, pauses, error)
        except TigertallyError as error:
            # Also where the authority refuses us: it may say so wrongly, or for a while only, and
            # a holder that ends on its word is a voice less. Removed, it asks in vain, seldom.
            if pauses.new(error):
                what = "refused" if isinstance(error, Refused) else "fault"
                log.warning(what, error=str(error), culprits=list(error.culprits))
            await _pause(holder.member, pauses, error)
        except Exception as error:
            log.exception("a fault of this program")
            await _pause(holder.member, pauses, error)


async def _pause(client: MemberClient, pauses: Pauses, error: Exception) -> None:
    """Wait before another try; less where the authority answers and has news.

    It answers long polls while it is locked, and wakes its holders when it is unlocked, or when
    one more of them has accepted its restore.
    """
    clock = asyncio.get_running_loop().time
    began, seconds = clock(), pauses.after(error)
    locked = isinstance(error, Locked)
    rest = seconds
    if locked or not isinstance(error, Unavailable):  # else nobody is there to have news
        with contextlib.suppress(Exception):  # whatever it is, the pause is over in time
            await client.news(_LONGEST_PAUSE if locked else seconds)
            rest = _FIRST_PAUSE  # an authority that always has news must not drive us in circles
    await asyncio.sleep(max(0.0, began + rest - clock()))


async def _news(client: MemberClient, book: RuleBook | None) -> None:
    """Wait for news of the authority, or until the rules are others."""
    if book is None:
        await client.news(_RENEW_SECONDS)
        return
    news = asyncio.ensure_future(client.news(_RENEW_SECONDS))
    changed = asyncio.ensure_future(book.changed.wait())
    try:
        await asyncio.wait({news, changed}, return_when=asyncio.FIRST_COMPLETED)
        if news.done():
            news.result()
    finally:
        changed.cancel()
        news.cancel()
        await asyncio.gather(news, changed, return_exceptions=True)


def _tell(
    report: Report, log: structlog.stdlib.BoundLogger, waited: tuple[str, ...]
) -> tuple[str, ...]:
    """Log what a sync did, and whom it waits for if that is not what was `waited` for before."""
    if report.received or report.sent or report.acknowledged:
        log.info(
            "synced",
            received=report.received,
            sent=report.sent,
            acknowledged=report.acknowledged,
        )
    for problem in report.problems:
        log.warning("fault", error=problem, culprits=report.culprits)
    if report.waiting_for and report.waiting_for != waited:
        log.info("waiting", reason="; ".join(report.waiting_for))
    return report.waiting_for


def _tell_notices(profile: OpenProfile, log: structlog.stdlib.BoundLogger, told: int) -> int:
    """Log what a person will be told by the next command too; how many there are."""
    with profile.store.reading() as reader:
        lines = notices(reader)
    for line in lines[told:]:
        log.warning("notice", text=line)
    return len(lines)


def run(work: Awaitable[None]) -> None:
    """Run a daemon to its end; an interrupt is a clean stop."""

    async def whole() -> None:
        await work

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(whole())
