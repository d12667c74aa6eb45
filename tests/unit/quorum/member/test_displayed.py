"""The beginning of an id stands only for what this device has displayed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tigertally.base.errors import UsageError
from tigertally.base.ids import ProposalId
from tigertally.quorum.member.displayed import (
    DISPLAYED,
    displayed_as,
    parse_beginning,
    remember_displayed,
)
from tigertally.storage.memory import MemoryStore

NOW = 1_800_000_000
DAY = 24 * 3600


@dataclass
class Seen:
    """As much of a proposal as is remembered."""

    id: ProposalId
    expires: int = NOW + DAY

    @property
    def proposal(self):
        return self


def id_of(start, end=0):
    raw = bytes.fromhex(start)
    return ProposalId(raw + bytes(31 - len(raw)) + bytes([end]))


A, TWIN, OTHER = id_of("3f2a81bc00", 1), id_of("3f2a81bc00", 2), id_of("3f2a81bd")


@pytest.fixture
def store():
    return MemoryStore()


def show(store, *seen, now=NOW):
    with store.transaction() as tx:
        remember_displayed(tx, seen, now=now)


def find(store, text, now=NOW):
    with store.reading() as reader:
        return displayed_as(reader, parse_beginning(text), now=now)


def test_a_beginning_finds_what_was_displayed_and_nothing_else(store):
    with pytest.raises(UsageError, match="has displayed no open proposal"):
        find(store, "3f2a81bc")
    show(store, Seen(A), Seen(OTHER))
    assert find(store, "3f2a81bc") == find(store, "3F2A81BC0") == find(store, str(A)) == A
    assert find(store, "3f2a81bd") == OTHER
    for other in ("3f2a81be", "3f2a81bc1"):  # the ninth digit is half a byte
        with pytest.raises(UsageError):
            find(store, other)


def test_twins_that_were_both_displayed_have_no_common_name(store):
    show(store, Seen(A))
    show(store, Seen(TWIN))
    with pytest.raises(UsageError, match="several proposals"):
        find(store, "3f2a81bc00")
    assert find(store, str(A)) == A
    assert find(store, str(TWIN)) == TWIN


def test_it_is_remembered_until_it_expires_however_it_ends(store):
    show(store, Seen(A, expires=NOW + 10))
    show(store, now=NOW + 9)  # an inbox in which it is not any more
    assert find(store, "3f2a81bc", now=NOW + 9) == A
    with pytest.raises(UsageError):
        find(store, "3f2a81bc", now=NOW + 10)


def test_rows_go_when_they_have_expired_and_no_date_keeps_them(store):
    far = [Seen(id_of(f"{i:08x}"), expires=NOW + 2**40) for i in range(250)]
    show(store, *far)
    show(store, Seen(A))
    later = NOW + 30 * DAY
    for left in (151, 51, 0):  # some at a time
        show(store, now=later)
        with store.reading() as reader:
            rows = [list(reader.scan(table)) for table in DISPLAYED.names()]
        assert [len(found) for found in rows] == [left] * 2


def test_the_same_again_is_one_row(store):
    show(store, Seen(A))
    show(store, Seen(A, expires=NOW + 5))
    assert find(store, "3f2a81bc", now=NOW + 6) == A, "the first time counts"
    with store.reading() as reader:
        assert len(list(reader.scan(DISPLAYED.names()[1]))) == 1


NO_BEGINNINGS = (
    *("", " ", "3f2a81b", "3f2a 81bc", "3f2a81bg", "3f2a81bc…", "-f2a81bc", "0x3f2a81", "f" * 65),
)


@pytest.mark.parametrize("text", NO_BEGINNINGS)
def test_what_is_no_beginning(text):
    with pytest.raises(UsageError, match=r"hex digits|8 digits or more"):
        parse_beginning(text)
