"""What a person has read is what is signed: approving and rejecting, on terminals and without.

Real processes on real pseudo-terminals. Beginnings of ids that collide: `test_twin_ids`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from terminal import CTRL_C, CTRL_D

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("X9")]


@pytest.fixture
def asked(town, tmp_path):
    """The town, and the id of an open release."""
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "restore test")
    waiting = town.json(*get, "--out", tmp_path / "k", "--no-wait")
    return town, waiting["proposal"]


def unsigned(town, id_, by="bob"):
    """The proposal is open, and this holder has not answered it."""
    (one,) = [one for one in town.json("holder", "inbox", "--profile", by) if one["id"] == id_]
    return one["your_answer"] is None


def said_by_bob(town):
    """His verdicts, as the log has them."""
    log = town.json("audit", "list", "--profile", "alice")
    return [entry["index"] for entry in log if entry["summary"] == "bob approved"]


def test_a_person_reads_the_inbox_and_then_approves_by_the_beginning(asked):
    town, id_ = asked
    assert id_[:12] in town.at_terminal("holder", "inbox", "--profile", "bob").wait().err
    approve = town.at_terminal("holder", "approve", id_[:8], "--profile", "bob")
    shown = approve.asked("Approve?")
    assert "payroll version 1" in shown
    assert "restore test" in shown
    assert unsigned(town, id_), "the question is asked first; nothing is locked meanwhile"
    outcome = approve.answer("y\n")
    assert outcome.code == 0
    assert outcome.err.endswith("pending: 1 of 2 approvals\n")


LONG = ("ж" * 20 + " ") * 23 + "form final"  # a word a line, on a terminal of the usual width


def test_a_long_reason_pushes_no_fact_off_the_screen(town, tmp_path):
    """What a person has before their eyes when they are asked is the whole of the facts."""
    get = ("key", "get", "payroll", "--profile", "app", "--form", "private", "--reason", LONG)
    id_ = town.json(*get, "--out", tmp_path / "k", "--no-wait")["proposal"]
    approve = town.at_terminal("holder", "approve", id_, "--profile", "bob", columns=80, rows=24)
    lines = approve.asked("Approve?").splitlines()
    facts = [i for i, line in enumerate(lines) if line.startswith("FORM PRIVATE")]
    assert len(lines) - facts[0] > 24, "the control: the first of them is out of sight"
    screen = "\n".join(lines[-24:])
    assert "FORM PRIVATE: the requester keeps the private key itself" in screen
    assert "release payroll version 1" in screen
    assert id_ in screen.replace("\n  ", "")
    assert approve.answer("n\n").code == 3


def test_json_goes_to_standard_output_and_the_question_to_the_terminal(asked):
    town, id_ = asked
    approve = town.at_terminal("holder", "approve", id_, "--profile", "bob", "--json")
    assert "restore test" in approve.asked("Approve?")
    outcome = approve.answer("yes\n")
    assert (outcome.code, outcome.document()["id"], outcome.document()["approvals"]) == (0, id_, 1)


def test_no_answer_but_yes_signs(asked):
    town, id_ = asked
    for verb, keys, code, said in (
        ("approve", "n\n", 3, "you answered no: nothing was signed"),
        ("reject", "\n", 3, "no answer is a no: nothing was signed"),
        ("approve", "yup\n", 3, "you answered no: nothing was signed"),
        ("reject", CTRL_D, 3, "no answer is a no: nothing was signed"),
        ("approve", CTRL_C, 130, "interrupted; nothing was signed"),
    ):
        command = town.at_terminal("holder", verb, id_, "--profile", "bob")
        command.asked(f"{verb.capitalize()}?")
        outcome = command.answer(keys)
        assert outcome.code == code, repr(keys)
        assert outcome.err.splitlines()[-1].startswith(f"tally: {said}"), outcome.err
    assert unsigned(town, id_)
    reject = town.at_terminal("holder", "reject", id_, "--profile", "bob")
    reject.asked("Reject?")
    assert reject.answer("Y\n").code == 0
    assert not unsigned(town, id_), "the same with a yes"


def test_what_others_have_closed_while_the_person_thought_is_not_signed(asked):
    town, id_ = asked
    unsaid = said_by_bob(town)
    approve = town.at_terminal("holder", "approve", id_, "--profile", "bob")
    approve.asked("Approve?")
    town.approve(id_, "alice", "carol")
    outcome = approve.answer("y\n")
    assert outcome.code == 3
    assert "the proposal is complete by now: nothing was signed; `tally holder app" in outcome.err
    assert unsaid == said_by_bob(town)


def test_what_was_typed_before_the_question_answers_nothing(asked):
    town, id_ = asked
    approve = town.at_terminal("holder", "approve", id_, "--profile", "bob")
    approve.terminal.type("y\n")
    approve.asked("Approve?")
    assert approve.answer("n\n").code == 3
    assert unsigned(town, id_)


def test_yes_answers_the_question_for_the_whole_id_only(asked):
    town, id_ = asked
    town.run("holder", "inbox", "--profile", "bob")
    short = town.at_terminal("holder", "approve", id_[:8], "--profile", "bob", "--yes").wait()
    assert short.code == 2
    assert "all 64 digits" in short.err
    assert unsigned(town, id_)
    whole = town.at_terminal("holder", "approve", id_, "--profile", "bob", "--yes").wait()
    assert (whole.code, "?" in whole.err) == (0, False)
    assert "restore test" in whole.err, "shown all the same"


def device_rows(town, name):
    """Every row of a device's store as it lies on the disk."""
    with closing(sqlite3.connect(town.home / name / "store.db")) as store:
        tables = [
            name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {name: store.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def test_a_name_that_is_no_id_contacts_nobody(asked):
    """An unset variable, too few digits, an id never displayed here, a beginning in a script."""
    town, id_ = asked
    town.run("holder", "inbox", "--profile", "carol")  # another device: it does not count here
    before = town.state()
    town.authority_down()
    rows = device_rows(town, "bob")
    for verb, text in (("approve", ""), ("approve", id_[:2]), ("reject", id_[:8])):
        outcome = town.run("holder", verb, text, "--profile", "bob", code=2)
        assert outcome.err.count("\n") == 1
        person = town.at_terminal("holder", verb, text, "--profile", "bob").wait()
        assert person.code == 2, person
        assert "[y/N]" not in person.err
    assert device_rows(town, "bob") == rows
    town.run("holder", "approve", id_, "--profile", "bob", code=4)  # it does contact the authority
    town.authority_up()
    town.unlock()
    assert town.state() == before
