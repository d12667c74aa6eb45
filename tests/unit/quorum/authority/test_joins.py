"""Places for those who ask to join: whoever floods keeps out itself."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_rig import Device, DomainRig
from evil import dump
from tigertally.base.errors import Refused, Unavailable
from tigertally.base.ids import Name, ProposalId
from tigertally.base.limits import (
    JOIN_SECONDS,
    MAX_OPEN_PER_ADDRESS,
    MAX_OPEN_STRANGERS,
    MIN_PROPOSAL_SECONDS,
)
from tigertally.crypto.envelope import Envelope
from tigertally.quorum.authority.joins import Joins
from tigertally.quorum.card import Role, sign_card
from tigertally.quorum.changes import JOIN, REQUESTER_JOIN, join_body
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import sign_proposal
from twins import release_of

pytestmark = [pytest.mark.requirement("C8"), pytest.mark.requirement("X5")]


class Table:
    """The open requests, as the authority keeps them."""

    def __init__(self) -> None:
        self.joins = Joins()
        self.open: list[ProposalId] = []
        self.voted: set[ProposalId] = set()
        self.count = 0

    def ask(self, address: str, *, now: int = 0) -> ProposalId | None:
        """One more; who gave way to it."""
        leaving = self.joins.leaving(
            self.open, address, now=now, unanswered=lambda id_: id_ not in self.voted
        )
        if leaving is not None:
            self.open.remove(leaving)
        self.count += 1
        self.open.append(ProposalId(self.count.to_bytes(32, "big")))
        self.joins.add(self.open[-1], address, now=now)
        return leaving

    def refused(self, address: str, *, now: int = 0) -> bool:
        before = list(self.open)
        try:
            self.ask(address, now=now)
        except Unavailable:
            assert self.open == before
            return True
        return False

    def numbers(self) -> list[int]:
        return [int.from_bytes(id_, "big") for id_ in self.open]


def test_one_address_has_few_and_others_are_let_in():
    table = Table()
    for _ in range(MAX_OPEN_PER_ADDRESS):
        assert table.ask("flood") is None
    assert table.refused("flood", now=JOIN_SECONDS - 1)
    assert table.ask("elsewhere") is None


def test_after_its_time_an_unanswered_request_gives_way():
    table = Table()
    for number in range(MAX_OPEN_PER_ADDRESS):
        table.ask("here", now=number)
    table.voted.add(table.open[0])
    assert table.refused("here", now=JOIN_SECONDS)
    assert table.ask("here", now=JOIN_SECONDS + 1)
    assert table.numbers() == [1, *range(3, MAX_OPEN_PER_ADDRESS + 2)]


def test_when_all_is_taken_the_greediest_address_loses_one():
    table = Table()
    for number in range(MAX_OPEN_STRANGERS):
        table.ask(f"flood {number // MAX_OPEN_PER_ADDRESS}")
    assert table.ask("honest") is not None
    assert table.ask("honest") is not None
    assert len(table.open) == MAX_OPEN_STRANGERS
    assert table.refused("flood 1", now=1), "its part is as large as any"


def test_where_all_have_the_same_only_time_helps():
    table = Table()
    for number in range(MAX_OPEN_STRANGERS):
        table.ask(f"{number}", now=number)
    assert table.refused("new", now=JOIN_SECONDS - 1)
    assert table.ask("new", now=JOIN_SECONDS) is not None
    assert table.numbers()[0] == 2


def test_what_was_open_before_a_restart_is_old():
    table = Table()
    for _ in range(MAX_OPEN_STRANGERS):
        table.ask("")
    table.joins = Joins()
    assert table.ask("new", now=JOIN_SECONDS) is not None


def test_what_is_answered_takes_no_room():
    table = Table()
    for _ in range(MAX_OPEN_PER_ADDRESS):
        table.ask("here")
    del table.open[3]
    assert table.ask("here") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), max_size=300))
def test_a_first_request_of_an_address_is_let_in_unless_all_addresses_are_modest(asks):
    table = Table()
    now = 0
    for address, wait in asks:
        now += wait
        table.refused(address, now=now)
        assert len(table.open) <= MAX_OPEN_STRANGERS
    assert not table.refused("new", now=now)


def test_a_flood_keeps_no_honest_device_out():
    """The whole way: whoever gave way hears of it, and asks again by itself."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        flood = []
        for number in range(MAX_OPEN_STRANGERS):
            device = rig.device(f"x{number}", Role.HOLDER)
            rig.network.connect(f"x{number}", key=device.key.public, address=f"{number // 10}")
            flood.append(await rig.joining(device).ask())
            rig.clock.time += 1
        honest = rig.device("honest", Role.HOLDER)
        rig.network.connect("honest", key=honest.key.public, address="office")
        assert (await rig.joining(honest).ask()).state == "waiting"
        entries = len(rig.disk._tables["audit"])
        gone = rig.joining(rig.devices["x0"])
        state = await gone._member.proposal(flood[0].proposal)
        assert state.status is Status.VOID
        assert "gave way" in state.why
        with pytest.raises(Unavailable, match="too many devices"):
            await gone.ask()  # its address has nine others, as many as anybody's
        assert len(rig.disk._tables["audit"]) == entries

    rig.run(day())


@pytest.mark.parametrize("role", [Role.HOLDER, Role.REQUESTER])
def test_a_proposal_that_soon_expires_takes_no_place_and_leaves_no_trace(role: Role) -> None:
    """Else its place is free again at once, and the log grows for as long as somebody likes."""
    rig = DomainRig(threshold=2)

    def handed_in(device: Device, seconds: int) -> Awaitable[ProposalState]:
        client, roster = MemberClient(device.party), rig.authority.chain.current
        card = sign_card(device.key, device.wrapping_key.public, name=Name(device.name), role=role)
        kind = JOIN if role is Role.HOLDER else REQUESTER_JOIN
        return client.propose(client.new_proposal(kind, join_body(card), roster, lifetime=seconds))

    async def day() -> None:
        await rig.form(2)
        await rig.sync("h1")
        before = dump(rig.disk)
        for seconds in (1, MIN_PROPOSAL_SECONDS - 1):
            with pytest.raises(Refused, match="stands for 10 minutes at least"):
                await handed_in(rig.device("hasty", role), seconds)
        assert dump(rig.disk) == before
        state = await handed_in(rig.device("patient", role), MIN_PROPOSAL_SECONDS)
        assert state.status is Status.PENDING

    rig.run(day())


def test_a_requester_fills_no_disk_with_short_requests_either() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        await rig.create("payroll")
        app = rig.devices["app"]
        roster = rig.authority.chain.current

        def asked(seconds: int) -> Envelope:
            now = rig.clock.now()
            made = release_of(app.key, app.wrapping_key, roster, now=now, lifetime=seconds)
            return sign_proposal(app.key, made)

        before = dump(rig.disk)
        with pytest.raises(Refused, match="stands for 10 minutes at least"):
            await rig.asker("app").member.propose(asked(1))
        assert dump(rig.disk) == before
        state = await rig.asker("app").member.propose(asked(MIN_PROPOSAL_SECONDS))
        assert state.status is Status.PENDING

    rig.run(day())
