"""An erasure is owed until a scrub has succeeded that began after it."""

from __future__ import annotations

import pytest

from store_kinds import KINDS, open_store
from tigertally.base.errors import Corrupt, Unavailable
from tigertally.storage import erasure
from tigertally.storage.erasure import OWED, owe, owed, pay, settle
from tigertally.storage.memory import MemoryStore

NOW = 1_800_000_000


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    opened = open_store(request.param, tmp_path / "store.db")
    yield opened
    opened.close()


def erase(store, now=NOW):
    with store.transaction() as tx:
        tx.delete("keys", b"secret")
        owe(tx, now=now)


def still(store):
    with store.reading() as reader:
        return owed(reader)


def test_nothing_is_owed_at_first_and_after_a_scrub(store):
    assert still(store) is None
    assert pay(store) is None
    erase(store)
    found = still(store)
    assert (found.since, found.last, found.count) == (NOW, NOW, 1)
    assert pay(store) is None
    assert still(store) is None


def test_many_are_one_row(store):
    for later in range(5):
        erase(store, NOW + later)
    found = still(store)
    assert (found.since, found.last, found.count) == (NOW, NOW + 4, 5)
    with store.reading() as reader:
        assert len(list(reader.scan(OWED))) == 1


def test_a_rolled_back_erasure_owes_nothing(store):
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        owe(tx, now=NOW)
        raise ZeroDivisionError
    assert still(store) is None


def test_what_was_erased_while_it_scrubbed_is_still_owed(store):
    erase(store)
    seen = still(store)
    erase(store, NOW + 5)
    erase(store, NOW + 9)
    with store.transaction() as tx:
        settle(tx, seen)
    found = still(store)
    assert (found.since, found.last, found.count) == (NOW, NOW + 9, 2)
    with store.transaction() as tx:
        settle(tx, found)
    assert still(store) is None


def test_an_equal_number_of_later_ones_is_not_mistaken_for_the_first(store):
    """Two processes scrub; the slower one began before the second erasure."""
    erase(store)
    slow = still(store)
    assert pay(store) is None
    erase(store)
    with store.transaction() as tx:
        settle(tx, slow)
    assert still(store) is not None


@pytest.mark.parametrize("fails", [False, Unavailable("the disk is full"), Corrupt("damaged")])
def test_what_a_scrub_could_not_do_stays_owed(fails):
    class Disk(MemoryStore):
        scrubs = 0

        def scrub(self):
            self.scrubs += 1
            if isinstance(fails, Exception):
                raise fails
            return fails

    disk = Disk()
    assert pay(disk) is None
    assert disk.scrubs == 0, "nothing is owed"
    erase(disk)
    assert pay(disk).count == 1
    assert pay(disk).count == 1
    assert disk.scrubs == 2
    assert still(disk) is not None


def test_a_damaged_row_owes_an_erasure_too(store):
    with store.transaction() as tx:
        tx.put(OWED, erasure._ROW, b"damaged")
    assert still(store).since == 0
    with store.transaction() as tx:
        owe(tx, now=NOW)
    assert still(store).since == 0, "nobody knows since when"
    assert pay(store) is None
    assert still(store) is None
