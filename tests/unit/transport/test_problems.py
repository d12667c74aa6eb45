"""RFC 9457 documents: the whole tree there and back, and nothing of what is not ours."""

from __future__ import annotations

import json

import pytest

from tigertally.base import errors
from tigertally.base.errors import MalformedMessage, PeerFault, TigertallyError, Unavailable
from tigertally.transport import problems

PREFIX = "urn:tigertally:problem:"


def tree(root=TigertallyError):
    return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]


ALL = [kind for kind in tree() if kind.__module__ == errors.__name__]


def document(**members):
    base = {"type": PREFIX + "refused", "title": "no", "status": 403, "code": 3}
    return json.dumps(base | members).encode()


@pytest.mark.requirement("C1")
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_comes_back_as_it_left(kind):
    status, raw = problems.to_document(kind("it broke: 破"))
    back = problems.from_document(raw)
    assert type(back) is kind
    assert (str(back), back.code, status) == ("it broke: 破", kind.code, kind.status)
    assert json.loads(raw)["status"] == status


def test_the_tree_is_whole():
    assert {kind.__name__ for kind in ALL} >= {"UsageError", "Locked", "Corrupt", "InvalidEvidence"}
    assert len({kind.slug for kind in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", [kind for kind in ALL if issubclass(kind, PeerFault)])
@pytest.mark.parametrize("sure", [True, False])
def test_culprits_and_certainty_come_back(kind, sure):
    _, raw = problems.to_document(kind("cheated", culprits=("holder-3", "holder-4"), sure=sure))
    back = problems.from_document(raw)
    assert isinstance(back, kind)
    assert (back.culprits, back.sure) == (("holder-3", "holder-4"), sure)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_advice_comes_back_and_the_sentence_is_as_it_was(kind):
    error = kind("it broke: mend it")
    error.advice = "mend it"
    back = problems.from_document(problems.to_document(error)[1])
    assert (str(back), back.advice) == ("it broke: mend it", "mend it")


def test_advice_that_is_too_long_costs_only_itself():
    raw = problems.to_document(Unavailable("it broke", advice="x" * 201))[1]
    back = problems.from_document(raw)
    assert (str(back), back.advice) == (f"it broke: {'x' * 201}", "")


@pytest.mark.parametrize("advice", ["zz", " ", "", "x" * 201])
def test_advice_that_the_sentence_does_not_end_with_takes_the_place_of_none(advice):
    back = problems.from_document(document(title="it broke", advice=advice))
    assert (str(back), back.advice) == ("it broke", "")


def test_a_program_of_before_says_no_advice_and_is_sent_the_whole_sentence():
    raw = problems.to_document(Unavailable("it broke", advice="try again"))[1]
    assert json.loads(raw)["title"] == "it broke: try again"
    assert "advice" not in json.loads(problems.to_document(Unavailable("try again"))[1])
    assert problems.from_document(document(title="try again")).advice == ""


@pytest.mark.parametrize("error", [ValueError("secret-word"), KeyError("secret-word"), OSError(2)])
def test_an_unknown_exception_shows_nothing(error):
    status, raw = problems.to_document(error)
    assert status == 500
    assert raw == problems.to_document(RuntimeError())[1]
    assert b"secret-word" not in raw
    assert type(error).__name__.encode() not in raw
    assert type(problems.from_document(raw)) is TigertallyError


def test_a_status_can_be_given():
    status, raw = problems.to_document(Unavailable("busy"), status=429)
    assert (status, json.loads(raw)["status"]) == (429, 429)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1, "TigertallyError"), (2, "UsageError"), (3, "Refused"), (4, "Unavailable"),
     (5, "PeerFault"), (6, "Corrupt"), (77, "TigertallyError")],
)  # fmt: skip
def test_a_slug_of_tomorrow_becomes_the_general_error_of_its_code(code, kind):
    back = problems.from_document(document(type=PREFIX + "of-tomorrow", code=code))
    assert type(back).__name__ == kind


def test_an_error_of_a_capability_travels_under_its_parents_name():
    class Special(errors.Refused):
        pass

    assert type(problems.from_document(problems.to_document(Special("no"))[1])) is errors.Refused


def test_terminal_sequences_and_direction_overrides_do_not_reach_the_screen():
    back = problems.from_document(document(title="a\x1b[2Jb\u202ec\nd"))
    assert str(back) == "a<U+001B>[2Jb<U+202E>c<U+000A>d"
    said = problems.from_document(document(title="b: a\x1b", advice="a\x1b"))
    assert said.advice == "a<U+001B>"
    named = problems.from_document(document(type=PREFIX + "peer-fault", culprits=["x\x07"]))
    assert named.culprits == ("x<U+0007>",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 40_000,
        b'{"type": "about:blank", "title": "x", "code": 3}',
        document(type=7),
        document(title=None),
        document(title="x" * 2001),
        document(advice=7),
        document(code="3"),
        document(code=True),
        document(type=PREFIX + "peer-fault", culprits="holder-1"),
        document(type=PREFIX + "peer-fault", culprits=[7]),
        document(type=PREFIX + "peer-fault", culprits=["x" * 129]),
        document(type=PREFIX + "peer-fault", culprits=["x"] * 1025),
        document(type=PREFIX + "peer-fault", sure="yes"),
        document(more="x" * 65536),
    ],
)
def test_other_bytes_are_malformed(raw):
    with pytest.raises(MalformedMessage):
        problems.from_document(raw)
