"""The main job, with the real parties on a network in memory."""

from __future__ import annotations

import pytest

from domain_rig import DomainRig
from tigertally.custody.messages.kinds import Form, Suite


@pytest.mark.requirement("C1")
@pytest.mark.parametrize("suite", list(Suite))
def test_a_key_is_made_released_and_is_the_same_twice(suite: Suite) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        first = await rig.release("app", "payroll", by=["h1", "h2", "h3"])
        rig.start_authority()
        assert rig.authority.locked
        assert await rig.unlock_by("h4") == "ready"
        second = await rig.release("app", "payroll", by=["h5", "h4", "h2"], reason="again")
        final = await rig.release("app", "payroll", by=["h5", "h4", "h2"], form=Form.FINAL)
        assert first.secret.matches(second.secret)
        assert not final.secret.matches(second.secret)
        assert first.approved_by == ("h1", "h2", "h3")
        assert len(first.secret) == 32

    rig.run(day())
