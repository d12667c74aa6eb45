from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import NOW, join, proposal, proposed, remove, roster, set_quorum, who
from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, NewerVersion, Refused
from tigertally.base.limits import MAX_HOLDERS
from tigertally.quorum import changes
from tigertally.quorum.card import Role
from tigertally.quorum.changes import apply_change
from tigertally.quorum.kinds import ROSTER_KINDS, registry, words_of
from tigertally.quorum.proposal import open_proposal, options_body
from tigertally.transport.answers import opened, refusal

pytestmark = pytest.mark.requirement("C7")

FIVE = roster(5, threshold=3)
KINDS = registry(ROSTER_KINDS)


def applied(at, envelope):
    return apply_change(at, open_proposal(envelope), created=NOW + 5)


def refused(at, envelope, error=Refused):
    with pytest.raises(error):
        applied(at, envelope)


@pytest.mark.requirement("C8")
def test_a_holder_joins():
    new = applied(FIVE, join(FIVE, "zoe"))
    assert new.holders == (*FIVE.holders, who("zoe").as_holder(6))
    assert (new.version, new.previous, new.created) == (7, FIVE.hash, NOW + 5)
    assert new.next_index == 7
    assert (
        replace(
            new, holders=FIVE.holders, version=6, previous=FIVE.previous, created=NOW, next_index=6
        )
        == FIVE
    )


def test_a_requester_joins_and_goes():
    new = applied(FIVE, join(FIVE, "web", role=Role.REQUESTER))
    assert [one.name for one in new.requesters] == ["app", "web"]
    assert new.electorate == FIVE.electorate
    gone = applied(new, remove(new, "app", kind=changes.REQUESTER_REMOVE))
    assert [one.name for one in gone.requesters] == ["web"]


@pytest.mark.parametrize("name", ["h3", "app"])
def test_a_name_or_key_that_is_taken(name):
    refused(FIVE, join(FIVE, name))
    refused(FIVE, join(FIVE, name, role=Role.REQUESTER))


def test_the_last_index():
    full = replace(FIVE, next_index=MAX_HOLDERS)
    assert applied(full, join(full, "zoe")).holders[-1].index == MAX_HOLDERS
    full = replace(FIVE, next_index=MAX_HOLDERS + 1)
    refused(full, join(full, "zoe"))


@pytest.mark.requirement("C10")
def test_removal_leaves_a_quorum():
    four = applied(FIVE, remove(FIVE, "h2"))
    assert [holder.index for holder in four.holders] == [1, 3, 4, 5]
    three = applied(four, remove(four, "h5"))
    refused(three, remove(three, "h3"))
    assert three.next_index == FIVE.next_index


def test_removing_whom_nobody_knows():
    refused(FIVE, remove(FIVE, "app"))
    refused(FIVE, remove(FIVE, "authority"))
    refused(FIVE, remove(FIVE, "h1", kind=changes.REQUESTER_REMOVE))


@pytest.mark.parametrize(("threshold", "unlock"), [(2, 1), (2, 2), (5, 5), (3, 2)])
def test_the_quorum(threshold, unlock):
    new = applied(FIVE, set_quorum(FIVE, threshold, unlock))
    assert (new.threshold, new.unlock) == (threshold, unlock)
    assert (
        new.electorate == FIVE.electorate if threshold == 3 else new.electorate != FIVE.electorate
    )


def test_a_quorum_that_cannot_be():
    refused(FIVE, set_quorum(FIVE, 6))
    for threshold, unlock in ((1, 1), (256, 1), (3, 0), (3, 4)):
        refused(FIVE, set_quorum(FIVE, threshold, unlock), MalformedMessage)
    forming = roster(2, threshold=3)
    refused(forming, set_quorum(forming, 2))


def test_other_kinds_change_no_roster():
    refused(FIVE, proposed(FIVE), MalformedMessage)


CARD = encode(who("zoe").card())
BAD_BODIES = {
    "no card": (changes.JOIN, {"name": "zoe", "invited_by": ""}),
    "no name": (changes.JOIN, {"card": CARD, "invited_by": ""}),
    "another name": (changes.JOIN, {"name": "zora", "card": CARD, "invited_by": ""}),
    "another role": (changes.REQUESTER_JOIN, {"name": "zoe", "card": CARD, "invited_by": ""}),
    "a card that is none": (changes.JOIN, {"name": "zoe", "card": b"x", "invited_by": ""}),
    "an invitation in two lines": (
        changes.JOIN,
        {"name": "zoe", "card": CARD, "invited_by": "h1\nwho is the boss"},
    ),
    "nobody to remove": (changes.REMOVE, {}),
    "an impossible name": (changes.REMOVE, {"name": "../h1"}),
    "a number as a name": (changes.REMOVE, {"name": 3}),
    "text as a number": (changes.QUORUM, {"threshold": "3", "unlock": 1}),
    "yes as a number": (changes.QUORUM, {"threshold": 3, "unlock": True}),
}


@pytest.mark.parametrize(("kind", "options"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body(kind, options):
    refused(FIVE, proposed(FIVE, kind=kind, body=options_body(**options)), MalformedMessage)


MORE_THAN_IS_SHOWN = {
    changes.JOIN: {"name": "zoe", "card": CARD, "invited_by": "", "threshold": 2},
    changes.REMOVE: {"name": "h1", "why": "gone"},
    changes.QUORUM: {"threshold": 3, "unlock": 1, "after": 7},
    changes.REQUESTER_REMOVE: {"name": "app", "acks": 4},  # no epoch follows
}


@pytest.mark.parametrize("kind", MORE_THAN_IS_SHOWN)
def test_an_option_that_nobody_would_show(kind):
    body = options_body(**MORE_THAN_IS_SHOWN[kind])
    refused(FIVE, proposed(FIVE, kind=kind, body=body), NewerVersion)


def test_an_error_about_many_options_still_fits_a_problem_document():
    """Else it reaches nobody, and fills the line that a person reads of such a proposal."""
    many = {f"o{number:04}": None for number in range(2000)}
    with pytest.raises(NewerVersion) as caught:
        changes.only_options({"name": "x", **many}, "name")
    assert str(caught.value) == "unknown options: o0000, o0001, o0002, o0003, o0004 and 1995 more"
    with pytest.raises(NewerVersion, match="and 1995 more"):
        opened(refusal(caught.value))
    with pytest.raises(NewerVersion, match=r"^unknown options: o0000, o0004$"):
        changes.only_options({"o0004": None, "o0000": None})


def test_a_card_that_its_owner_did_not_sign():
    forged = replace(who("zoe").card(), signature=who("h1").card().signature)
    body = options_body(name="zoe", card=encode(forged), invited_by="")
    refused(FIVE, proposed(FIVE, kind=changes.JOIN, body=body), InvalidSignature)


@pytest.mark.requirement("C8")
def test_who_may_propose():
    asked = open_proposal(join(FIVE, "zoe"))
    body = changes.parse_holder_join(asked.options())
    changes.joiner_proposes(FIVE, asked, body)
    with pytest.raises(Refused):
        changes.joiner_proposes(FIVE, replace(asked, proposer=who("h1").key.public), body)
    with pytest.raises(Refused):
        changes.joiner_proposes(
            FIVE,
            open_proposal(join(FIVE, "h1")),
            changes.parse_holder_join(open_proposal(join(FIVE, "h1")).options()),
        )
    changes.holder_proposes(FIVE, proposal(FIVE, by="h5"), None)
    for stranger in ("app", "zoe", "authority"):
        with pytest.raises(Refused):
            changes.holder_proposes(FIVE, proposal(FIVE, by=stranger), None)


def test_words_show_the_fingerprint():
    join_ = changes.parse_holder_join(open_proposal(join(FIVE, "zoe")).options())
    fingerprint = str(who("zoe").key.public.fingerprint)
    assert fingerprint in changes.words_of_holder_join(join_)
    assert fingerprint in changes.words_of_requester_join(join_)
    assert changes.quotes_of_join(join_) == ()
    invited = replace(join_, invited_by="h1")
    assert changes.quotes_of_join(invited) == (("invited by", "h1"),)
    for words in (changes.words_of_holder_join, changes.words_of_requester_join):
        assert words(invited) == words(join_), "it is what the joiner says, and no fact"
    assert "h2" in changes.words_of_holder_removal(changes.Remove(name="h2", acks=0))
    assert "h2" in changes.words_of_requester_removal(changes.Remove(name="h2", acks=0))
    assert "4" in changes.words_of_quorum(changes.SetQuorum(threshold=4, unlock=1, acks=0))


@pytest.mark.parametrize(
    ("kind", "options"),
    [(changes.REMOVE, {"name": "h2"}), (changes.QUORUM, {"threshold": 3, "unlock": 1})],
)
def test_nothing_that_is_signed_is_left_unsaid(kind, options):
    proposals = (
        open_proposal(proposed(FIVE, kind=kind, body=options_body(**one)))
        for one in (options, {**options, "acks": 4})
    )
    plain, said = (words_of(KINDS, one, FIVE, by="h1").facts for one in proposals)
    assert said.startswith(plain.removesuffix(" · proposed by h1"))
    assert "4 holders" in said


@pytest.mark.parametrize(
    ("threshold", "unlock", "warned"),
    [
        (2, 1, ["the quorum is lowered from 3 to 2", "unlock is lowered from 2 to 1"]),
        (3, 1, ["unlock is lowered from 2 to 1"]),
        (4, 2, []),
        (3, 2, []),
    ],
)
def test_approvers_read_what_is_lowered(threshold, unlock, warned):
    now = replace(roster(5, threshold=3), unlock=2)
    change = open_proposal(set_quorum(now, threshold, unlock))
    words = words_of(registry(ROSTER_KINDS), change, now, by="h1").facts
    assert ("WARNING" in words) is bool(warned)
    assert all(one in words for one in warned)
