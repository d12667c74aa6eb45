"""What `/metrics`, `/healthz` and `/readyz` say, and what they keep to themselves."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from change_rig import remove
from domain_rig import DomainRig
from tigertally.base.errors import TigertallyError
from tigertally.host.pages import Metrics, pages
from tigertally.quorum.card import Role
from tigertally.transport.counts import ServerCounts
from tigertally.transport.server import Page


async def numbers(rig: DomainRig) -> dict[str, float]:
    """A scrape by a collector that has never been here."""
    text = (await Metrics(rig.authority, ServerCounts()).page()).body.decode()
    assert "h1" not in text
    assert "payroll" not in text
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("tigertally_"): float(value) for name, value in lines}


def test_a_domain_from_its_first_day_to_a_restart() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        first = await numbers(rig)
        assert (first["holders"], first["locked"]) == (0, 0)
        assert math.isnan(first["quorum_margin"])
        assert math.isnan(first["pending_proposals"])
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        await rig.propose_key("ledger")
        now = await numbers(rig)
        assert (now["quorum_margin"], now["key_margin_least"]) == (1, 1)
        assert (now["pending_proposals"], now["old_fragments"]) == (1, 0)
        assert (now['keys{state="active"}'], now['keys{state="destroyed"}']) == (1, 0)
        assert (now['epochs{state="certified"}'], now['epochs{state="aborted"}']) == (1, 0)
        assert [now[f'holder_last_seen_timestamp_seconds{{holder="{i}"}}'] for i in (1, 2, 3)] == [
            rig.clock.time
        ] * 3
        assert now["unlock_failures_total"] == 0
        await remove(rig, "h3", by=["h1", "h2"])
        now = await numbers(rig)
        assert (now["quorum_margin"], now["key_margin_least"], now["old_fragments"]) == (0, 0, 1)
        assert now['keys{state="resharing"}'] == 1
        assert not any('holder="3"' in name for name in now)

        rig.start_authority()
        rig.device("eve", Role.HOLDER)
        with pytest.raises(TigertallyError):
            await rig.unlock_by("app")
        locked = await numbers(rig)
        assert (locked["locked"], locked["quorum_margin"]) == (1, 0)
        assert locked["unlock_failures_total"] == 1
        assert math.isnan(locked["key_margin_least"])
        assert math.isnan(locked['keys{state="active"}'])
        assert not any("last_seen" in name for name in locked)
        assert await rig.unlock_by("h2") == "ready"
        assert (await numbers(rig))["key_margin_least"] == 0

    rig.run(day())


def test_the_other_pages_and_a_scrape_that_comes_again_at_once() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        shown = pages(rig.authority)

        def page(path: str) -> Page:
            found = shown[path]()
            assert isinstance(found, Page)
            return found

        assert json.loads(page("/healthz").body) == {"alive": True}
        assert (page("/readyz").status, json.loads(page("/readyz").body)["state"]) == (
            503,
            "forming",
        )
        await rig.form(2)
        assert page("/readyz").status == 200
        counts = ServerCounts(refused=3, no_room=2)
        metrics = Metrics(rig.authority, counts)
        shown_to = await asyncio.gather(*(metrics.page() for _ in range(20)))
        assert len({id(one) for one in shown_to}) == 1, "many at once make us look once"
        assert await metrics.page() is shown_to[0], "it costs nothing"
        for what, number in (("request", 3), ("connection", 2), ("handshake", 0)):
            line = f'tigertally_turned_away_total{{what="{what}"}} {number}.0'
            assert line in shown_to[0].body.decode().splitlines()
        rig.start_authority()
        assert json.loads(pages(rig.authority)["/readyz"]().body)["state"] == "locked"  # type: ignore[union-attr]

    rig.run(day())
