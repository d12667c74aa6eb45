"""How long a holder's daemon waits before it tries again, and what it says of it."""

from __future__ import annotations

from tigertally.base.errors import Locked, PeerFault, Unavailable
from tigertally.node.daemon import Pauses

AWAY = Unavailable("it does not answer")
LOCKED = Locked("the authority is locked")


def test_pauses_grow_while_the_authority_is_away():
    pauses = Pauses()
    assert [pauses.after(AWAY) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pauses.after(PeerFault("forked")) == 30


def test_a_locked_authority_is_asked_every_two_seconds():
    pauses = Pauses()
    assert [pauses.after(LOCKED) for _ in range(5)] == [0.5, 1, 2, 2, 2]


def test_pauses_are_short_at_once_when_it_is_back_but_locked():
    pauses = Pauses()
    for _ in range(8):
        pauses.after(AWAY)
    assert pauses.after(LOCKED) == 2


def test_a_reason_is_said_once():
    pauses = Pauses()
    told = [pauses.new(one) for one in (AWAY, AWAY, LOCKED, LOCKED, AWAY)]
    assert told == [True, False, True, False, True]
