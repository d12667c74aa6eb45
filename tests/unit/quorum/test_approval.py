from __future__ import annotations

import pytest

from quorum_rig import proposed, roster, verdict, who
from tigertally.algebra import tags
from tigertally.base.errors import InvalidSignature, Refused
from tigertally.crypto.envelope import sign_message
from tigertally.quorum.approval import Verdict, attachment_hash, open_approval
from tigertally.quorum.proposal import proposal_id

pytestmark = pytest.mark.requirement("C7")

ROSTER = roster()
ASKED = proposed(ROSTER)


def test_it_opens_under_the_key_its_roster_lists():
    approval = open_approval(verdict(ASKED, ROSTER, 2), ROSTER)
    assert approval.proposal == proposal_id(ASKED)
    assert approval.verdict is Verdict.APPROVE
    assert approval.holder == 2


def test_another_holders_signature_is_refused_and_nobody_is_surely_blamed():
    with pytest.raises(InvalidSignature) as refused:
        open_approval(verdict(ASKED, ROSTER, 2, key=who("h1").key), ROSTER)
    assert not refused.value.sure


def test_a_holder_that_is_not_listed_has_no_verdict():
    with pytest.raises(Refused):
        open_approval(verdict(ASKED, ROSTER, 4), ROSTER)


def test_a_verdict_signed_for_another_purpose_is_none():
    approval = open_approval(verdict(ASKED, ROSTER, 2), ROSTER)
    with pytest.raises(InvalidSignature):
        open_approval(sign_message(who("h2").key, tags.PROPOSAL, approval), ROSTER)


def test_what_travels_beside_it_is_bound_by_its_hash():
    assert attachment_hash(b"a") != attachment_hash(b"b")
    assert attachment_hash(b"") != attachment_hash(b"\x00")
