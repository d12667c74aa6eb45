"""What names a proposal, before anything is opened or asked."""

from __future__ import annotations

import pytest

from tigertally.base.errors import UsageError
from tigertally.base.ids import ProposalId
from tigertally.cli import question

WHOLE = "3f2a81bc" * 8


def test_the_whole_id_names_a_proposal_everywhere():
    for beginning in (True, False):
        assert question.named_by(WHOLE, beginning=beginning) == ProposalId.from_text(WHOLE)
        assert question.named_by(WHOLE.upper(), beginning=beginning) == ProposalId.from_text(WHOLE)


def test_a_beginning_is_for_whoever_sees_what_it_stands_for():
    assert question.named_by("3F2A81BC", beginning=True) == "3f2a81bc"
    assert question.named_by(WHOLE[:63], beginning=True) == WHOLE[:63]
    for text in ("3f2a81bc", WHOLE[:63]):
        with pytest.raises(UsageError, match="all 64 digits"):
            question.named_by(text, beginning=False)


@pytest.mark.parametrize("beginning", [True, False])
@pytest.mark.parametrize("text", ["", "3f", "3f2a81b", "not hex!", WHOLE + "00", WHOLE[:63] + "…"])
def test_anything_else_names_nothing(text, beginning):
    with pytest.raises(UsageError):
        question.named_by(text, beginning=beginning)


@pytest.mark.parametrize(
    ("json", "out", "err", "seen"),
    [
        (False, True, True, True),
        (False, False, True, True),  # `tally holder approve … > log`
        (False, False, False, False),
        (True, True, True, True),
        (True, True, False, False),  # standard output is for programs
    ],
)
def test_nobody_is_asked_what_they_cannot_see(monkeypatch, json, out, err, seen):
    monkeypatch.setattr(question.session, "json", json)
    for stream, is_terminal in (("stdin", True), ("stdout", out), ("stderr", err)):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda is_terminal=is_terminal: is_terminal)
    if seen:
        question.check_screen()
    else:
        with pytest.raises(UsageError, match="is the terminal"):
            question.check_screen()
