"""The daemons of a domain: the authority's, and a holder's."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import structlog

from tigertally.base.clock import SystemClock
from tigertally.base.randomness import SystemRandomness
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.report import Report
from tigertally.custody.client.unattended import answer_by_rules
from tigertally.host.daemon import follow, say_ready, serve, stop_event, stoppable
from tigertally.node.connect import connected
from tigertally.node.profile import OpenProfile
from tigertally.node.rulebook import RuleBook
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.member.witness import notices

_RENEW_SECONDS = 900  # a daemon's receive keys are never older; the forward-secrecy window


async def run_authority(profile: OpenProfile, *, host: str, port: int, url: str) -> None:
    """The authority's whole life: it comes up locked, if it has a domain."""
    # Late, so that a holder's daemon does not load them.
    from tigertally.node.authority import Authority
    from tigertally.node.backup import forget_interrupted
    from tigertally.node.wiring import AuthorityServices

    def make() -> Authority:
        forget_interrupted(profile.info.path)
        return Authority(
            profile.plain_store,
            key=profile.signing_key,
            wrapping_key=profile.wrapping_key,
            services=AuthorityServices(),
            clock=SystemClock(),
            randomness=SystemRandomness(),
        )

    await serve(make, profile.signing_key, host=host, port=port, url=url)


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
        await stoppable(stop, lambda: follow_authority(holder, profile, log, book))
    log.info("stopped")


async def follow_authority(
    holder: Holder,
    profile: OpenProfile,
    log: structlog.stdlib.BoundLogger,
    book: RuleBook | None,
) -> None:
    """Sync whenever there is news, until cancelled; answer by the rules in the book, if any."""
    clock = asyncio.get_running_loop().time
    renewed = -float(_RENEW_SECONDS)
    told = 0
    waited: tuple[str, ...] = ()

    async def step() -> None:
        nonlocal renewed, told, waited
        renew = clock() - renewed >= _RENEW_SECONDS
        with profile.exclusive(doing="syncing"):
            synced, report = await holder.sync(renew=renew)
            if book is not None:
                book.changed.clear()
                book.tell(await answer_by_rules(holder, synced, book.rules, report))
        renewed = clock() if renew else renewed
        waited = _tell(report, log, waited)
        told = _tell_notices(profile, log, told)
        # In this step, not before it is done: let in to no long poll, it would sync all the time.
        await _news(holder.member, book)

    await follow(step, holder.member.news, log)


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
