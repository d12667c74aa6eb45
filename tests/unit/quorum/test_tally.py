from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import (
    LATER,
    NOW,
    PLAIN,
    flipped,
    join,
    no,
    proposal,
    proposed,
    remove,
    roster,
    set_quorum,
    tally,
    verdict,
    who,
)
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.base.ids import DomainId, Hash, RosterHash, Signature
from tigertally.quorum.proposal import open_proposal, sign_proposal
from tigertally.quorum.tally import (
    Tally,
    check_electorate,
    check_live,
    may_vote,
    needed,
    verify_tally,
    voters,
)

pytestmark = pytest.mark.requirement("C7")

FIVE = roster(5, threshold=3)
ASKED = proposed(FIVE)


def with_approvals(*approvals, asked=ASKED):
    return Tally(proposal=asked, approvals=approvals)


def yes(index, **rest):
    return verdict(ASKED, FIVE, index, **rest)


def test_a_quorum():
    verified = verify_tally(tally(ASKED, FIVE, 4, 1, 3), FIVE)
    assert verified.approved_by == (1, 3, 4)
    assert verified.proposal == proposal(FIVE)


BAD = {
    "nobody": with_approvals(),
    "one too few": with_approvals(yes(1), yes(2)),
    "one too many": with_approvals(yes(1), yes(2), yes(3), yes(4)),
    "one twice": with_approvals(yes(1), yes(2), yes(2)),
    "one twice in other bytes": with_approvals(yes(1), yes(2), yes(2, time=NOW + 2)),
    "a rejection": with_approvals(yes(1), yes(2), no(ASKED, FIVE, 3)),
    "a stranger": with_approvals(yes(1), yes(2), yes(6)),
    "one for another proposal": with_approvals(
        yes(1), yes(2), verdict(proposed(FIVE, nonce=1), FIVE, 3)
    ),
    "one given after the end": with_approvals(yes(1), yes(2), yes(3, time=LATER)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_no_quorum(bad):
    with pytest.raises(Refused):
        verify_tally(bad, FIVE)


def test_more_approvals_than_holders_are_not_even_verified():
    """Each signature costs time, and whoever sends a tally says how many there are."""
    forged = verdict(ASKED, FIVE, 1, key=who("mallory").key)
    with pytest.raises(InvalidSignature):
        verify_tally(with_approvals(*[forged] * 5), FIVE)
    with pytest.raises(Refused, match="6 approvals by 5 holders"):
        verify_tally(with_approvals(*[forged] * 6), FIVE)


def test_three_half_approved_requests_make_no_whole_one():
    asked = [proposed(FIVE, nonce=n) for n in range(3)]
    approvals = [verdict(one, FIVE, i) for i, one in enumerate(asked, start=1)]
    for one in asked:
        with pytest.raises(Refused):
            verify_tally(with_approvals(*approvals, asked=one), FIVE)


def test_an_invented_approval_blames_who_relayed_it_not_the_holder():
    for bad in (
        yes(3, key=who("mallory").key),
        replace(yes(3), signature=Signature(flipped(yes(3).signature))),
        replace(yes(3), body=yes(4).body),
    ):
        with pytest.raises(InvalidSignature) as refused:
            verify_tally(with_approvals(yes(1), yes(2), bad), FIVE)
        assert refused.value.culprits == ("authority",)
        assert not refused.value.sure


def test_an_exchanged_proposal():
    other = proposed(FIVE, nonce=1)
    with pytest.raises(InvalidSignature):
        verify_tally(with_approvals(asked=replace(ASKED, body=other.body)), FIVE)
    with pytest.raises(Refused):
        verify_tally(replace(tally(ASKED, FIVE, 1, 2, 3), proposal=other), FIVE)
    forged = sign_proposal(who("mallory").key, proposal(FIVE, nonce=1))
    with pytest.raises(InvalidSignature):
        verify_tally(tally(forged, FIVE, 1, 2, 3), FIVE)


@pytest.mark.parametrize(
    "other",
    [
        replace(FIVE, holders=FIVE.holders[:4]),
        replace(FIVE, threshold=2),
        replace(FIVE, domain=DomainId(bytes(32))),
    ],
    ids=["holders", "quorum", "domain"],
)
def test_a_tally_of_another_electorate(other):
    with pytest.raises(Refused):
        verify_tally(tally(ASKED, FIVE, 1, 2, 3), other)


def test_a_tally_survives_a_change_of_requesters():
    other = replace(FIVE, requesters=(), version=FIVE.version + 1)
    assert verify_tally(tally(ASKED, FIVE, 1, 2, 3), other).approved_by == (1, 2, 3)


def test_a_change_of_the_roster_is_put_to_exactly_one_roster():
    other = replace(FIVE, requesters=(), version=FIVE.version + 1)
    asked = join(FIVE, "h6")
    assert verify_tally(tally(asked, FIVE, 1, 2, 3), FIVE)
    with pytest.raises(Refused):
        verify_tally(tally(asked, FIVE, 1, 2, 3), other)


def test_exactly_roster_kinds_name_a_predecessor():
    plain = replace(proposal(FIVE), predecessor=RosterHash(FIVE.hash))
    with pytest.raises(MalformedMessage):
        check_electorate(FIVE, plain)
    change = replace(open_proposal(join(FIVE, "h6")), predecessor=None)
    with pytest.raises(MalformedMessage):
        check_electorate(FIVE, change)


def test_a_wrong_electorate_hash():
    with pytest.raises(Refused):
        check_electorate(FIVE, replace(proposal(FIVE), electorate=Hash(bytes(32))))


@pytest.mark.requirement("C8")
@pytest.mark.parametrize("holders", [1, 2])
def test_forming_needs_everybody(holders):
    forming = roster(holders, threshold=3)
    asked = join(forming, "h9")
    assert needed(forming, open_proposal(asked)) == holders
    assert verify_tally(tally(asked, forming, *range(1, holders + 1)), forming)
    with pytest.raises(Refused):
        verify_tally(tally(asked, forming, *range(1, holders)), forming)


@pytest.mark.parametrize(("new", "want"), [(2, 3), (3, 3), (4, 4), (5, 5)])
def test_a_change_of_the_quorum_needs_the_larger_of_the_two(new, want):
    asked = set_quorum(FIVE, new)
    assert needed(FIVE, open_proposal(asked)) == want
    assert verify_tally(tally(asked, FIVE, *range(1, want + 1)), FIVE)
    with pytest.raises(Refused):
        verify_tally(tally(asked, FIVE, *range(1, want)), FIVE)


@pytest.mark.requirement("C10")
def test_nobody_votes_on_its_own_removal():
    asked = remove(FIVE, "h2")
    body = open_proposal(asked)
    assert [may_vote(FIVE, body, h.index) for h in FIVE.holders] == [True, False, True, True, True]
    assert voters(FIVE, body) == 4
    with pytest.raises(Refused):
        verify_tally(tally(asked, FIVE, 1, 2, 3), FIVE)
    assert verify_tally(tally(asked, FIVE, 1, 3, 4), FIVE)


def test_live_until_it_expires():
    verified = verify_tally(tally(ASKED, FIVE, 1, 2, 3), FIVE)
    check_live(verified, now=LATER - 1)
    with pytest.raises(Refused):
        check_live(verified, now=LATER)
    assert verified.proposal.kind == PLAIN
