"""What commands say of a proposal that this program does not understand."""

from __future__ import annotations

import json

import pytest

from quorum_rig import chain_of, proposed, tally, verdict
from tigertally.base.errors import NewerVersion, PeerFault
from tigertally.base.ids import HolderIndex, Text
from tigertally.cli.proposals import card_of, document_of, row_of, unanswered_by
from tigertally.cli.tally import _verified
from tigertally.crypto.envelope import Envelope
from tigertally.node.kinds import all_kinds
from tigertally.quorum.changes import REMOVE
from tigertally.quorum.member.memory import UnknownProposal, see
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import options_body

pytestmark = pytest.mark.requirement("C7")

CHAIN = chain_of(3)
NOW = CHAIN.current
BODY = options_body(about="\x1b[2J", inner={"key": b"\x00" * 40, "list": [b"\x01", {"a": None}]})
ASKED = proposed(NOW, kind="tomorrow.notice", body=BODY)


def seen(asked: Envelope = ASKED) -> UnknownProposal:
    state = ProposalState(
        proposal=asked,
        approvals=(verdict(asked, NOW, 1),),
        rejections=(),
        late=(),
        status=Status.PENDING,
        why=Text(""),
    )
    one = see(state, CHAIN, all_kinds())
    assert isinstance(one, UnknownProposal)
    return one


def test_its_facts_are_json_whatever_is_in_it():
    facts = json.loads(json.dumps(document_of(seen())))
    assert (facts["unknown"], facts["needed"], facts["approvals"]) == (True, None, 1)
    assert facts["kind"] == "tomorrow.notice"
    assert "made by a newer version" in facts["summary"]
    assert facts["body"]["inner"] == {"key": "00" * 32 + "…", "list": ["01", {"a": None}]}
    assert row_of(seen(), "later")[3] == "1 of ?"
    assert "\x1b" not in facts["summary"], "what it says itself is not in the words"
    assert "\x1b" not in "".join(card_of(seen()).lines())


LIE = "approved-by-all-others-say-yes-to-it"


@pytest.mark.requirement("C7")
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (LIE, b"\xa0"),
        (REMOVE, options_body(name="h3", **{LIE.replace("-", "_"): 1})),
        (REMOVE, options_body(name=LIE.upper())),
    ],
    ids=["kind", "option", "unreadable"],
)
def test_nothing_that_its_proposer_chose_stands_among_the_facts(kind, body):
    """Forty letters are enough for a sentence."""
    one = seen(proposed(NOW, kind=kind, body=body))
    said = card_of(one)
    for facts in (said.facts, one.words, str(one.refusal()), row_of(one, "later")[1].facts):
        assert "approved" not in facts.replace("it cannot be approved on this device", "")
    assert kind == LIE or one.words.startswith(f"{REMOVE}, ")
    (quote,) = said.quotes
    assert quote.startswith("not understood, as the proposal of h1 says: “")
    assert (LIE in quote.replace("_", "-")) == (body.find(LIE.upper().encode()) < 0)


def test_it_waits_for_an_answer_as_others_do():
    """It is in the inbox, and may be rejected."""
    one = seen()
    assert unanswered_by(HolderIndex(2), [one, one]) == 2
    assert unanswered_by(HolderIndex(1), [one]) == 0, "the positive control: h1 has answered"


def test_its_tally_is_neither_good_nor_bad():
    for asked in (ASKED, proposed(NOW, kind=REMOVE, body=options_body(name="h3", after=7))):
        with pytest.raises(NewerVersion, match="verify it with that"):
            _verified(tally(asked, NOW, 1, 2), CHAIN)
        for holders in ((), (1,), (1, 1)):
            with pytest.raises(PeerFault, match="no tally"):
                _verified(tally(asked, NOW, *holders), CHAIN)
    with pytest.raises(PeerFault, match="no tally"):  # the positive control: one that is known
        _verified(tally(proposed(NOW, kind=REMOVE, body=options_body(name="h3")), NOW, 1), CHAIN)
