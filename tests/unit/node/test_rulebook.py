"""The rules file: whose word it is."""

from __future__ import annotations

import os
import stat

import pytest

from tigertally.base.errors import UsageError
from tigertally.node.rulebook import others_may_write, read_rules

pytestmark = pytest.mark.requirement("C7")


def test_rules_that_somebody_else_may_write_are_not_believed(tmp_path):
    me, regular = os.geteuid(), stat.S_IFREG
    assert not others_may_write(regular | 0o644, me)
    assert not others_may_write(regular | 0o644, 0), "the administrator's word is good"
    assert others_may_write(regular | 0o600, me + 1), "it belongs to somebody else"
    assert others_may_write(regular | 0o620, me)
    path = tmp_path / "rules.toml"
    path.write_text("")
    path.chmod(0o602)
    with pytest.raises(UsageError, match="others may write"):
        read_rules(path)
    path.chmod(0o600)
    assert read_rules(path).rules == ()
