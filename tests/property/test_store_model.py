"""Every store behaves like a dictionary of dictionaries, whatever is done to it."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store_kinds import KINDS, open_store

KEYS = st.binary(max_size=3) | st.sampled_from([b"a", b"a\xff", b"\xff", b"\xff\xff"])
TABLES = st.sampled_from(["t", "u"])
CHANGES = st.one_of(
    st.tuples(st.just("put"), TABLES, KEYS, st.binary(max_size=8)),
    st.tuples(st.just("delete"), TABLES, KEYS, st.just(b"")),
)
# A transaction: its changes, and whether it ends well.
TRANSACTIONS = st.lists(st.tuples(st.lists(CHANGES, max_size=8), st.booleans()), max_size=5)


class RollBack(Exception):
    pass


def run(store, model, changes, ends_well):
    before = copy.deepcopy(model)
    try:
        with store.transaction() as tx:
            for what, table, key, value in changes:
                if what == "put":
                    tx.put(table, key, value)
                    model[table][key] = value
                else:
                    tx.delete(table, key)
                    model[table].pop(key, None)
                assert tx.get(table, key) == model[table].get(key)
            if not ends_well:
                raise RollBack
    except RollBack:
        return before
    return model


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    transactions=TRANSACTIONS,
    prefix=KEYS,
    after=st.none() | KEYS,
    limit=st.none() | st.integers(0, 4),
)
def test_like_a_dictionary(kind, transactions, prefix, after, limit):
    model = {"t": {}, "u": {}}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(kind, Path(folder) / "store.db")
        for changes, ends_well in transactions:
            model = run(store, model, changes, ends_well)
        with store.reading() as reader:
            for table, rows in model.items():
                assert dict(reader.scan(table)) == rows
                expected = sorted(
                    (k, v)
                    for k, v in rows.items()
                    if k.startswith(prefix) and (after is None or k > after)
                )
                found = list(reader.scan(table, prefix=prefix, after=after, limit=limit))
                assert found == expected[:limit]
        store.close()
