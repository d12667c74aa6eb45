from __future__ import annotations

import pytest

from quorum_rig import join, proposal, proposed, remove, roster
from tigertally.base.errors import MalformedMessage, NewerVersion, UsageError
from tigertally.base.ids import Name
from tigertally.node.kinds import all_kinds
from tigertally.quorum import changes
from tigertally.quorum.authority.proposals import ChangeRoster, QuorumService
from tigertally.quorum.authority.strangers import Counted
from tigertally.quorum.kinds import ROSTER_KINDS, kind_of, registry, words_of
from tigertally.quorum.proposal import open_proposal

pytestmark = pytest.mark.requirement("C7")

KINDS = registry(ROSTER_KINDS)
ROSTER = roster()


def test_every_roster_kind_is_registered_once():
    assert set(KINDS) == changes.KINDS
    with pytest.raises(UsageError):
        registry((*ROSTER_KINDS, ROSTER_KINDS[0]))


def test_kinds_and_executors_pair():
    executors = dict.fromkeys(map(str, changes.KINDS), ChangeRoster(()))
    QuorumService(KINDS, executors, Counted())
    with pytest.raises(UsageError, match="custody"):
        QuorumService(all_kinds(), executors, Counted())
    with pytest.raises(UsageError, match=str(changes.JOIN)):
        QuorumService({}, executors, Counted())


def test_a_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        KINDS["test.plain"] = ROSTER_KINDS[0]


def test_an_unknown_kind():
    with pytest.raises(NewerVersion):
        kind_of(KINDS, proposal(ROSTER))
    with pytest.raises(NewerVersion):
        words_of(KINDS, proposal(ROSTER), ROSTER, by="h1")


def test_words():
    removed = words_of(KINDS, open_proposal(remove(ROSTER, "h3")), ROSTER, by="h1")
    assert "h3" in removed.facts
    assert removed.facts.endswith(" · proposed by h1")
    assert "zoe" in words_of(KINDS, open_proposal(join(ROSTER, "zoe")), ROSTER, by="zoe").facts
    with pytest.raises(MalformedMessage):
        wrong = open_proposal(proposed(ROSTER, kind=changes.REMOVE))
        words_of(KINDS, wrong, ROSTER, by="h1")


def test_a_warning_stands_before_everything():
    five = roster(5)
    body = changes.remove_body(Name("h3"), acks=1)
    few = open_proposal(proposed(five, kind=changes.REMOVE, body=body))
    assert words_of(KINDS, few, five, by="h1").facts.startswith("WARNING: 1 of ")


def test_what_may_be_decided_while_forming():
    forming = {name for name, kind in all_kinds().items() if kind.while_forming}
    assert forming == {changes.JOIN, changes.REQUESTER_JOIN, changes.REQUESTER_REMOVE}


def test_only_releases_take_late_approvals():
    late = {name for name, kind in all_kinds().items() if kind.takes_late_approvals}
    assert late == {"custody.release"}
