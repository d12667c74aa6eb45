"""Journals over every store: what may follow, and that a refused move changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import product

import pytest

from store_kinds import KINDS, open_store
from tigertally.base.errors import UsageError
from tigertally.storage.journal import Journal
from tigertally.storage.table import RAW, Table, message


class Stage(Enum):
    CUT = "cut"
    SEWN = "sewn"
    WORN = "worn"
    TORN = "torn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coat:
    stage: Stage
    size: int = 1


FOLLOWS = {
    Stage.CUT: frozenset({Stage.SEWN, Stage.TORN}),
    Stage.SEWN: frozenset({Stage.WORN}),
}
COATS = Table("coat", RAW, message(Coat))
JOURNAL = Journal(
    table=COATS,
    follows=FOLLOWS,
    state=lambda coat: coat.stage,
    moved=lambda coat, stage: replace(coat, stage=stage),
    what="a coat",
)
K = b"blue"


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    opened = open_store(request.param, tmp_path / "store.db")
    yield opened
    opened.close()


def test_a_journal_goes_on_where_it_was_and_ends_with_nothing(store):
    with store.transaction() as tx:
        assert JOURNAL.under_way(tx, K) is None
        JOURNAL.begin(tx, K, Coat(stage=Stage.CUT, size=2))
    with store.transaction() as tx:
        assert JOURNAL.under_way(tx, K) == Coat(stage=Stage.CUT, size=2)
        assert JOURNAL.move(tx, K, Stage.SEWN)
    with store.transaction() as tx:
        assert JOURNAL.under_way(tx, K) == Coat(stage=Stage.SEWN, size=2)
        assert not JOURNAL.move(tx, K, Stage.WORN)
    with store.reading() as reader:
        assert JOURNAL.under_way(reader, K) is None
        assert not list(reader.scan("coat"))


@pytest.mark.parametrize(("now", "then"), list(product([None, *FOLLOWS], Stage)))
def test_only_what_follows_may_follow(store, now, then):
    with store.transaction() as tx:
        if now is not None:
            JOURNAL.begin(tx, K, Coat(stage=now))
        before = list(tx.scan("coat"))
        if now is not None and then in FOLLOWS[now]:
            assert JOURNAL.move(tx, K, then) == (then in FOLLOWS)
            assert list(tx.scan("coat")) != before
            return
        with pytest.raises(UsageError, match=f"a coat cannot become {then.value} now"):
            JOURNAL.move(tx, K, then)
        assert list(tx.scan("coat")) == before


def test_nothing_begins_twice_or_at_its_end(store):
    with store.transaction() as tx:
        with pytest.raises(UsageError, match="cannot begin as torn"):
            JOURNAL.begin(tx, K, Coat(stage=Stage.TORN))
        JOURNAL.begin(tx, K, Coat(stage=Stage.CUT))
        with pytest.raises(UsageError, match="a coat is under way"):
            JOURNAL.begin(tx, K, Coat(stage=Stage.CUT, size=7))
        assert JOURNAL.under_way(tx, K) == Coat(stage=Stage.CUT)
