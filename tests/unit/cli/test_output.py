from __future__ import annotations

import json
from pathlib import Path

import pytest

from tigertally.base.errors import PeerFault
from tigertally.base.ids import Fingerprint, Hash, Name
from tigertally.cli import output
from tigertally.cli.errors import report
from tigertally.quorum.card import Role


@pytest.fixture(autouse=True)
def fresh():
    output.reset()
    yield
    output.reset()


@pytest.fixture
def as_json(capsys):
    output.session.json = True

    def printed(failure=None):
        output.finish(failure)
        return json.loads(capsys.readouterr().out)

    return printed


def test_people_read_words_at_once(capsys):
    output.emit({"a": 1}, "all is well")
    assert capsys.readouterr().out == "all is well\n"
    output.finish()
    assert capsys.readouterr().out == ""


def test_words_may_be_made_late(capsys):
    output.emit({"a": 1}, lambda: "made late")
    assert capsys.readouterr().out == "made late\n"


def test_scripts_read_one_document_at_the_end(capsys, as_json):
    output.emit({"a": 1}, lambda: pytest.fail("not with --json"))
    assert capsys.readouterr().out == ""
    assert as_json() == {"a": 1}


def test_values_of_ours_become_text(as_json):
    fingerprint = Fingerprint(bytes(32))
    output.emit(
        {
            "hash": Hash(b"\x01" * 32),
            "fingerprint": fingerprint,
            "raw": b"\x00\xff",
            "name": Name("alice"),
            "role": Role.HOLDER,
            "path": Path("/a/b"),
            "set": {"b", "a"},
            "tuple": (1, None),
            "odd": "caf\u00e9 \udc80",
        }
    )
    assert as_json() == {
        "hash": "01" * 32,
        "fingerprint": str(fingerprint),
        "raw": "00ff",
        "name": "alice",
        "role": "holder",
        "path": "/a/b",
        "set": ["a", "b"],
        "tuple": [1, None],
        "odd": "caf\u00e9 \udc80",
    }


def test_nothing_odd_slips_into_a_document(as_json):
    output.emit({"a": object()})
    with pytest.raises(TypeError, match="no place"):
        as_json()


def test_a_failure_keeps_what_was_said_before(as_json):
    output.emit({"proposal": "p", "state": "waiting"})
    said = as_json(report(PeerFault("a lie", culprits=("bob",))))
    assert said["proposal"] == "p"
    assert (said["error"], said["code"], said["culprits"]) == ("peer-fault", 5, ["bob"])


def test_a_failure_after_a_list_is_an_object(as_json):
    output.emit([1, 2])
    assert as_json(report(PeerFault("a lie")))["error"] == "peer-fault"


def test_a_command_has_one_result():
    output.emit([])
    with pytest.raises(RuntimeError):
        output.emit([])


def test_a_table_in_a_pipe_is_plain_and_whole(capsys):
    rows = [("alice", None, True, "x" * 300), (Role.HOLDER, 3, False, (1, 2))]
    output.emit([], output.table(("name", "n", "ok", "text"), rows, empty="nothing"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "N", "OK", "TEXT"]
    assert lines[1].split() == ["alice", "-", "yes", "x" * 300]
    assert lines[2].split() == ["holder", "3", "no", "1,", "2"]
    assert lines[1].index("yes") == lines[2].index("no") == lines[0].index("OK")


def test_a_table_on_a_terminal_is_drawn_and_reads_no_markup(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.emit([], output.table(("name",), [("[red]al\x1b[2Jice[/red]",)], empty="nothing"))
    printed = capsys.readouterr().out
    assert "[red]al<U+001B>[2Jice[/red]" in printed
    assert "\u2500" in printed or "\u2501" in printed


def test_an_empty_table_says_so(capsys):
    output.emit([], output.table(("name",), [], empty="no profiles"))
    assert capsys.readouterr().out == "no profiles\n"


def test_facts_are_aligned():
    assert output.facts({"a": 1, "long": "x\ny"}) == "a     1\nlong  x y"


def test_notes_go_to_standard_error(capsys):
    output.note("one\ntwo")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "one two\n")


def test_progress_is_silent_where_nobody_looks(capsys):
    with output.progress("encrypting", 100) as done:
        done(50)
        done(100)
    assert capsys.readouterr() == ("", "")


def test_progress_is_drawn_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with output.progress("encrypting", 100) as done:
        done(100)
    printed = capsys.readouterr()
    assert "encrypting" in printed.err
    assert printed.out == ""
