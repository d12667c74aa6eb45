"""From a profile to a member's clients: the one place where a device's parts are put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from tigertally.base.clock import SystemClock, time_text
from tigertally.base.errors import Unavailable, UsageError, WrongTime
from tigertally.base.ids import Fingerprint
from tigertally.base.limits import CLOCK_SKEW
from tigertally.base.randomness import SystemRandomness
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.node.kinds import all_kinds
from tigertally.node.profile import OpenProfile
from tigertally.quorum.member.client import MemberClient, Party
from tigertally.quorum.member.join import fetch_domain
from tigertally.quorum.messages import DomainInfo
from tigertally.transport.client import HttpChannel

T = TypeVar("T")

URL = "url"
AUTHORITY = "authority"


def party_of(profile: OpenProfile, channel: HttpChannel) -> Party:
    """A member's keys, store and way to the authority."""
    return Party(
        key=profile.signing_key,
        wrapping_key=profile.wrapping_key,
        store=profile.store,
        channel=channel,
        clock=SystemClock(),
        randomness=SystemRandomness(),
        kinds=all_kinds(),
    )


def channel_to(profile: OpenProfile, url: str, key: VerifyKey | Fingerprint) -> HttpChannel:
    """Return a profile's way to the party with this key at a URL; a context that closes it."""
    return HttpChannel(url, profile.signing_key, key)


@asynccontextmanager
async def connected(profile: OpenProfile) -> AsyncIterator[Party]:
    """A profile's party, on a connection to the authority it enrolled with.

    Raises:
        UsageError: the profile has never begun to enrol.
    """
    settings = profile.settings()
    url, key = settings.get(URL), settings.get(AUTHORITY)
    if not isinstance(url, str) or not isinstance(key, bytes):
        raise UsageError(f"profile {profile.info.profile} has not enrolled with an authority yet")
    async with channel_to(profile, url, VerifyKey(key)) as channel:
        party = party_of(profile, channel)
        with _telling_clocks(party, channel):
            yield party


@asynccontextmanager
async def introduced(
    profile: OpenProfile, url: str, fingerprint: Fingerprint
) -> AsyncIterator[tuple[Party, VerifyKey]]:
    """First contact: check the authority's fingerprint before anything is sent, remember its key.

    Raises:
        InvalidSignature: another server answers there.
        UsageError: the profile belongs to another domain already.
    """
    known = profile.settings().get(AUTHORITY)
    async with channel_to(profile, url, fingerprint) as channel:
        key = await channel.connect()
        if known is not None and known != bytes(key):
            raise UsageError(
                f"profile {profile.info.profile} belongs to another domain: use another profile"
            )
        profile.put_settings(url=url, authority=bytes(key))
        party = party_of(profile, channel)
        with _telling_clocks(party, channel):
            yield party, key


@contextmanager
def _telling_clocks(party: Party, channel: HttpChannel) -> Iterator[None]:
    """Where something is over, or not yet: say it if this device's clock is not the authority's.

    The authority's time is its word: nothing is decided by it, a person is told both.
    """
    try:
        yield
    except WrongTime as error:
        theirs, ours = channel.server_time, party.clock.now()
        if theirs is not None and abs(theirs - ours) > CLOCK_SKEW:
            error.add_note(
                f"this device's clock says {time_text(ours)}, the authority's "
                f"{time_text(theirs)}: set right whichever is wrong, then try again"
            )
        raise


async def look_up(url: str, fingerprint: Fingerprint) -> DomainInfo:
    """What anybody may know of the authority at `url`; with a key of no meaning."""
    stranger = SigningKey.generate(SystemRandomness())
    async with HttpChannel(url, stranger, fingerprint) as channel:
        await channel.connect()
        return await fetch_domain(channel, fingerprint)


async def until(
    client: MemberClient, step: Callable[[], Awaitable[T | None]], *, wait: float
) -> T | None:
    """Repeat a step at every piece of news until it gives something or time is up.

    Returns:
        What the step gave, or None after `wait` seconds (0: one step).
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        result = await step()
        left = deadline - loop.time()
        if result is not None or left <= 0:
            return result
        try:
            await client.news(left)
        except Unavailable:
            await asyncio.sleep(min(1.0, max(0.0, deadline - loop.time())))
