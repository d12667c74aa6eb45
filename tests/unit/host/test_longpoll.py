"""Long polls: woken by news, at the end of their time, and when the authority stops."""

from __future__ import annotations

import asyncio

from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.signatures import SigningKey
from tigertally.host.longpoll import News

KEY = SigningKey.generate(SeededRandomness("news")).public
OTHER = SigningKey.generate(SeededRandomness("other news")).public


async def test_news_wake_whom_they_concern():
    news = News()
    mine = asyncio.create_task(news.after(KEY, 1, 60.0))
    others = asyncio.create_task(news.after(OTHER, 1, 60.0))
    await asyncio.sleep(0)
    news.wake([KEY])
    assert await mine == 2
    assert not others.done()
    others.cancel()


async def test_old_news_are_told_at_once():
    news = News()
    news.wake([KEY])
    assert await news.after(KEY, 1, 60.0) == 2


async def test_without_news_the_wait_ends_in_time():
    assert await News().after(KEY, 1, 0.001) == 1


async def test_at_the_end_nobody_waits():
    news = News()
    waiting = asyncio.create_task(news.after(KEY, 1, 60.0))
    await asyncio.sleep(0)
    news.end()
    assert await waiting == 1
    assert await news.after(OTHER, 1, 60.0) == 1
