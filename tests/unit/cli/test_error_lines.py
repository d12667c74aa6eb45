from __future__ import annotations

import errno
import os
import signal

import pytest
import typer

from tigertally.base import errors as tree
from tigertally.base.text import PlainText
from tigertally.cli.errors import _ADVICE, one_line, report

OURS = [
    (tree.UsageError("no file x"), 2, "usage"),
    (tree.NoSuchDoor("no such path"), 2, "no-such-door"),
    (tree.MalformedMessage("not a card"), 5, "malformed"),
    (tree.PeerFault("sent two dealings"), 5, "peer-fault"),
    (tree.InvalidSignature("does not verify"), 5, "invalid-signature"),
    (tree.InvalidEvidence("debug is on"), 5, "invalid-evidence"),
    (tree.Refused("wrong PIN"), 3, "refused"),
    (tree.WrongTime("the proposal has expired"), 3, "wrong-time"),
    (tree.NewerVersion("an unknown kind"), 3, "newer-version"),
    (tree.Unavailable("no answer"), 4, "unavailable"),
    (tree.Locked("the authority is locked"), 4, "locked"),
    (tree.Damaged("the server's store is damaged: a row does not open"), 4, "damaged"),
    (tree.Corrupt("a row does not open"), 6, "corrupt"),
]


@pytest.mark.parametrize(("error", "code", "slug"), OURS, ids=lambda value: str(value)[:20])
def test_every_error_of_the_tree_has_its_code_and_line(error, code, slug):
    said = report(error, command="tally key get")
    assert (said.code, said.slug) == (code, slug)
    line = said.line()
    assert line.startswith(f"tally: {error}; ")
    assert "\n" not in line
    assert "{" not in line
    assert said.as_json()["error"] == slug
    assert said.as_json()["code"] == code


def classes(root):
    return {root} | {c for below in root.__subclasses__() for c in classes(below)}


def test_the_list_above_is_the_whole_tree():
    ours = {c for c in classes(tree.TigertallyError) if c.__module__ == tree.__name__}
    assert ours - {tree.TigertallyError} == {type(error) for error, _, _ in OURS}


def test_each_sort_of_error_has_one_advice():
    kinds = [kind for kind, _, _ in _ADVICE]
    assert len(set(kinds)) == len(kinds), "the second is never read"


def test_what_was_typed_and_would_not_be_seen_says_what_to_do():
    with pytest.raises(tree.MalformedMessage, match=r"U\+2028.*: write it without that"):
        PlainText("restore\u2028test")


@pytest.mark.parametrize(("sure", "mark"), [(True, ""), (False, " (not proven)")])
def test_culprits_are_named(sure, mark):
    error = tree.PeerFault("a wrong fragment", culprits=("bob", "carol"), sure=sure)
    said = report(error)
    assert f"; at fault: bob, carol{mark}; " in said.line()
    assert said.as_json()["culprits"] == ["bob", "carol"]
    assert said.as_json()["sure"] is sure


def test_an_error_that_says_what_to_do_gets_no_general_advice_whatever_its_words():
    said = report(tree.Unavailable("it is busy", advice="come back"))
    assert said.line() == "tally: it is busy: come back; nobody is to blame yet"
    words = report(tree.Unavailable("it broke again: `tally key list`"))
    assert words.advice == "try again; the same command resumes"


def test_notes_are_the_advice():
    error = tree.Refused("wrong passphrase")
    error.add_note("try again")
    assert report(error).line() == "tally: wrong passphrase; try again"


def test_a_usage_error_points_to_the_help_of_its_command():
    said = report(tree.UsageError("no file x."), command="tally key get")
    assert said.line() == "tally: no file x; see tally key get --help"


def test_messages_of_others_cannot_play_with_the_terminal():
    said = report(tree.PeerFault("bad\x1b[2J\r\nname\u202e\u0007", culprits=("e\x1bve",)))
    assert all(c.isprintable() for c in said.line())
    assert all(c.isprintable() for c in said.as_json()["message"])
    assert one_line("a\r\n  b\x1b[2J") == "a b<U+001B>[2J"
    assert one_line("done\u3164\u2028" + " " * 400 + "x") == "done<U+3164><U+2028><U+0020 ×400>x"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "check who owns it"),
        (errno.ENOENT, "check the path"),
        (errno.EIO, "the system said no"),
    ],
)
def test_the_system_said_no(number, words):
    said = report(OSError(number, os.strerror(number), "/some/where"))
    assert said.code == 1
    assert said.line().startswith(f"tally: {os.strerror(number)}: /some/where; ")
    assert words in said.line()


def test_a_surprise_says_its_type_and_nothing_of_its_content():
    said = report(ValueError("secret stuff"))
    assert said.code == 1
    assert "ValueError" in said.line()
    assert "--debug" in said.line()
    assert "secret stuff" not in said.line() + str(said.as_json())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (SystemExit(128 + signal.SIGTERM), 143),
        (SystemExit(128 + signal.SIGHUP), 129),
        (SystemExit("some words"), 1),
        (typer.Abort(), 1),
        (typer.BadParameter("a name is short"), 2),
    ],
    ids=repr,
)
def test_other_ends(error, code):
    assert report(error).code == code


def test_what_typer_says_reads_like_ours():
    line = report(typer.BadParameter("A name is short.")).line()
    assert line == "tally: invalid value: A name is short; see tally --help"


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("tally holder sync", "the same command resumes"),
        ("tally write", "the same command begins anew"),
        ("tally stream write", "another stream needs another label"),
    ],
)
def test_an_interrupted_command_says_what_comes_next(command, advice):
    for error in (KeyboardInterrupt(), SystemExit(128 + signal.SIGTERM)):
        assert report(error, command=command).line().endswith(advice)


def test_notes_are_the_advice_of_the_system_too():
    error = OSError(errno.ENOSPC, "No space left on device", "x")
    error.add_note("use another label")
    assert report(error).line().endswith("; the system said no; use another label")
