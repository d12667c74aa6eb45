from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import (
    AUTHORITY,
    LATER,
    NOW,
    chain_of,
    grown,
    join,
    no,
    proposal,
    proposed,
    remove,
    signed_founding,
    tally,
    verdict,
    who,
)
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    Unavailable,
)
from tigertally.base.ids import Hash, HolderIndex, RosterHash
from tigertally.quorum import changes
from tigertally.quorum.approval import open_approval
from tigertally.quorum.card import Role
from tigertally.quorum.chain import (
    RosterFile,
    found,
    next_roster,
    parse_chain,
    verify_chain,
    verify_successor,
)
from tigertally.quorum.proposal import open_proposal, options_body, sign_proposal
from tigertally.quorum.roster import SignedRoster
from tigertally.quorum.tally import Tally

pytestmark = pytest.mark.requirement("C7")

CHAIN = chain_of(4)
NEXT = join(CHAIN.current, "h5")


def resigned(signed, roster, *, key=AUTHORITY.key):
    body = encode(roster)
    return replace(signed, body=body, authority_signature=key.sign(tags.ROSTER, body))


def successor(*indices, asked=NEXT, now=NOW + 9):
    return next_roster(CHAIN.current, tally(asked, CHAIN.current, *indices), AUTHORITY.key, now=now)


def test_a_change_that_only_a_newer_version_knows():
    """It can neither be followed nor held against anybody."""
    now = CHAIN.current
    change = replace(proposal(now, kind="tomorrow.change"), predecessor=now.hash)
    unknown = sign_proposal(who("h1").key, change)
    added = proposed(now, kind=changes.REMOVE, body=options_body(name="h4", after=7))
    for asked in (unknown, added):
        following = replace(now, version=now.version + 1, previous=now.hash, created=NOW + 9)
        signed = resigned(successor(1, 2), following)
        signed = replace(signed, tally=encode(tally(asked, now, 1, 2)))
        with pytest.raises(Unavailable, match="upgrade this device"):
            CHAIN.extended((signed,))
    plain = encode(tally(proposed(now), now, 1, 2))  # names no roster: it is no change at all
    with pytest.raises(MalformedMessage):
        CHAIN.extended((replace(signed, tally=plain),))
    stranger = resigned(signed, following, key=who("mallory").key)
    with pytest.raises(InvalidSignature):
        CHAIN.extended((stranger,))


def _no_quorum(asked, now):
    """Tallies that no version of the program takes."""
    mallory = who("mallory").key
    forged = (verdict(asked, now, 1), verdict(asked, now, 2, key=mallory))
    return {
        "none": (tally(asked, now), PeerFault),
        "too few": (tally(asked, now, 1), PeerFault),
        "twice": (tally(asked, now, 1, 1), PeerFault),
        "a no": (
            Tally(
                proposal=asked,
                approvals=(verdict(asked, now, 1), no(asked, now, 2)),
            ),
            PeerFault,
        ),
        "of another": (
            Tally(proposal=asked, approvals=tally(NEXT, now, 1, 2).approvals),
            PeerFault,
        ),
        "forged": (Tally(proposal=asked, approvals=forged), InvalidSignature),
        "changed": (
            tally(replace(asked, body=asked.body[:-1] + b"\x01"), now, 1, 2),
            (InvalidSignature, MalformedMessage),
        ),
    }


@pytest.mark.parametrize("kind", ["kind", "option"])
def test_what_no_quorum_approved_is_no_newer_version(kind):
    """Told to upgrade, a holder would wait for a program that takes it: there will be none."""
    now = CHAIN.current
    change = replace(proposal(now, kind="tomorrow.change"), predecessor=now.hash)
    asked = {
        "kind": sign_proposal(who("h1").key, change),
        "option": proposed(now, kind=changes.REMOVE, body=options_body(name="h4", after=7)),
    }[kind]
    following = replace(now, version=now.version + 1, previous=now.hash, created=NOW + 9)
    signed = resigned(successor(1, 2), following)
    for why, (bad, error) in _no_quorum(asked, now).items():
        with pytest.raises(error) as caught:
            CHAIN.extended((replace(signed, tally=encode(bad)),))
        assert not getattr(caught.value, "sure", False), why
    late = resigned(signed, replace(following, created=LATER))
    with pytest.raises(PeerFault, match="expired"):
        CHAIN.extended((replace(late, tally=encode(tally(asked, now, 1, 2))),))
    earlier = CHAIN.rosters[-2]
    other = sign_proposal(who("h1").key, replace(change, predecessor=earlier.hash))
    with pytest.raises(PeerFault, match="another roster"):
        CHAIN.extended((replace(signed, tally=encode(tally(other, now, 1, 2))),))
    with pytest.raises(Unavailable, match="upgrade this device"):  # the control
        CHAIN.extended((replace(signed, tally=encode(tally(asked, now, 1, 2))),))


def test_a_chain_verifies_from_its_beginning():
    assert verify_chain(CHAIN.signed, AUTHORITY.key.public) == CHAIN
    assert parse_chain(CHAIN.to_bytes()) == CHAIN
    assert [roster.version for roster in CHAIN.rosters] == [1, 2, 3, 4]
    assert CHAIN.extended(CHAIN.signed) == CHAIN


def test_an_exported_chain_is_checked_against_the_key_given():
    with pytest.raises(PeerFault):
        parse_chain(CHAIN.to_bytes(), who("mallory").key.public)
    with pytest.raises(MalformedMessage):
        parse_chain(encode(RosterFile(rosters=())))


def test_next_roster_needs_its_quorum_in_time():
    assert CHAIN.extended((successor(1, 2),)).current.version == 5
    for bad in ((), (1,), (1, 2, 3), (1, 1)):
        with pytest.raises(Refused):
            successor(*bad)
    with pytest.raises(Refused):
        successor(1, 2, now=LATER)
    with pytest.raises(MalformedMessage):
        successor(1, 2, asked=proposed(CHAIN.current))


class TestSuccessor:
    good = successor(1, 2)

    def refused(self, signed, error=PeerFault, *, sure=False):
        with pytest.raises(error) as caught:
            CHAIN.extended((signed,))
        assert getattr(caught.value, "sure", False) is sure

    def test_the_good_one(self):
        assert verify_successor(CHAIN.current, self.good).version == 5

    def test_signed_by_another(self):
        self.refused(resigned(self.good, self.good.parse(), key=who("h1").key), InvalidSignature)

    def test_a_version_is_missing(self):
        further = grown(CHAIN.extended((self.good,)), join(self.good.parse(), "h6"), 1, 2)
        self.refused(further.signed[-1])

    def test_it_follows_another_past_which_convicts(self):
        other = replace(self.good.parse(), previous=RosterHash(bytes(32)))
        self.refused(resigned(self.good, other), sure=True)

    def test_a_relay_cannot_convict_the_authority_of_it(self):
        other = replace(self.good.parse(), previous=RosterHash(bytes(32)))
        self.refused(replace(self.good, body=encode(other)), InvalidSignature)

    def test_without_enough_approvals(self):
        short = encode(tally(NEXT, CHAIN.current, 1))
        self.refused(replace(self.good, tally=short))
        self.refused(replace(self.good, tally=b""), MalformedMessage)

    def test_with_the_tally_of_another_change_which_proves_nothing(self):
        """The tally is not under the authority's signature: anybody may have put it there."""
        other = encode(tally(join(CHAIN.current, "h6"), CHAIN.current, 1, 2))
        self.refused(replace(self.good, tally=other))

    def test_dated_after_the_proposals_end(self):
        late = replace(self.good.parse(), created=LATER)
        self.refused(resigned(self.good, late))

    @pytest.mark.parametrize(
        "changed",
        [
            {"threshold": 3},
            {"unlock": 2},
            {"requesters": (who("app").as_requester(),)},
            {"authority": replace(CHAIN.current.authority, name=who("h9").name)},
            {"next_index": 9},
            {"holders": (*CHAIN.current.holders, who("h9").as_holder(5))},
            {
                "holders": (
                    *CHAIN.current.holders,
                    replace(who("h5").as_holder(5), index=HolderIndex(6)),
                ),
                "next_index": 7,
            },
        ],
        ids=["quorum", "unlock", "requester", "authority", "next", "another joiner", "index"],
    )
    def test_it_says_more_than_was_approved(self, changed):
        if "authority" in changed:
            changed = {
                "authority": replace(
                    CHAIN.current.authority, wrapping_key=who("h9").wrapping_key.public
                )
            }
        self.refused(resigned(self.good, replace(self.good.parse(), **changed)))


def test_two_successors_of_one_version_convict_the_authority():
    one = CHAIN.extended((successor(1, 2),))
    two = successor(3, 4, asked=join(CHAIN.current, "h6"))
    with pytest.raises(PeerFault) as convicted:
        one.extended((two,))
    assert convicted.value.sure
    assert convicted.value.culprits == ("authority",)


def test_a_fork_that_the_authority_did_not_sign_convicts_nobody():
    one = CHAIN.extended((successor(1, 2),))
    two = successor(3, 4, asked=join(CHAIN.current, "h6"))
    with pytest.raises(InvalidSignature) as refused:
        one.extended((resigned(two, two.parse(), key=who("h1").key),))
    assert not refused.value.sure


def test_the_same_change_with_other_approvers_is_the_same_roster():
    """Its bytes are the same, whichever quorum stands beside it: no fork."""
    one = CHAIN.extended((successor(1, 2),))
    assert one.extended((successor(3, 4),)) == one


def test_looking_up():
    hashes = [roster.hash for roster in CHAIN.rosters]
    assert [CHAIN.at(one) for one in hashes] == list(CHAIN.rosters)
    with pytest.raises(Refused):
        CHAIN.at(RosterHash(bytes(32)))
    with pytest.raises(Refused):
        CHAIN.with_electorate(Hash(bytes(32)))
    assert CHAIN.after(2) == CHAIN.signed[2:]
    assert CHAIN.after(99) == ()


def test_a_proposals_roster():
    old = CHAIN.rosters[1]
    assert CHAIN.for_proposal(open_proposal(join(old, "h9"))) == old
    assert CHAIN.for_proposal(proposal(old)) == old
    chain = grown(CHAIN, join(CHAIN.current, "app", role=Role.REQUESTER), 1, 2)
    assert chain.for_proposal(proposal(CHAIN.current)) == chain.current


@pytest.mark.requirement("X5")
class TestCast:
    """A verdict names the roster that its holder saw: so a fork shows in the verdicts."""

    chain = grown(CHAIN, join(CHAIN.current, "app", role=Role.REQUESTER), 1, 2)

    def check(self, asked, seen_roster):
        approval = open_approval(verdict(asked, seen_roster, 1), CHAIN.current)
        self.chain.check_cast(approval, open_proposal(asked))

    def test_any_roster_with_these_holders(self):
        asked = proposed(CHAIN.current)
        self.check(asked, CHAIN.current)
        self.check(asked, self.chain.current)

    def test_a_roster_that_we_do_not_know(self):
        other = grown(CHAIN, join(CHAIN.current, "other", role=Role.REQUESTER), 3, 4)
        assert other.current.electorate == self.chain.current.electorate
        with pytest.raises(Refused):
            self.check(proposed(CHAIN.current), other.current)

    def test_a_roster_with_other_holders(self):
        with pytest.raises(Refused):
            self.check(proposed(CHAIN.current), CHAIN.rosters[1])

    def test_a_change_only_under_the_roster_it_follows(self):
        asked = join(self.chain.current, "h5")
        self.check(asked, self.chain.current)
        with pytest.raises(Refused):
            self.check(asked, CHAIN.current)


def test_a_chain_begins_with_the_founding():
    with pytest.raises((MalformedMessage, PeerFault)):
        found(CHAIN.signed[1], AUTHORITY.key.public)
    with pytest.raises(PeerFault):
        found(signed_founding(), AUTHORITY.key.public).extended((CHAIN.signed[2],))
    assert decode(SignedRoster, encode(CHAIN.signed[3])) == CHAIN.signed[3]
    assert decode(Tally, CHAIN.signed[3].tally).proposal


def test_a_removed_holder_leaves_its_index_behind():
    chain = grown(CHAIN, remove(CHAIN.current, "h4"), 1, 2)
    chain = grown(chain, join(chain.current, "h5"), 1, 2)
    assert [holder.index for holder in chain.current.holders] == [1, 2, 3, 5]
