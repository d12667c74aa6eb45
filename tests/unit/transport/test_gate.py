"""Rates, places in work and long polls: who stands low, or makes many keys, leaves room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import Unavailable
from tigertally.transport.door import Standing
from tigertally.transport.gate import Gate, GateLimits, Party

pytestmark = pytest.mark.requirement("C13")

HOLDER, REQUESTER, STRANGER = Standing.HOLDER, Standing.REQUESTER, Standing.STRANGER


def a_gate(
    *,
    rate=1000,
    requesters=1000,
    strangers=1000,
    address=1000,
    most=(32, 160, 256),
    polls=2,
    tracked=100,
):
    return Gate(
        GateLimits(
            rates={HOLDER: rate, REQUESTER: requesters, STRANGER: strangers},
            address_rate=address,
            most=dict(zip((STRANGER, REQUESTER, HOLDER), most, strict=True)),
            polls=polls,
            stranger_polls=3,
            tracked=tracked,
        )
    )


def party(key, standing=HOLDER, address="here"):
    return Party(key=key.encode(), standing=standing, address=address)


def as_many_as_let(gate, one):
    """How many requests of this party come in before one is refused."""
    count = 0
    try:
        while count < 1000:
            gate.enter(one)
            count += 1
    except Unavailable:
        pass
    return count


A, B, C = party("a"), party("b"), party("c")


def count_many(gate, one, *, now, number):
    for _ in range(number):
        gate.count(one, now=now)


def test_two_seconds_of_requests_at_once_and_no_more():
    gate = a_gate(rate=10)
    count_many(gate, A, now=0.0, number=20)
    with pytest.raises(Unavailable, match="per second"):
        gate.count(A, now=0.0)
    count_many(gate, B, now=0.0, number=20)


def test_requesters_ask_less_often_than_holders():
    gate = a_gate(rate=10, requesters=1)
    requester = party("r", REQUESTER)
    count_many(gate, requester, now=0.0, number=2)
    with pytest.raises(Unavailable, match="per second"):
        gate.count(requester, now=0.0)
    count_many(gate, party("r", HOLDER), now=0.0, number=20)


def test_tokens_come_back_at_the_rate_and_never_beyond_the_burst():
    gate = a_gate(rate=10)
    count_many(gate, A, now=0.0, number=20)
    count_many(gate, A, now=0.5, number=5)
    with pytest.raises(Unavailable):
        gate.count(A, now=0.5)
    count_many(gate, A, now=1000.0, number=20)
    with pytest.raises(Unavailable):
        gate.count(A, now=1000.0)


def test_strangers_have_a_rate_of_their_own_by_key_and_by_address():
    gate = a_gate(rate=1000, strangers=5, address=20)
    one, other = party("x", STRANGER), party("y", STRANGER)
    count_many(gate, one, now=0.0, number=10)
    with pytest.raises(Unavailable, match="per second"):
        gate.count(one, now=0.0)
    count_many(gate, other, now=0.0, number=10)
    for number in range(2):
        count_many(gate, party(f"fresh {number}", STRANGER), now=0.0, number=10)
    with pytest.raises(Unavailable, match="per second"):
        gate.count(party("fresh 3", STRANGER), now=0.0)
    gate.count(party("fresh 3", STRANGER, "elsewhere"), now=0.0)
    count_many(gate, A, now=0.0, number=100)  # a member at that address is not concerned


def test_a_refused_request_takes_no_token_of_its_address():
    gate = a_gate(strangers=1, address=5)
    greedy = party("x", STRANGER)
    count_many(gate, greedy, now=0.0, number=2)
    for _ in range(100):
        with pytest.raises(Unavailable):
            gate.count(greedy, now=0.0)
    count_many(gate, party("y", STRANGER), now=0.0, number=2)


def test_the_memory_of_strangers_is_bounded_and_keeps_no_member_out():
    gate = a_gate(strangers=1, tracked=10)
    for number in range(10):
        gate.count(party(f"{number}", STRANGER, f"{number}"), now=0.0)
    with pytest.raises(Unavailable, match="as many parties"):
        gate.count(party("x", STRANGER, "x"), now=0.5)  # none has a full bucket yet
    gate.count(A, now=0.5)
    gate.count(party("x", STRANGER, "x"), now=2.5)


def test_one_party_leaves_as_many_places_as_it_has():
    gate = a_gate()
    assert as_many_as_let(gate, A) == 128
    assert as_many_as_let(gate, B) == 64
    assert as_many_as_let(gate, C) == 32


def test_strangers_and_requesters_leave_places_to_holders():
    gate = a_gate()
    for number in range(40):
        as_many_as_let(gate, party(f"x{number}", STRANGER, f"{number}"))
    assert gate.open == 32
    for number in range(40):
        as_many_as_let(gate, party(f"r{number}", REQUESTER))
    assert gate.open == 160
    assert as_many_as_let(gate, A) == 48
    assert as_many_as_let(gate, B) == 24
    with pytest.raises(Unavailable, match="as it can"):
        gate.enter(party("new", REQUESTER))


def test_one_address_of_strangers_leaves_places_to_others():
    gate = a_gate()
    for number in range(40):
        as_many_as_let(gate, party(f"x{number}", STRANGER, "flood"))
    assert gate.open == 16
    assert as_many_as_let(gate, party("honest", STRANGER, "elsewhere")) == 8


def test_a_refused_request_is_not_open():
    gate = a_gate(most=(1, 1, 1))
    gate.enter(A)
    for one in (A, B, party("x", STRANGER)):
        with pytest.raises(Unavailable):
            gate.enter(one)
    assert gate.open == 1
    gate.leave(A)
    assert gate.open == 0
    gate.enter(party("x", STRANGER))


def test_a_long_poll_is_no_work():
    gate = a_gate(most=(1, 2, 2))
    for _ in range(2):
        gate.enter(A)
        gate.wait(A)
    assert (gate.open, gate.waiting) == (0, 2)
    gate.enter(A)
    with pytest.raises(Unavailable, match="long polls"):
        gate.wait(A)
    assert (gate.open, gate.waiting) == (1, 2)
    gate.leave(A)
    gate.done_waiting(A)
    gate.enter(A)
    gate.wait(A)


def test_long_polls_of_strangers_are_few_together():
    gate = a_gate()
    for number in range(3):
        one = party(f"x{number}", STRANGER)
        gate.enter(one)
        gate.wait(one)
    late = party("late", STRANGER)
    gate.enter(late)
    with pytest.raises(Unavailable):
        gate.wait(late)
    gate.enter(A)
    gate.wait(A)
    gate.done_waiting(party("x0", STRANGER))
    gate.wait(late)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Standing)), st.integers(0, 4), st.integers(0, 2)),
        max_size=80,
    )
)
def test_whoever_comes_next_finds_a_place(comes):
    """However many places are taken by others, a holder that has none gets one."""
    gate = a_gate(most=(4, 8, 16))
    inside = []
    for standing, key, address in comes:
        one = party(f"{standing}{key}", standing, f"{address}")
        try:
            gate.enter(one)
        except Unavailable:
            continue
        inside.append(one)
        assert gate.open == len(inside) <= 16
    holders = sum(one.standing is HOLDER for one in inside)
    assert len(inside) - holders <= 8
    if gate.open < 16:
        gate.enter(party("a new holder"))
        inside.append(party("a new holder"))
    for one in inside:
        gate.leave(one)
    assert gate.open == 0
