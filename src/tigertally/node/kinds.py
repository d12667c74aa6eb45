"""Every kind of proposal there is: the roster's own, and those that capabilities add."""

from __future__ import annotations

from tigertally.custody import policy as custody_policy
from tigertally.quorum.kinds import ROSTER_KINDS, Kinds, registry


def all_kinds() -> Kinds:
    """The table that the authority and every member use."""
    return registry((*ROSTER_KINDS, *custody_policy.KINDS))
