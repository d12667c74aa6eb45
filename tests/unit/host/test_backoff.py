"""How long a holder's daemon waits before it tries again, and what it says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from tigertally.base.errors import Locked, PeerFault, Refused, TigertallyError, Unavailable
from tigertally.host.daemon import Backoff, _pause
from tigertally.transport import virtual_time

AWAY = Unavailable("it does not answer")
LOCKED = Locked("the authority is locked")
FORKED = PeerFault("forked")
REMOVED = Refused("this device is not a holder of the domain")


def test_pauses_grow_while_the_authority_is_away():
    backoff = Backoff()
    assert [backoff.after(AWAY) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(FORKED) == 30
    assert backoff.after(REMOVED) > 30, "only people change that"


def test_a_reason_is_said_once():
    backoff = Backoff()
    told = [backoff.new(one) for one in (AWAY, AWAY, LOCKED, LOCKED, AWAY)]
    assert told == [True, False, True, False, True]


class Polled:
    """A client whose long polls end after so many seconds, or with an error."""

    def __init__(self, after: float | TigertallyError) -> None:
        self.after = after
        self.asked: list[float] = []

    async def news(self, wait: float) -> None:
        self.asked.append(wait)
        if isinstance(self.after, TigertallyError):
            raise self.after
        await asyncio.sleep(min(self.after, wait))


def paused(client: Polled, error: TigertallyError, times: int) -> list[float]:
    """How long each of these pauses lasted."""

    async def day() -> list[float]:
        backoff, found = Backoff(), []
        clock = asyncio.get_running_loop().time
        for _ in range(times):
            began = clock()
            wait: Awaitable[None] = _pause(client.news, backoff, error)
            await wait
            found.append(clock() - began)
        return found

    return virtual_time.run(day())


@pytest.mark.parametrize(
    ("client", "error", "pauses"),
    [
        (Polled(AWAY), AWAY, [0.5, 1, 2, 4, 8, 16, 30]),  # nobody answers: time is all there is
        (Polled(AWAY), LOCKED, [0.5, 1, 2]),
        (Polled(1000), LOCKED, [30, 30, 30]),  # one poll, however long nobody unlocks it
        (Polled(7), LOCKED, [7, 7, 7]),  # it is unlocked
        (Polled(0), LOCKED, [0.5, 0.5, 0.5]),  # one that always has news drives nobody in circles
        (Polled(1000), FORKED, [0.5, 1, 2, 4]),
        (Polled(3), FORKED, [0.5, 1, 2, 3, 3]),
    ],
)
def test_a_pause_ends_with_news_where_somebody_answers(client, error, pauses):
    client.asked.clear()
    assert paused(client, error, len(pauses)) == pauses
    assert len(client.asked) == (0 if error is AWAY else len(pauses))
