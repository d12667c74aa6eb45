"""Approving and rejecting, as far as nobody needs to be asked."""

from __future__ import annotations

import pytest

from tigertally.base.errors import UsageError
from tigertally.base.ids import Name
from tigertally.cli import question, verdict


@pytest.mark.parametrize("approve", [True, False])
def test_a_question_that_nobody_sees_is_not_asked(monkeypatch, tmp_path, approve):
    """Before the profile is opened, and so before anybody is contacted."""
    monkeypatch.setenv("TALLY_HOME", str(tmp_path))
    monkeypatch.setattr(question.session, "json", False)
    for stream, is_terminal in (("stdin", True), ("stdout", False), ("stderr", False)):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda is_terminal=is_terminal: is_terminal)

    def give(*, yes):
        verdict.give(verdict.Answer(approve=approve), "3f" * 32, Name("bob"), None, yes=yes)

    with pytest.raises(UsageError, match="is the terminal"):
        give(yes=False)
    with pytest.raises(UsageError, match="profile"):  # the control: with --yes nobody is asked
        give(yes=True)
