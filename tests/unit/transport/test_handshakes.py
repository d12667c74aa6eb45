"""Handshakes of an address: a flood from one is closed at once, a holder's address never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tigertally.transport.door import Standing
from tigertally.transport.handshakes import Handshakes

pytestmark = pytest.mark.requirement("C13")

HOLDER, REQUESTER, STRANGER = Standing.HOLDER, Standing.REQUESTER, Standing.STRANGER


LONG_AGO = -1000.0


def some(*, burst=5, rate=1.0, tracked=10, all_until=LONG_AGO):
    return Handshakes(burst=burst, rate=rate, tracked=tracked, all_until=all_until)


def shake(handshakes, address, standing=STRANGER, *, now=0.0, number=1):
    for _ in range(number):
        handshakes.done(address, standing, now=now)


@pytest.mark.parametrize("brings", [STRANGER, None])
def test_an_address_of_strangers_has_few_and_gets_them_back(brings):
    handshakes = some()
    shake(handshakes, "here", brings, number=4)
    assert handshakes.allowed("here", now=0.0)
    shake(handshakes, "here", brings)
    assert not handshakes.allowed("here", now=0.9)
    assert handshakes.allowed("here", now=1.0)
    assert handshakes.allowed("elsewhere", now=0.0)


def test_what_was_let_in_meanwhile_makes_no_debt():
    handshakes = some()
    shake(handshakes, "here", number=100)
    assert handshakes.allowed("here", now=1.0)


def test_members_cost_nothing():
    handshakes = some()
    for standing in (HOLDER, REQUESTER):
        shake(handshakes, f"{standing}", standing, number=100)
        assert handshakes.allowed(f"{standing}", now=0.0)


def test_where_a_holder_has_come_from_nothing_is_closed():
    handshakes = some()
    shake(handshakes, "here", HOLDER)
    shake(handshakes, "here", number=100)
    assert handshakes.allowed("here", now=3599.0)
    shake(handshakes, "here", number=100, now=3600.0)
    assert not handshakes.allowed("here", now=3600.0)


def test_a_server_that_has_just_started_knows_no_holders_address_and_closes_nothing():
    handshakes = some(all_until=60.0)
    shake(handshakes, "here", number=100, now=59.0)
    assert handshakes.allowed("here", now=59.9)
    shake(handshakes, "here", number=100, now=61.0)
    assert not handshakes.allowed("here", now=61.0)
    assert handshakes.allowed("elsewhere", now=61.0)


def test_a_requester_does_not_open_its_address():
    handshakes = some()
    shake(handshakes, "here", REQUESTER)
    shake(handshakes, "here", number=5)
    assert not handshakes.allowed("here", now=0.0)


def test_the_table_forgets_holders_last():
    handshakes = some(tracked=3)
    shake(handshakes, "holder", HOLDER)
    for number in range(100):
        shake(handshakes, f"{number}")
    assert len(handshakes._addresses) == 3
    shake(handshakes, "holder", number=100)
    assert handshakes.allowed("holder", now=0.0)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([*Standing, None]), st.floats(0, 9))))
def test_the_table_is_bounded(events):
    handshakes, now = some(tracked=4), 0.0
    for address, standing, wait in events:
        now += wait
        handshakes.done(f"{address}", standing, now=now)
        assert len(handshakes._addresses) <= 4
