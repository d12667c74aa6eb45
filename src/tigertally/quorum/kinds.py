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
from tigertally.base.errors import NewerVersion, Refused, Unavailable, UsageError
from tigertally.base.ids import Name, Text
from tigertally.base.text import fault_of
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum import changes
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import Proposal, parsed_body
from tigertally.quorum.roster import Roster
from tigertally.quorum.words import Quote, Words, clauses


def no_warning(_roster: Roster, _body: object) -> str:
    """Nothing to warn of."""
    return ""


def nothing_quoted(_body: object) -> tuple[tuple[str, Text], ...]:
    """The proposer says nothing in its own words."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One operation.

    Attributes:
        parse: from the body's options to a typed body; raises `MalformedMessage`, and
            `NewerVersion` where there is an option that it does not know.
        words: the facts that a person reads before signing, made by us from the typed body. They
            are clauses, what matters most first, and hold no text of anybody's own.
        quotes: what the proposer says in its own words: what it is, and the text.
        proposer: how the facts name the proposer; empty where they do so already.
        may_propose: may its proposer propose it? Raises `Refused`.
        warning: stands before the facts, seeing to which holders it is put; empty if all is well.
        takes_late_approvals: approvals beyond the quorum are kept (releases want spare fragments).
        while_forming: may be decided while there are fewer holders than the quorum.
    """

    name: Name
    parse: Callable[[dict[str, Wire]], Any]
    words: Callable[[Any], str]
    may_propose: Callable[[Roster, Proposal, Any], None]
    quotes: Callable[[Any], tuple[tuple[str, Text], ...]] = nothing_quoted
    proposer: str = "proposed by {}"
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


def check_formed(kind: Kind, roster: Roster) -> None:
    """May this be asked for while there are fewer holders than the quorum?

    Raises:
        Unavailable: not until there are enough.
    """
    if roster.forming and not kind.while_forming:
        raise Unavailable(
            f"the domain is forming: {len(roster.holders)} of {roster.threshold} holders"
        )


def kind_of(kinds: Kinds, proposal: Proposal) -> Kind:
    """The kind of a proposal; `NewerVersion` if this program knows none of that name."""
    if proposal.kind not in kinds:
        raise NewerVersion(f"unknown kind of proposal: {proposal.kind}")
    return kinds[proposal.kind]


def words_of(kinds: Kinds, proposal: Proposal, roster: Roster, *, by: str) -> Words:
    """Return a proposal in words, with a warning if its roster gives cause for one.

    Args:
        roster: the one it is put to.
        by: its proposer's name.

    Raises:
        MalformedMessage
        NewerVersion: of a kind, or with an option, that this program does not know.
    """
    kind = kind_of(kinds, proposal)
    body = parsed_body(kind.parse, proposal)
    warning = kind.warning(roster, body)
    warned = warning and f"WARNING: {warning}"
    facts = clauses(warned, kind.words(body), kind.proposer and kind.proposer.format(by))
    quotes = tuple(Quote(by=by, what=what, text=text) for what, text in kind.quotes(body))
    return Words(facts=facts, quotes=quotes)


def proposer_name(chain: Chain, proposal: Proposal) -> str:
    """Return the proposer's name for people, as the newest roster lists it, or the last that did.

    **Security:** until it is a member, a joiner's name is its own choice: it is marked so.
    """
    key = proposal.proposer
    if listed := _listed(chain.current, key):
        return listed
    if proposal.kind in changes.JOINS:
        return f"{proposal.options().get('name')} (not yet a member)"
    before = (_listed(roster, key) for roster in reversed(chain.rosters))
    once = next((name for name in before if name), "")
    return f"{once} (no longer a member)" if once else chain.current.name_of(key)


def _listed(roster: Roster, key: VerifyKey) -> str:
    """The member's name; empty if it is none."""
    return next((str(one.name) for one in roster.members if one.signing_key == key), "")


def check_shows(kinds: Kinds, proposal: Proposal) -> None:
    """Check that a reader sees all that a proposal says: for whoever admits or approves it now.

    A proposal that was admitted before this rule stays what it is: readable history.

    Raises:
        MalformedMessage, NewerVersion
        Refused: its text hides something, or makes room to push something out of sight.
    """
    kind = kind_of(kinds, proposal)
    for what, text in kind.quotes(parsed_body(kind.parse, proposal)):
        if fault := fault_of(text):
            raise Refused(
                f"its {what} has {fault}: its proposer must say it in plain letters and spaces"
            )


ROSTER_KINDS = (
    Kind(
        name=changes.JOIN,
        parse=changes.parse_holder_join,
        words=changes.words_of_holder_join,
        quotes=changes.quotes_of_join,
        proposer="",
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
        quotes=changes.quotes_of_join,
        proposer="",
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
