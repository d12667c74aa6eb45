"""Hours pass in no time, threads are waited for, and a deadlock is an error."""

from __future__ import annotations

import asyncio
import time

import pytest

from tigertally.transport.virtual_time import Stuck, VirtualClock, run


def test_sleepers_wake_in_the_order_of_their_times():
    woken = []

    async def sleeper(seconds):
        await asyncio.sleep(seconds)
        woken.append((seconds, asyncio.get_running_loop().time()))

    async def main():
        await asyncio.gather(*(sleeper(s) for s in (86_400 * 30.0, 3600.0, 0.25, 7200.0)))

    run(main())
    assert woken == [(s, pytest.approx(s)) for s in (0.25, 3600.0, 7200.0, 86_400 * 30.0)]


def test_a_timeout_is_virtual_too():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(25):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(25)


def test_the_clock_stands_still_while_a_thread_works():
    async def main():
        async with asyncio.timeout(1):
            return await asyncio.to_thread(lambda: time.sleep(0.02) or "done")

    assert run(main()) == "done"


def test_the_clock_stands_still_while_a_timer_is_due_and_a_thread_works():
    async def main():
        thread = asyncio.create_task(asyncio.to_thread(time.sleep, 0.02))
        sleeper = asyncio.create_task(asyncio.sleep(5))
        first, _ = await asyncio.wait({thread, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        await sleeper
        return first == {thread}

    assert run(main())


def test_a_deadlock_is_an_error_and_not_a_hang():
    async def main():
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        run(main())


def test_the_clock_follows_the_loop():
    async def main():
        clock = VirtualClock(start=1000)
        before = clock.now()
        await asyncio.sleep(90)
        return before, clock.now()

    assert run(main()) == (1000, 1090)
