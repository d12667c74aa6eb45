"""Answers kept for retries: once executed, bounded, each party for itself."""

from __future__ import annotations

import asyncio

import pytest

from tigertally.base.errors import UsageError
from tigertally.transport.answers import Answer
from tigertally.transport.replay import ENTRY_BYTES, ReplayStore

A, B = b"a", b"b"
DIGEST = b"digest"
OK = Answer(200, b"done")


def a_store(*, seconds=60.0, each=100, bytes_each=100_000, all_bytes=1_000_000):
    return ReplayStore(
        seconds=seconds, max_each=each, max_bytes_each=bytes_each, max_bytes=all_bytes
    )


def settled(store, party, key, *, now=0.0, answer=OK):
    execution, new = store.begin(party, key, DIGEST, now=now)
    assert new
    store.settle(execution, answer)
    return execution


async def test_a_repeated_key_is_not_new_and_has_the_same_answer():
    store = a_store()
    settled(store, A, b"1")
    execution, new = store.begin(A, b"1", DIGEST, now=1.0)
    assert not new
    assert await execution.wait() == OK


async def test_a_repetition_during_the_work_waits_for_it():
    store = a_store()
    first, _ = store.begin(A, b"1", DIGEST, now=0.0)
    again, new = store.begin(A, b"1", DIGEST, now=0.0)
    waiting = asyncio.create_task(again.wait())
    await asyncio.sleep(0)
    assert not new
    assert not waiting.done()
    store.settle(first, OK)
    assert await waiting == OK


async def test_a_waiter_that_gave_up_does_not_disturb_the_others():
    store = a_store()
    first, _ = store.begin(A, b"1", DIGEST, now=0.0)
    gone, waiting = (asyncio.create_task(first.wait()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    store.settle(first, OK)
    assert await waiting == OK


def test_a_key_is_for_one_body():
    store = a_store()
    settled(store, A, b"1")
    with pytest.raises(UsageError):
        store.begin(A, b"1", b"another digest", now=0.0)


def test_a_key_belongs_to_its_party():
    store = a_store()
    settled(store, A, b"1")
    _, new = store.begin(B, b"1", DIGEST, now=0.0)
    assert new


def test_after_the_window_it_is_new_again():
    store = a_store(seconds=60.0)
    settled(store, A, b"1", now=0.0)
    _, early = store.begin(A, b"1", DIGEST, now=59.0)
    _, late = store.begin(A, b"1", DIGEST, now=60.0)
    assert (early, late) == (False, True)


async def test_what_was_not_carried_out_is_told_and_forgotten():
    store = a_store()
    first, _ = store.begin(A, b"1", DIGEST, now=0.0)
    waiting = asyncio.create_task(first.wait())
    await asyncio.sleep(0)
    store.forget(first, Answer(503, b"stopping"))
    assert await waiting == Answer(503, b"stopping")
    assert (len(store), store.size) == (0, 0)


TEN = 10 * (ENTRY_BYTES + 4)


@pytest.mark.parametrize("bound", [{"each": 10}, {"bytes_each": TEN}, {"all_bytes": TEN}])
def test_number_and_bytes_are_bounded_and_the_oldest_go_first(bound):
    store = a_store(**bound)
    for number in range(100):
        settled(store, A, b"%d" % number)
        assert len(store) <= 11  # a bound of bytes is enforced before the next one
    _, newest = store.begin(A, b"99", DIGEST, now=0.0)
    _, oldest = store.begin(A, b"0", DIGEST, now=0.0)
    assert (newest, oldest) == (False, True)


def test_who_keeps_most_loses_first():
    store = a_store(all_bytes=3 * ENTRY_BYTES + 100)
    settled(store, B, b"small")
    settled(store, A, b"large", answer=Answer(200, bytes(90)))
    settled(store, A, b"more", answer=Answer(200, bytes(9)))
    assert store.begin(B, b"small", DIGEST, now=0.0)[1] is False
    assert store.begin(A, b"large", DIGEST, now=0.0)[1] is True


def test_an_answer_that_comes_after_its_entry_was_dropped_costs_no_memory():
    store = a_store(each=1)
    first, _ = store.begin(A, b"1", DIGEST, now=0.0)
    settled(store, A, b"2")
    store.settle(first, Answer(200, bytes(900)))
    store.sweep(now=1000.0)
    assert (len(store), store.size) == (0, 0)
    for number in range(20):
        settled(store, A, b"n%d" % number, now=1000.0)
        assert store.begin(A, b"n%d" % number, DIGEST, now=1000.0)[1] is False


def test_a_party_without_answers_is_forgotten():
    store = a_store(seconds=60.0, all_bytes=10 * ENTRY_BYTES)
    for number in range(1000):
        settled(store, b"party %d" % number, b"1", now=0.0)
    assert len(store._parties) <= 10
    assert store.size <= 10 * ENTRY_BYTES


def test_a_sweep_drops_what_is_old_of_everybody():
    store = a_store(seconds=60.0)
    settled(store, A, b"1", now=0.0)
    settled(store, B, b"1", now=30.0)
    store.sweep(now=61.0)
    assert len(store) == 1
    assert store.begin(B, b"1", DIGEST, now=61.0)[1] is False
