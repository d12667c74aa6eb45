"""From a profile to a member's clients: the one place where a device's parts are put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from tigertally.base.errors import Unavailable, UsageError
from tigertally.base.ids import Fingerprint
from tigertally.base.randomness import SystemRandomness
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.node.clock import SystemClock
from tigertally.node.kinds import all_kinds
from tigertally.node.profile import OpenProfile
from tigertally.quorum.client import MemberClient, Party
from tigertally.quorum.joining import fetch_domain
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
    async with HttpChannel(url, profile.signing_key, VerifyKey(key)) as channel:
        yield party_of(profile, channel)


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
    async with HttpChannel(url, profile.signing_key, fingerprint) as channel:
        key = await channel.connect()
        if known is not None and known != bytes(key):
            raise UsageError(
                f"profile {profile.info.profile} belongs to another domain: use another profile"
            )
        profile.put_settings(url=url, authority=bytes(key))
        yield party_of(profile, channel), key


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
