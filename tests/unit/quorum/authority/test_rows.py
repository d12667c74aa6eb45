from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from quorum_rig import AUTHORITY, NOW, chain_of, proposed, roster, verdict, who
from tigertally.base.errors import Corrupt, Refused
from tigertally.base.ids import ProposalId
from tigertally.quorum.authority import rows
from tigertally.quorum.pending import Pending, Status, with_verdict
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.memory import MemoryStore

pytestmark = pytest.mark.requirement("C7")

ROSTER = roster()


@pytest.fixture
def tx():
    with MemoryStore().transaction() as tx:
        yield tx


def put(tx, nonce, *, created=NOW):
    pending = Pending(proposal=proposed(ROSTER, nonce=nonce, created=created))
    rows.put_pending(tx, pending)
    return pending


def test_a_chain_is_verified_when_it_is_read(tx):
    assert rows.load_chain(tx, AUTHORITY.key.public) is None
    chain = chain_of(3)
    for signed in chain.signed:
        rows.put_roster(tx, signed)
    assert rows.load_chain(tx, AUTHORITY.key.public) == chain
    with pytest.raises(Corrupt):
        rows.load_chain(tx, who("h1").key.public)
    rows.put_roster(tx, replace(chain.signed[1], tally=b""))
    with pytest.raises(Corrupt):
        rows.load_chain(tx, AUTHORITY.key.public)


@pytest.mark.parametrize("gone", [1, 2])
def test_a_chain_with_a_gap(tx, gone):
    for signed in chain_of(3).signed:
        rows.put_roster(tx, signed)
    tx.delete(rows.ROSTERS, gone.to_bytes(4, "big"))
    with pytest.raises(Corrupt):
        rows.load_chain(tx, AUTHORITY.key.public)


def test_open_proposals_follow_their_state(tx):
    one, two = put(tx, 1), put(tx, 2)
    assert dict(rows.open_proposals(tx)) == {
        one.id: who("h1").key.public,
        two.id: who("h1").key.public,
    }
    closed = one.moved_to(Status.REJECTED)
    rows.put_pending(tx, closed)
    assert [id_ for id_, _ in rows.open_proposals(tx)] == [two.id]
    assert rows.get_pending(tx, one.id) == closed
    voted, _ = with_verdict(
        two, verdict(two.proposal, ROSTER, 1), ROSTER, now=NOW, takes_late=False
    )
    rows.put_pending(tx, voted)
    assert rows.get_pending(tx, two.id) == voted


def test_by_time(tx):
    made = [put(tx, n, created=NOW + n) for n in range(5)]
    assert list(rows.since(tx, 0)) == made
    assert list(rows.since(tx, NOW + 2)) == made[2:]
    assert list(islice(rows.since(tx, NOW + 2), 2)) == made[2:4]
    assert list(rows.since(tx, NOW + 5)) == []
    assert list(rows.since(tx, 2**64 - 1)) == []
    rows.put_pending(tx, made[3].moved_to(Status.VOID))
    assert len(list(rows.since(tx, 0))) == 5


def test_unknown_and_damaged(tx):
    with pytest.raises(Refused):
        rows.get_pending(tx, ProposalId(bytes(32)))
    one = put(tx, 1)
    tx.put(rows.PROPOSALS, one.id, b"damaged")
    with pytest.raises(Corrupt):
        rows.get_pending(tx, one.id)
    assert proposal_id(one.proposal) == one.id
