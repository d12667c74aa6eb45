"""Proposing a change of the roster: a vote that is given is never lost with its proposal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from domain_rig import DomainRig
from tigertally.base.clock import Clock
from tigertally.base.errors import Refused
from tigertally.base.ids import Name
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.member.roster_changes import RosterChanges
from tigertally.quorum.pending import Status

BODY = remove_body(Name("h4"))


@dataclass
class Ahead:
    """A device's clock that is an hour ahead of the authority's."""

    clock: Clock

    def now(self) -> int:
        return self.clock.now() + 3600


def full_tables(rig: DomainRig) -> dict[str, dict[str, object]]:
    """What is on every disk; a table that was emptied counts as none."""
    return {
        name: {table: rows for table, rows in disk.items() if rows}
        for name, disk in rig.snapshot().items()
    }


@pytest.mark.requirement("C9")
def test_a_clock_that_is_ahead_costs_an_hour_and_no_vote():
    rig = DomainRig()

    async def day():
        await rig.form(4)
        party = rig.devices["h1"].party
        ahead = RosterChanges(MemberClient(replace(party, clock=Ahead(party.clock))))
        for _ in range(2):
            with pytest.raises(Refused, match="check both clocks"):
                await ahead.propose_or_resume(REMOVE, BODY, await ahead.member.sync())
        client = RosterChanges(MemberClient(party))
        with pytest.raises(Refused, match="check both clocks"):
            await client.propose_or_resume(REMOVE, BODY, await client.member.sync())
        rig.clock.time += 3600
        id_ = await client.propose_or_resume(REMOVE, BODY, await client.member.sync())
        state = await client.member.proposal(id_)
        assert (state.status, len(state.approvals)) == (Status.PENDING, 1)

    rig.run(day())


@pytest.mark.requirement("C9")
def test_what_is_refused_before_the_vote_is_forgotten():
    rig = DomainRig()

    async def day():
        await rig.form(3)
        client = RosterChanges(rig.holder("h1").member)
        synced = await client.member.sync()
        before = full_tables(rig)
        with pytest.raises(Refused, match="no vote on its own removal"):
            await client.propose_or_resume(REMOVE, remove_body(Name("h1")), synced)
        assert full_tables(rig) == before

    rig.run(day())
