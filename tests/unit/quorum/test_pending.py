from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import LATER, NOW, PLAIN, join, no, proposed, remove, roster, verdict, who
from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.quorum.pending import NEXT, Pending, Status, propose, with_verdict
from tigertally.quorum.proposal import Proposal, sign_proposal
from tigertally.quorum.tally import verify_tally

pytestmark = pytest.mark.requirement("C7")

FIVE = roster(5, threshold=3)
ASKED = proposed(FIVE)
FRESH = propose(ASKED, FIVE, now=NOW)


def step(pending, envelope, *, at=FIVE, now=NOW + 1, late=False):
    return with_verdict(pending, envelope, at, now=now, takes_late=late)[0]


def after(*envelopes, pending=FRESH, **rest):
    for envelope in envelopes:
        pending = step(pending, envelope, **rest)
    return pending


def yes(index, asked=ASKED, at=FIVE, **rest):
    return verdict(asked, at, index, **rest)


def nay(index, asked=ASKED, at=FIVE):
    return no(asked, at, index)


def refused(pending, envelope, error=Refused, **rest):
    kept = encode(pending)
    with pytest.raises(error):
        step(pending, envelope, **rest)
    assert encode(pending) == kept


def test_exactly_these_states_follow_each_other():
    assert set(NEXT) == set(Status)
    for status in Status:
        for wanted in Status:
            pending = replace(FRESH, status=status)
            if status is Status.PENDING and wanted is not Status.PENDING:
                assert pending.moved_to(wanted, "why").status is wanted
            else:
                with pytest.raises(Refused):
                    pending.moved_to(wanted)


def test_a_quorum_completes():
    done = after(yes(1), yes(4), yes(5))
    assert done.status is Status.COMPLETE
    assert verify_tally(done.tally(), FIVE).approved_by == (1, 4, 5)
    assert after(yes(1), yes(4)).status is Status.PENDING


def test_the_same_vote_again_changes_nothing():
    for votes in ([yes(1)], [yes(1), yes(2), yes(3)], [nay(1)], [nay(1), nay(2), nay(3)]):
        pending = after(*votes)
        for vote in votes:
            assert step(pending, vote) == pending
            assert step(pending, vote, now=LATER + 99) == pending


def test_a_second_vote_in_other_bytes_is_refused():
    refused(after(yes(1)), yes(1, time=NOW + 2))
    refused(after(yes(1)), nay(1))
    refused(after(nay(1)), yes(1))


def test_rejections_end_it_once_the_quorum_is_out_of_reach():
    two = after(nay(1), nay(2))
    assert two.status is Status.PENDING
    assert after(yes(3), yes(4), yes(5), pending=two).status is Status.COMPLETE
    ended = after(nay(3), pending=two)
    assert ended.status is Status.REJECTED
    for late in (yes(4), nay(4)):
        refused(ended, late)


@pytest.mark.requirement("C10")
def test_a_removal_is_ended_by_fewer_since_one_has_no_vote():
    asked = remove(FIVE, "h5")
    pending = propose(asked, FIVE, now=NOW)
    refused(pending, yes(5, asked))
    refused(pending, nay(5, asked))
    assert after(nay(1, asked), nay(2, asked), pending=pending).status is Status.REJECTED


def test_beyond_the_quorum():
    done = after(yes(1), yes(2), yes(3))
    assert step(done, yes(4)) == done
    late = step(done, yes(4), late=True)
    assert late.late == (yes(4),)
    assert late.tally() == done.tally()
    assert step(late, yes(4), late=True) == late
    refused(late, yes(4, time=NOW + 5), late=True)
    refused(done, nay(4), late=True)
    refused(done, yes(4), now=LATER, late=True)


def test_expiry_against_completion_has_one_outcome():
    two = after(yes(1), yes(2))
    assert step(two, yes(3), now=LATER - 1).status is Status.COMPLETE
    refused(two, yes(3), now=LATER)
    refused(two, yes(3, time=LATER), now=LATER - 1)
    assert two.refreshed(FIVE, now=LATER - 1) == two
    expired = two.refreshed(FIVE, now=LATER)
    assert expired.status is Status.EXPIRED
    refused(expired, yes(3), now=LATER - 1)
    done = after(yes(1), yes(2), yes(3))
    assert done.refreshed(FIVE, now=LATER) == done


def test_a_change_of_holders_voids():
    other = roster(4, threshold=3)
    void = after(yes(1)).refreshed(other, now=NOW + 1)
    assert void.status is Status.VOID
    assert void.why
    refused(void, yes(2))
    same = replace(FIVE, requesters=(), version=9)
    assert after(yes(1)).refreshed(same, now=NOW + 1).status is Status.PENDING


def test_another_change_of_the_roster_voids_a_change():
    asked = join(FIVE, "zoe")
    pending = propose(asked, FIVE, now=NOW)
    moved = replace(FIVE, requesters=(), version=9)
    assert pending.refreshed(moved, now=NOW).status is Status.VOID


def test_votes_that_do_not_count():
    refused(FRESH, verdict(proposed(FIVE, nonce=1), FIVE, 1))
    refused(FRESH, yes(6))
    refused(FRESH, yes(1, key=who("mallory").key), InvalidSignature)
    refused(FRESH, replace(yes(1), body=b"x"), MalformedMessage)


def test_what_may_be_proposed():
    for asked, now in (
        (ASKED, LATER),
        (ASKED, NOW - 301),
        (proposed(roster(4, threshold=3)), NOW),
    ):
        with pytest.raises(Refused):
            propose(asked, FIVE, now=now)
    assert propose(ASKED, FIVE, now=NOW - 300).status is Status.PENDING
    forged = sign_proposal(who("mallory").key, decode_of(ASKED))
    with pytest.raises(InvalidSignature):
        propose(forged, FIVE, now=NOW)


def decode_of(envelope):
    return decode(Proposal, envelope.body)


def test_it_keeps_its_bytes():
    for pending in (FRESH, after(yes(1), nay(2)), after(yes(1), yes(2), yes(3))):
        assert decode(Pending, encode(pending)) == pending
    assert decode_of(FRESH.proposal).kind == PLAIN
