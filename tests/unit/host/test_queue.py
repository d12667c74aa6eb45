"""Holders come first; nobody's queue holds up another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tigertally.host.queue import Queue
from tigertally.transport.door import Standing

HOLDER, REQUESTER, STRANGER = Standing.HOLDER, Standing.REQUESTER, Standing.STRANGER


def put(queue, standing, key, number):
    for index in range(number):
        queue.put((standing, key, index), standing=standing, key=key)


def test_holders_are_in_the_next_transaction_whoever_asked_before():
    queue = Queue()
    put(queue, STRANGER, b"x", 200)
    put(queue, REQUESTER, b"r", 200)
    put(queue, HOLDER, b"h", 3)
    batch = queue.take()
    assert batch[:3] == [(HOLDER, b"h", index) for index in range(3)]
    assert [one[0] for one in batch[3:]] == [REQUESTER] * 16 + [STRANGER] * 4
    assert len(queue) == 403 - len(batch)


def test_keys_take_turns():
    queue = Queue()
    put(queue, REQUESTER, b"greedy", 100)
    put(queue, REQUESTER, b"modest", 2)
    keys = [key for _, key, _ in queue.take()]
    assert keys[:4] == [b"greedy", b"modest"] * 2
    assert keys[4:] == [b"greedy"] * 12


def test_strangers_are_not_starved():
    queue = Queue()
    put(queue, HOLDER, b"h", 1000)
    put(queue, STRANGER, b"x", 1)
    assert (STRANGER, b"x", 0) in queue.take()


@given(st.lists(st.tuples(st.sampled_from(list(Standing)), st.sampled_from([b"a", b"b"]))))
def test_everything_comes_once_and_in_the_order_of_its_key(asked):
    queue = Queue()
    for place, (standing, key) in enumerate(asked):
        queue.put((standing, key, place), standing=standing, key=key)
    taken = []
    while queue:
        taken += queue.take()
    assert sorted(taken) == sorted((*one, place) for place, one in enumerate(asked))
    for whose in set(asked):
        places = [place for *who, place in taken if tuple(who) == whose]
        assert places == sorted(places)
    assert queue.take() == []
