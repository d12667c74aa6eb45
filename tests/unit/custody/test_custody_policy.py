"""Who may, in which words, with which numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody_small import KEY, small
from tigertally.base.errors import Refused
from tigertally.base.ids import Name, Text
from tigertally.custody.messages.kinds import Create, Destroy, Form, KeyRef, Release, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.policy import (
    KINDS,
    acks_warning,
    check_acks,
    check_may_ask,
    check_requesters,
    quotes_of_release,
    words_of_create,
    words_of_destruction,
    words_of_release,
)
from tigertally.custody.state.authority import KeyState, not_usable
from tigertally.quorum.proposal import open_proposal

SMALL = small()
CREATE = Create(
    key=Name("payroll"),
    suite=Suite.PEDERSEN_ED25519,
    acks=4,
    options=KeyOptions.of(),
)


def release(form: Form) -> Release:
    return Release(
        key=KEY.name,
        version=3,
        reason=Text("quarter end"),
        form=form,
        wrapping_key=SMALL.rig.wrapping_key.public,
    )


def asked_by(*names: str, unattended: bool = False) -> KeyOptions:
    return KeyOptions.of(map(Name, names), unattended=unattended)


def test_approvers_read_everything_that_matters() -> None:
    plain = words_of_create(CREATE)
    assert "payroll" in plain
    assert "4 holders" in plain
    assert "any requester" in plain
    assert "AUTHORITY SEES" not in plain
    loud = words_of_create(
        replace(
            CREATE,
            suite=Suite.SHAMIR_GF256,
            options=asked_by("a", "b", unattended=True),
        )
    )
    assert "AUTHORITY SEES THIS KEY" in loud
    assert "UNATTENDED" in loud
    assert "a, b may ask" in loud
    assert loud.startswith("THE AUTHORITY SEES THIS KEY"), "before what may be long"
    asked = release(Form.PRIVATE)
    assert words_of_release(asked).startswith("FORM PRIVATE: ")
    assert "payroll version 3" in words_of_release(asked)
    assert "PRIVATE" not in words_of_release(release(Form.FINAL))
    assert quotes_of_release(asked) == (("reason", "quarter end"),)
    assert "quarter end" not in words_of_release(asked), "facts hold nobody's own text"


@pytest.mark.requirement("C7")
@pytest.mark.parametrize(
    ("acks", "fine"), [(1, False), (2, False), (3, True), (4, True), (5, False)]
)
def test_a_quorum_at_least_must_have_it_and_at_most_all(acks: int, fine: bool) -> None:
    if fine:
        check_acks(acks, SMALL.roster)
    else:
        with pytest.raises(Refused, match="acks is 3"):
            check_acks(acks, SMALL.roster)


def test_a_warning_below_twice_the_quorum_less_one() -> None:
    assert acks_warning(5, 3) == acks_warning(9, 3) == ""
    assert "lost if 2 of those" in acks_warning(4, 3)
    assert "lost if 1 of those" in acks_warning(3, 3)


@pytest.mark.requirement("C7")
def test_holders_make_keys_and_requesters_ask_for_them() -> None:
    create, rotate, destroy, ask = KINDS
    by_holder = open_proposal(SMALL.create()[0].proposal)
    by_requester = open_proposal(SMALL.release()[0].proposal)
    create.may_propose(SMALL.roster, by_holder, CREATE)
    ask.may_propose(SMALL.roster, by_requester, None)
    with pytest.raises(Refused):
        create.may_propose(SMALL.roster, by_requester, CREATE)
    with pytest.raises(Refused):
        ask.may_propose(SMALL.roster, by_holder, None)
    stranger = replace(by_holder, proposer=SMALL.rig.key.public)
    for kind in (create, rotate, destroy, ask):
        with pytest.raises(Refused):
            kind.may_propose(SMALL.roster, stranger, CREATE)
    for kind in (rotate, destroy):
        kind.may_propose(SMALL.roster, by_holder, None)
        with pytest.raises(Refused):
            kind.may_propose(SMALL.roster, by_requester, None)
    assert ask.takes_late_approvals
    assert not create.takes_late_approvals


@pytest.mark.requirement("C2")
def test_an_import_is_proposed_by_a_requester_for_itself_and_never_in_shamir() -> None:
    create = KINDS[0]
    by_holder = open_proposal(SMALL.create()[0].proposal)
    by_requester = open_proposal(SMALL.release()[0].proposal)
    imported = replace(CREATE, imported=True)
    create.may_propose(SMALL.roster, by_requester, imported)
    create.may_propose(
        SMALL.roster,
        by_requester,
        replace(imported, options=asked_by("app", "b")),
    )
    with pytest.raises(Refused, match="only an enrolled requester"):
        create.may_propose(SMALL.roster, by_holder, imported)
    with pytest.raises(Refused, match="the authority could open"):
        create.may_propose(SMALL.roster, by_requester, replace(imported, suite=Suite.SHAMIR_GF256))
    with pytest.raises(Refused, match="app may not ask"):
        create.may_propose(SMALL.roster, by_requester, replace(imported, options=asked_by("b")))
    assert "IMPORT" in words_of_create(imported)
    assert "IMPORT" not in words_of_create(CREATE)


def test_a_destruction_says_how_much_is_destroyed() -> None:
    every = words_of_destruction(Destroy(key=Name("payroll"), version=None))
    assert "ALL VERSIONS" in every
    assert "FOR EVER" in every
    one = words_of_destruction(Destroy(key=Name("payroll"), version=3))
    assert "version 3 alone" in one
    assert "ALL" not in one


def test_those_named_exist_and_only_they_may_ask() -> None:
    check_requesters(replace(CREATE, options=asked_by("app")), SMALL.roster)
    with pytest.raises(Refused, match="ghost"):
        check_requesters(replace(CREATE, options=asked_by("app", "ghost")), SMALL.roster)
    check_may_ask(KEY, (), "anybody")
    check_may_ask(KEY, (Name("app"),), "app")
    with pytest.raises(Refused, match="ghost may not ask"):
        check_may_ask(KEY, (Name("app"),), "ghost")


def test_a_key_that_is_not_there_yet_says_who_makes_it_so():
    ref = KeyRef(name=Name("payroll"), version=1)
    pending = str(not_usable(ref, KeyState.PENDING.value))
    assert pending.startswith("payroll version 1 is pending: holders still have to sync")
    assert str(not_usable(ref, KeyState.DESTROYED.value)) == "payroll version 1 is destroyed"
