"""Places for those who ask to join: whoever floods keeps out itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_rig import DomainRig
from tigertally.base.errors import Unavailable
from tigertally.base.ids import ProposalId
from tigertally.base.limits import JOIN_SECONDS, MAX_OPEN_PER_ADDRESS, MAX_OPEN_STRANGERS
from tigertally.quorum.card import Role
from tigertally.quorum.joins import Joins
from tigertally.quorum.pending import Status

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
