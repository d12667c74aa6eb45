"""Kinds: the operations that a quorum can be asked for.

A capability adds one in its `policy.KINDS`; `node/kinds.py` puts all of them into one table, and
`node/wiring.py` says what executes each. This layer knows none but the roster's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tigertally.base.codec import Wire
from tigertally.base.errors import NewerVersion, UsageError
from tigertally.base.ids import Name
from tigertally.quorum import changes
from tigertally.quorum.proposal import Proposal, parsed_body
from tigertally.quorum.roster import Roster


def no_warning(_roster: Roster, _body: object) -> str:
    """Nothing to warn of."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One operation.

    Attributes:
        parse: from the body's options to a typed body; raises `MalformedMessage`, and
            `NewerVersion` where there is an option that it does not know.
        words: what a person reads before signing.
        may_propose: may its proposer propose it? Raises `Refused`.
        warning: read beside the words, seeing to which holders it is put; empty if all is well.
        takes_late_approvals: approvals beyond the quorum are kept (releases want spare fragments).
        while_forming: may be decided while there are fewer holders than the quorum.
    """

    name: Name
    parse: Callable[[dict[str, Wire]], Any]
    words: Callable[[Any], str]
    may_propose: Callable[[Roster, Proposal, Any], None]
    warning: Callable[[Roster, Any], str] = no_warning
    takes_late_approvals: bool = False
    while_forming: bool = False


Kinds = Mapping[str, Kind]


def registry(kinds: Iterable[Kind]) -> Kinds:
    """A table of kinds by name; `UsageError` if two have the same name."""
    table: dict[str, Kind] = {}
    for kind in kinds:
        if kind.name in table:
            raise UsageError(f"two kinds are called {kind.name}")
        table[kind.name] = kind
    return MappingProxyType(table)


def kind_of(kinds: Kinds, proposal: Proposal) -> Kind:
    """The kind of a proposal; `NewerVersion` if this program knows none of that name."""
    if proposal.kind not in kinds:
        raise NewerVersion(f"unknown kind of proposal: {proposal.kind}")
    return kinds[proposal.kind]


def words_of(kinds: Kinds, proposal: Proposal, roster: Roster | None = None) -> str:
    """A proposal in words; with a warning, if the roster it is put to gives cause for one.

    Raises:
        MalformedMessage
        NewerVersion: of a kind, or with an option, that this program does not know.
    """
    kind = kind_of(kinds, proposal)
    body = parsed_body(kind.parse, proposal)
    warning = "" if roster is None else kind.warning(roster, body)
    return kind.words(body) + (f"; WARNING: {warning}" if warning else "")


ROSTER_KINDS = (
    Kind(
        name=changes.JOIN,
        parse=changes.parse_holder_join,
        words=changes.words_of_holder_join,
        may_propose=changes.joiner_proposes,
        while_forming=True,
    ),
    Kind(
        name=changes.REMOVE,
        parse=changes.parse_remove,
        words=changes.words_of_holder_removal,
        warning=changes.warning_of_removal,
        may_propose=changes.holder_proposes,
    ),
    Kind(
        name=changes.QUORUM,
        parse=changes.parse_quorum,
        words=changes.words_of_quorum,
        warning=changes.warning_of_quorum,
        may_propose=changes.holder_proposes,
    ),
    Kind(
        name=changes.REQUESTER_JOIN,
        parse=changes.parse_requester_join,
        words=changes.words_of_requester_join,
        may_propose=changes.joiner_proposes,
        while_forming=True,
    ),
    Kind(
        name=changes.REQUESTER_REMOVE,
        parse=changes.parse_requester_removal,
        words=changes.words_of_requester_removal,
        may_propose=changes.holder_proposes,
        while_forming=True,
    ),
)
