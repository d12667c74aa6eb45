"""Rules that devices keep by themselves: an authority that breaks them gets nothing signed or sent.

`docs/threat-model.md` lists all rules of the authority, and what it gains where only it keeps one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

from change_rig import join, remove, settle
from domain_rig import DomainRig
from evil import dump
from tigertally.base.errors import Refused
from tigertally.quorum.card import Role
from tigertally.quorum.chain import Chain, parse_chain
from tigertally.quorum.changes import JOIN, REQUESTER_JOIN


@contextmanager
def careless(rig: DomainRig, *kinds: str) -> Iterator[None]:
    """An authority that checks nothing of what is proposed."""
    executors = rig.services.quorum._executors
    with mock.patch.multiple(executors[kinds[0]], check=lambda *_: None):
        yield


# --- names -----------------------------------------------------------------------------------


@pytest.mark.requirement("C8")
@pytest.mark.parametrize(("role", "kind"), [(Role.HOLDER, JOIN), (Role.REQUESTER, REQUESTER_JOIN)])
def test_a_removed_holders_name_is_given_to_nobody_else(role: Role, kind: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await remove(rig, "h3", by=["h1", "h2"])
        before = dump(rig.disk)
        with pytest.raises(Refused, match="another member was called h3 before"):
            await rig.joining(rig.device("h3", role)).ask()
        assert dump(rig.disk) == before
        with careless(rig, kind):
            asked = await rig.joining(rig.device("h3", role)).ask()
            for name in ("h1", "h2"):
                with pytest.raises(Refused, match="another member was called h3 before"):
                    await rig.approve(name, asked.proposal.hex())
            assert (await rig.joining(rig.devices["h3"]).ask()).state == "waiting"

    rig.run(day())


def test_rosters_of_before_that_reuse_a_name_stay_valid() -> None:
    """The rule is for what is new: a chain that a domain already has is history."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await remove(rig, "h3", by=["h1", "h2"])
        with mock.patch.object(Chain, "check_new_names", Chain.check_names):  # as it was before
            await join(rig, "h3", by=["h1", "h2"])
        chain = rig.authority.chain
        assert parse_chain(chain.to_bytes(), rig.key.public).current == chain.current
        rig.start_authority()
        assert await rig.unlock_by("h1") == "ready"
        reports = await settle(rig, ["h1", "h2", "h3"], 1)
        assert [report.problems for report in reports] == [[], [], []]
        await remove(rig, "h3", by=["h1", "h2"])  # and it can be changed

    rig.run(day())
