"""Every kind of proposal there is: the roster's own, and those that capabilities add."""

from __future__ import annotations

from collections.abc import Mapping

from tigertally.custody import policy as custody_policy
from tigertally.custody.messages.kinds import V1_SUITES
from tigertally.quorum.kinds import ROSTER_KINDS, Kinds, registry
from tigertally.quorum.proposal import Proposal

# What version 1 knew: of each kind the options, of some options the values. It stops at anything
# else, so it is shown nothing else. Never changed.
V1_KINDS: Mapping[str, frozenset[str]] = {
    "roster.join": frozenset({"name", "card", "invited_by"}),
    "roster.remove": frozenset({"name", "acks"}),
    "roster.quorum": frozenset({"threshold", "unlock", "acks"}),
    "requester.join": frozenset({"name", "card", "invited_by"}),
    "requester.remove": frozenset({"name"}),
    "custody.create": frozenset({"key", "suite", "acks", "requester", "unattended", "imported"}),
    "custody.rotate": frozenset({"key", "suite", "acks", "requester", "unattended", "version"}),
    "custody.destroy": frozenset({"key", "version"}),
    "custody.release": frozenset({"key", "version", "reason", "form", "wrapping_key"}),
}
V1_VALUES: Mapping[str, tuple[str, ...]] = {  # no sets: a list, as a value, is looked up here too
    "suite": tuple(V1_SUITES),
    "form": ("final", "private"),
}


def known_to_v1(proposal: Proposal) -> bool:
    """Does the program of version 1 understand this proposal?"""
    known, options = V1_KINDS.get(proposal.kind), proposal.options()
    if known is None or not options.keys() <= known:
        return False
    return all(options[name] in values for name, values in V1_VALUES.items() if name in options)


def all_kinds() -> Kinds:
    """The table that the authority and every member use."""
    return registry((*ROSTER_KINDS, *custody_policy.KINDS))
