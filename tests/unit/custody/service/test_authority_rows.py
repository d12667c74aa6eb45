"""The authority's rows: found again, listed in order, damaged ones noticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from custody_small import KEY
from tigertally.base.errors import Corrupt, Refused
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId
from tigertally.base.secret import Secret
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.service import rows
from tigertally.custody.service.barrier import BarrierKey
from tigertally.custody.service.rows import Due, Job
from tigertally.custody.state.authority import EpochId, KeyRecord
from tigertally.node.wiring import AuthorityServices
from tigertally.quorum.authority import rows as quorum_rows
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedStore, SealedTransaction
from tigertally.storage.table import Keyed

P, Q = ProposalId(b"\x01" * 32), ProposalId(b"\x02" * 32)
ONE, TWO = HolderIndex(1), HolderIndex(2)


@contextmanager
def transaction() -> Iterator[SealedTransaction]:
    store = SealedStore(MemoryStore(), Secret(bytes(32)))
    with store.transaction() as tx:
        yield tx


def names_of_tables(module: ModuleType) -> set[str]:
    return {str(value) for value in vars(module).values() if isinstance(value, Keyed)}


def test_no_table_behind_the_barrier_is_forgotten_when_it_is_renewed() -> None:
    assert names_of_tables(rows) == set(rows.SEALED)
    assert names_of_tables(quorum_rows) == {quorum_rows.ROSTERS, *quorum_rows.SEALED}
    for module in (rows, quorum_rows):  # nor one that is only a name
        texts = [value for name, value in vars(module).items() if name.isupper()]
        assert not [text for text in texts if type(text) is str]
    assert set(AuthorityServices().lock.barrier.sealed) == {*rows.SEALED, *quorum_rows.SEALED}


def key(name: str, version: int) -> KeyRecord:
    return KeyRecord(
        ref=KeyRef(name=Name(name), version=version),
        made_by=P,
        suite=Suite.PEDERSEN_ED25519,
        options=KeyOptions.of(),
        created=1,
    )


def test_keys_by_name_and_in_order() -> None:
    with transaction() as tx:
        for record in (key("b", 1), key("a", 10), key("a", 9), key("ab", 1)):
            rows.put_key(tx, record)
        assert [str(r.ref) for r in rows.all_keys(tx)] == [
            "a version 9",
            "a version 10",
            "ab version 1",
            "b version 1",
        ]
        assert [r.ref.version for r in rows.all_keys(tx, Name("a"))] == [9, 10]
        assert rows.KEYS.get(tx, KEY) is None
        with pytest.raises(Refused, match="no key payroll version 1"):
            rows.get_key(tx, KEY)


def owe(tx: SealedTransaction, holder: HolderIndex, due: Due, id_: bytes) -> None:
    """A row as `rows.owe` writes it."""
    tx.put(rows.DUES, rows.due_key(holder, due, id_), b"")


def test_debts_belong_to_one_holder_and_one_sort() -> None:
    with transaction() as tx:
        owe(tx, ONE, Due.ACKNOWLEDGE, P + b"\x00\x01")
        owe(tx, ONE, Due.FRAGMENT, Q)
        owe(tx, TWO, Due.ACKNOWLEDGE, Q + b"\x00\x07")
        assert rows.dues(tx, ONE, Due.ACKNOWLEDGE) == [P + b"\x00\x01"]
        assert rows.dues(tx, ONE, Due.FRAGMENT) == [Q]
        assert rows.dues(tx, ONE, Due.DEAL) == []
        assert rows.owes_acknowledgement(tx, ONE, P)
        assert not rows.owes_acknowledgement(tx, ONE, Q)
        assert rows.owes_acknowledgement(tx, TWO, Q)
        rows.drop_due(tx, ONE, Due.ACKNOWLEDGE, P + b"\x00\x01")
        rows.drop_due(tx, ONE, Due.ACKNOWLEDGE, P + b"\x00\x01")
        assert not rows.has_due(tx, ONE, Due.ACKNOWLEDGE, P + b"\x00\x01")
        assert rows.has_due(tx, TWO, Due.ACKNOWLEDGE, Q + b"\x00\x07")


def test_a_debt_is_found_among_many() -> None:
    """More debts than one answer shows must not hide that a delivery is on its way."""
    with transaction() as tx:
        for number in range(60):
            owe(tx, ONE, Due.ACKNOWLEDGE, bytes([number]) * 32 + b"\x00\x01")
        assert len(rows.dues(tx, ONE, Due.ACKNOWLEDGE)) == 50
        assert rows.owes_acknowledgement(tx, ONE, ProposalId(bytes([59]) * 32))


def test_work_for_the_child() -> None:
    with transaction() as tx:
        assert rows.jobs(tx) == []
        assert not rows.has_jobs(tx)
        rows.put_job(tx, Job.REBUILD, P)
        rows.put_job(tx, Job.DEAL, Q + b"\x00\x01")
        assert sorted(rows.jobs(tx), key=str) == sorted(
            [(Job.REBUILD, bytes(P)), (Job.DEAL, Q + b"\x00\x01")], key=str
        )
        rows.drop_job(tx, Job.REBUILD, P)
        assert rows.jobs(tx) == [(Job.DEAL, Q + b"\x00\x01")]


def test_bundles_in_use() -> None:
    with transaction() as tx:
        bundle = Hash(b"\x09" * 32)
        tx.put(rows.IN_USE, bytes([1]) + bundle + P, b"")
        tx.put(rows.IN_USE, bytes([1]) + bundle + Q, b"")
        assert rows.bundles_in_use(tx, ONE) == [(bundle, P), (bundle, Q)]
        assert rows.bundles_in_use(tx, TWO) == []
        assert rows.find_bundle(tx, ONE, bundle) is None


def test_what_is_not_there_and_what_is_damaged() -> None:
    with transaction() as tx:
        id_ = EpochId(proposal=P, attempt=1)
        with pytest.raises(Refused):
            rows.get_epoch(tx, id_)
        assert rows.find_epoch(tx, Hash(bytes(32))) is None
        tx.put(rows.EPOCHS, id_.to_bytes(), b"rubbish")
        with pytest.raises(Corrupt):
            rows.get_epoch(tx, id_)
        tx.put(rows.KEYS, KEY.to_bytes(), b"")
        with pytest.raises(Corrupt):
            rows.KEYS.get(tx, KEY)


def test_a_table_behind_the_barrier_stands_there_once():
    with pytest.raises(ValueError, match="twice"):
        BarrierKey(("custody-key", "proposal", "custody-key"))
