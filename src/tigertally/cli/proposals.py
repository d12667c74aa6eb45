"""Proposals as people and programs read them: our facts first, others' words below, quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tigertally.cli.layout import Said
from tigertally.cli.output import facts
from tigertally.cli.times import format_time

if TYPE_CHECKING:
    from tigertally.base.ids import HolderIndex
    from tigertally.quorum.member.memory import Seen
    from tigertally.quorum.words import Quote

_SHOWN_DIGITS = 12  # of an id in a table; commands on this device take them at a terminal


def document_of(seen: Seen) -> dict[str, Any]:
    """Return a proposal for `--json`, with the options of its body, and why it was said no to.

    How many must agree to one that this program does not understand is not known.
    """
    said = seen.refusals
    return {
        "id": str(seen.id),
        "kind": seen.proposal.kind,
        "summary": seen.words,
        "quoted": quoted_of((*seen.quotes, *said)),
        "body": _shown(seen.proposal.options()),
        "proposer": seen.proposer,
        "created": format_time(seen.proposal.created),
        "expires": format_time(seen.proposal.expires),
        "approvals": len(seen.approvals),
        "needed": seen.needed,
        "unknown": seen.needed is None,
        "why": "; ".join(quote.text for quote in said) or str(seen.state.why),
    }


def quoted_of(quotes: Sequence[Quote]) -> list[dict[str, str]]:
    """Return quotations for `--json`: who says it, what it is, and the text as it was written."""
    return [{"by": one.by, "what": one.what, "text": one.text} for one in quotes]


def row_of(seen: Seen, last: str) -> tuple[object, ...]:
    """Return a proposal for a table: id, what, by, yes, and what else is asked for."""
    yes = f"{len(seen.approvals)} of {seen.needed or '?'}"
    return (str(seen.id)[:_SHOWN_DIGITS], said_in(seen), seen.proposer, yes, last)


def said_in(seen: Seen) -> Said:
    """Return what a proposal says: facts, and below them what others say."""
    return Said(seen.words, tuple(map(str, quotes_in(seen))))


def quotes_in(seen: Seen) -> tuple[Quote, ...]:
    """Return what its proposer, holders, and the authority say of a proposal."""
    from tigertally.quorum.member.memory import authority_says

    why = (authority_says(seen.state.why),) if seen.state.why else ()
    return (*seen.quotes, *seen.refusals, *why)


def card_of(seen: Seen) -> Said:
    """Return a proposal as a person reads it before answering: the whole of it."""
    yes = f"{len(seen.approvals)} of {seen.needed or '?'} approvals"
    expires = f"expires {format_time(seen.proposal.expires)}"
    about = f"proposal {seen.id} · {yes} · {expires}"
    return Said(f"{seen.words}\n{about}", tuple(map(str, quotes_in(seen))))


def unanswered_by(me: HolderIndex, proposals: Sequence[Seen]) -> int:
    """How many wait for this holder's answer; those made by a newer version may be rejected."""
    return sum(seen.answer_of(me) is None for seen in proposals)


def lines_of(document: Mapping[str, Any], quotes: Sequence[Quote]) -> str:
    """Return a document as `name  value` lines, and below them what others say."""
    own = {name: value for name, value in document.items() if name not in ("body", "quoted")}
    return "\n".join((facts(own), *Said("", tuple(map(str, quotes))).lines()))


def _shown(options: dict[str, Any]) -> dict[str, Any]:
    """A body's options; long byte strings (cards, keys) by their beginning."""
    return {name: _value(value) for name, value in options.items()}


def _value(value: Any) -> Any:
    """Whatever an option may be: one that this program does not know is any plain value."""
    if isinstance(value, bytes):
        return value.hex()[:64] + "…" if len(value) > 32 else value.hex()
    if isinstance(value, list):
        return [_value(item) for item in value]
    return _shown(value) if isinstance(value, dict) else value
