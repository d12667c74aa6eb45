"""The authority's background task ends when it is told to, whatever happens at that moment."""

from __future__ import annotations

import asyncio

from domain_rig import DomainRig
from tigertally.node.authority import _CHILD


async def test_the_worker_ends_though_it_is_woken_at_the_same_moment():
    rig = DomainRig(threshold=2)
    worker = asyncio.create_task(rig.authority.work())
    await asyncio.sleep(0)
    rig.authority._wake[_CHILD].set()  # a request was answered …
    await asyncio.sleep(0)
    worker.cancel()  # … and the signal comes
    done, _ = await asyncio.wait({worker}, timeout=5)
    worker.cancel()
    assert done == {worker}
    assert worker.cancelled()
