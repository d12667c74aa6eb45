"""Token buckets and open requests, one party beside the other."""

from __future__ import annotations

import pytest

from tigertally.base.errors import Unavailable
from tigertally.transport.gate import Gate

A, B, C = b"a", b"b", b"c"


def a_gate(*, rate=10, max_open=100, each=100, parties=100):
    return Gate(rate=rate, max_open=max_open, max_open_per_party=each, max_parties=parties)


def pass_through(gate, name, *, now, count):
    for _ in range(count):
        gate.enter(name, now=now)
        gate.leave(name)


def test_one_second_of_requests_at_once_and_no_more():
    gate = a_gate(rate=10)
    pass_through(gate, A, now=0.0, count=10)
    with pytest.raises(Unavailable, match="per second"):
        gate.enter(A, now=0.0)


def test_tokens_come_back_at_the_rate_and_never_beyond_the_burst():
    gate = a_gate(rate=10)
    pass_through(gate, A, now=0.0, count=10)
    pass_through(gate, A, now=0.5, count=5)
    with pytest.raises(Unavailable):
        gate.enter(A, now=0.5)
    pass_through(gate, A, now=1000.0, count=10)
    with pytest.raises(Unavailable):
        gate.enter(A, now=1000.0)


def test_a_party_that_asks_too_much_does_not_slow_another():
    gate = a_gate(rate=1)
    pass_through(gate, A, now=0.0, count=1)
    with pytest.raises(Unavailable):
        gate.enter(A, now=0.0)
    pass_through(gate, B, now=0.0, count=1)


def test_a_refused_request_is_not_open():
    gate = a_gate(rate=1)
    gate.enter(A, now=0.0)
    with pytest.raises(Unavailable):
        gate.enter(A, now=0.0)
    assert gate.open == 1
    gate.leave(A)
    assert gate.open == 0


def test_one_party_cannot_hold_all_places():
    gate = a_gate(max_open=3, each=2)
    gate.enter(A, now=0.0)
    gate.enter(A, now=0.0)
    with pytest.raises(Unavailable, match="of one party"):
        gate.enter(A, now=0.0)
    gate.enter(B, now=0.0)
    with pytest.raises(Unavailable, match="as many requests"):
        gate.enter(C, now=0.0)
    gate.leave(A)
    gate.enter(C, now=0.0)


def test_the_memory_of_parties_is_bounded_and_forgets_only_the_idle():
    gate = a_gate(rate=10, parties=2)
    gate.enter(A, now=0.0)  # stays open
    pass_through(gate, B, now=0.0, count=1)
    with pytest.raises(Unavailable, match="as many parties"):
        gate.enter(C, now=0.5)  # neither may be forgotten yet
    pass_through(gate, C, now=1.5, count=1)  # B has a full bucket again
    gate.leave(A)
