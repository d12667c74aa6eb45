"""A domain with more history than fits one answer: all of it is listed and audited all the same."""

from __future__ import annotations

import pytest

from domain_rig import DomainRig
from tigertally.quorum.member import audit, client


@pytest.mark.requirement("X1")
@pytest.mark.requirement("X5")
@pytest.mark.parametrize("seconds", [0, 1])  # apart: several in one second, or one in each
def test_every_tally_is_listed_and_every_checkpoint_compared(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(client, "_TALLY_PAGE", 2)
    monkeypatch.setattr(audit, "_PROVEN_AT_ONCE", 1)
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        for number in range(4):
            rig.clock.time += seconds
            await rig.release("app", "payroll", by=["h1", "h2"], reason=f"day {number}")
        holder, app = rig.holder("h3"), rig.asker("app")
        seen = await holder.member.tallies(0)
        assert len({one.id for one in seen}) == len(seen) == 2 + 1 + 1 + 4  # joins, app, key
        own = " ".join(str(one.quotes) for one in await app.member.tallies(0))
        assert all(f"day {number}" in own for number in range(4))
        assert (await rig.audit("h3").report()).cosigned_by == ("h1", "h2")

    rig.run(day())
