"""Laws of counting: what makes a tally, how a proposal goes on, what a change does to a roster."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorum_rig import (
    LATER,
    NOW,
    chain_of,
    grown,
    join,
    no,
    proposed,
    remove,
    roster,
    set_quorum,
    verdict,
    who,
)
from tigertally.base.codec import encode
from tigertally.base.errors import PeerFault, Refused
from tigertally.crypto.envelope import Envelope
from tigertally.quorum.card import Role
from tigertally.quorum.chain import verify_chain
from tigertally.quorum.changes import REQUESTER_REMOVE, apply_change
from tigertally.quorum.pending import NEXT, Status, propose, with_verdict
from tigertally.quorum.proposal import open_proposal
from tigertally.quorum.tally import Tally, verify_tally

pytestmark = pytest.mark.requirement("C7")

FIVE = {m: roster(5, threshold=m) for m in range(2, 6)}


@dataclass(frozen=True)
class Claim:
    """An approval in a tally, and whether it is a good one."""

    index: int
    good: bool
    envelope: Envelope


def _claims(m: int) -> list[Claim]:
    at, asked, other = FIVE[m], proposed(FIVE[m]), proposed(FIVE[m], nonce=1)
    claims = []
    for i in range(1, 6):
        claims += [
            Claim(i, True, verdict(asked, at, i)),
            Claim(i, True, verdict(asked, at, i, time=NOW + 2)),
            Claim(i, False, no(asked, at, i)),
            Claim(i, False, verdict(other, at, i)),
            Claim(i, False, verdict(asked, at, i, key=who("mallory").key)),
            Claim(i, False, verdict(asked, at, i, time=LATER)),
        ]
    return [*claims, Claim(6, False, verdict(asked, at, 6))]


CLAIMS = {m: _claims(m) for m in FIVE}


@given(st.integers(2, 5), st.data())
def test_a_tally_is_exactly_m_distinct_good_approvals(m, data):
    good = [claim for claim in CLAIMS[m] if claim.good]
    pool = st.sampled_from(good) | st.sampled_from(CLAIMS[m])
    chosen = data.draw(st.lists(pool, max_size=7))
    tally = Tally(proposal=proposed(FIVE[m]), approvals=tuple(c.envelope for c in chosen))
    distinct = len({claim.index for claim in chosen}) == len(chosen) == m
    try:
        verified = verify_tally(tally, FIVE[m])
    except (Refused, PeerFault):
        assert not (distinct and all(claim.good for claim in chosen))
    else:
        assert distinct
        assert all(claim.good for claim in chosen)
        assert list(verified.approved_by) == sorted(claim.index for claim in chosen)


@given(st.integers(2, 5), st.data())
def test_any_m_in_any_order_make_a_tally(m, data):
    indices = data.draw(st.permutations(range(1, 6)))[:m]
    asked = proposed(FIVE[m])
    approvals = tuple(verdict(asked, FIVE[m], index) for index in indices)
    assert verify_tally(Tally(proposal=asked, approvals=approvals), FIVE[m])


EVENT = st.tuples(st.sampled_from(["yes", "no", "again"]), st.integers(1, 6))
DAY = st.lists(EVENT | st.just(("time", 0)) | st.just(("change", 0)), max_size=14)


@given(st.integers(2, 5), DAY, st.booleans())
def test_every_day_of_a_proposal_follows_the_table_and_has_one_outcome(m, day, takes_late):
    at = FIVE[m]
    asked = proposed(at)
    pending, now, holders = propose(asked, at, now=NOW), NOW + 1, at
    cast: dict[int, Envelope] = {}
    outcomes = [pending.status]
    for what, index in day:
        before = pending
        if what == "time":
            now = LATER
        elif what == "change":
            holders = replace(at, holders=at.holders[:4])
        if what in ("time", "change"):
            pending = pending.refreshed(holders, now=now)
        else:
            make = no if what == "no" else verdict
            envelope = cast.get(index) if what == "again" else make(asked, at, index)
            if envelope is None:
                continue
            try:
                pending, _ = with_verdict(
                    pending.refreshed(holders, now=now),
                    envelope,
                    at,
                    now=now,
                    takes_late=takes_late,
                )
            except Refused:
                pending = before
            else:
                if envelope in (*pending.approvals, *pending.rejections, *pending.late):
                    cast[index] = envelope
        if pending.status is not before.status:
            assert pending.status in NEXT[before.status]
            outcomes.append(pending.status)
        if before.status is not Status.PENDING:
            assert (pending.approvals, pending.rejections) == (before.approvals, before.rejections)
    _check_end(pending, outcomes, cast, m)


def _check_end(pending, outcomes, cast, m):
    assert len(outcomes) <= 2
    assert len(pending.approvals) <= m
    assert set(pending.approvals) | set(pending.rejections) | set(pending.late) == set(
        cast.values()
    )
    if pending.status is Status.COMPLETE:
        assert verify_tally(pending.tally(), FIVE[m])
    if pending.status is Status.REJECTED:
        assert len(pending.rejections) > 5 - m
    if pending.status is Status.PENDING:
        assert len(pending.approvals) < m


@given(st.integers(2, 5), st.permutations(range(1, 6)), st.integers(0, 31))
def test_votes_in_any_order_with_repetitions_end_the_same_way(m, order, noes):
    """Who said what decides; when a vote comes twice does not."""
    at = FIVE[m]
    asked = proposed(at)
    said = {i: (no if noes >> (i - 1) & 1 else verdict)(asked, at, i) for i in range(1, 6)}
    pending = propose(asked, at, now=NOW)
    for index in order:
        for _ in range(2):
            try:
                pending, _ = with_verdict(pending, said[index], at, now=NOW + 1, takes_late=False)
            except Refused:
                assert pending.status is not Status.PENDING
    yes = 5 - noes.bit_count()
    assert pending.status is (Status.COMPLETE if yes >= m else Status.REJECTED)


def asked_for(at, what, number):
    """A signed proposal of one change."""
    match what:
        case "join":
            return join(at, f"h{number}")
        case "requester":
            return join(at, f"r{number}", role=Role.REQUESTER)
        case "remove":
            return remove(at, f"h{number}")
        case "dismiss":
            return remove(at, f"r{number}", kind=REQUESTER_REMOVE)
    return set_quorum(at, max(2, number % 6))


STEP = st.sampled_from(["join", "remove", "requester", "dismiss", "quorum"])


@given(st.lists(st.tuples(STEP, st.integers(1, 9)), max_size=8))
def test_changes_keep_a_roster_whole(steps):
    """Versions chain, indices are never given again, a quorum always remains."""
    at = roster(3, threshold=2)
    given_out = {holder.index: holder.signing_key for holder in at.holders}
    for what, number in steps:
        envelope = asked_for(at, what, number)
        kept = encode(at)
        try:
            new = apply_change(at, open_proposal(envelope), created=NOW)
        except Refused:
            assert encode(at) == kept
            continue
        assert (new.version, new.previous) == (at.version + 1, at.hash)
        assert len(new.holders) >= new.threshold
        assert new.next_index >= at.next_index
        for holder in new.holders:
            assert given_out.setdefault(holder.index, holder.signing_key) == holder.signing_key
        at = new


@given(st.data())
def test_a_chain_is_the_chain_however_it_is_cut(data):
    cut = data.draw(st.integers(1, len(LONG.signed)))
    first = verify_chain(LONG.signed[:cut], LONG.current.authority.signing_key)
    overlap = data.draw(st.integers(0, cut))
    assert first.extended(LONG.signed[overlap:]) == LONG


LONG = grown(chain_of(4), remove(chain_of(4).current, "h2"), 1, 3)
