"""Proposals: one exact operation that a quorum is asked for. The id is the hash of the bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import Wire, check_items, dumps, loads
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import DomainId, Hash, Name, Nonce, ProposalId, RosterHash
from tigertally.base.limits import MAX_OPTION_ITEMS, MAX_PROPOSAL_LIFETIME, MAX_SMALL_MESSAGE_ITEMS
from tigertally.base.recent import Recent
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.signatures import SigningKey, VerifyKey

T = TypeVar("T")

_bodies: Recent[Any] = Recent(entries=512, size=2 * 1024 * 1024)  # most have under four kilobytes
_OPTION = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is asked: `kind` and `body` (the bytes of a CBOR map whose keys are option names).

    `electorate` is the hash of (domain, quorum, holders) it is put to; `predecessor` the roster
    it follows, for kinds that change the roster; times are Unix seconds.
    """

    kind: Name
    body: bytes
    domain: DomainId
    electorate: Hash
    predecessor: RosterHash | None
    nonce: Nonce
    proposer: VerifyKey
    created: int
    expires: int

    def __post_init__(self) -> None:
        if not self.created < self.expires <= self.created + MAX_PROPOSAL_LIFETIME:
            raise MalformedMessage("a proposal expires after it was made, within 30 days")
        self.options()

    def options(self) -> dict[str, Wire]:
        """The body as a map of option names to values."""
        return parse_options(self.body)


_BODY = [field.name for field in fields(Proposal)].index("body")


def check_few_options(raw: bytes) -> None:
    """Refuse a stranger's proposal whose body has more items than any message of a stranger.

    What an open proposal may have is for members; to build as much for anybody who comes would
    keep the authority's one writer for tens of milliseconds.

    Raises:
        MalformedMessage
    """
    parts = loads(raw, max_items=MAX_SMALL_MESSAGE_ITEMS)
    if isinstance(parts, list) and len(parts) > _BODY and isinstance(parts[_BODY], bytes):
        check_items(parts[_BODY], MAX_SMALL_MESSAGE_ITEMS)


def parse_options(body: bytes) -> dict[str, Wire]:
    """A map of option names to values, from its exact bytes; raises `MalformedMessage`."""
    value = loads(body, max_items=MAX_OPTION_ITEMS)
    if not isinstance(value, dict):
        raise MalformedMessage("a proposal's body is a map")
    if not all(_OPTION.fullmatch(name) for name in value):  # names stand in errors on screens
        raise MalformedMessage("an option's name is lower-case letters, digits and _")
    return value


def options_body(**options: Wire) -> bytes:
    """A proposal's body from its options."""
    return dumps(dict(options))


def parsed_body(parse: Callable[[dict[str, Wire]], T], proposal: Proposal) -> T:
    """The body as `parse` makes it of the options: an immutable value, kept for the next look.

    Raises:
        MalformedMessage
    """
    body: T | None = _bodies.get((parse, proposal.body))
    if body is None:
        body = parse(parse_options(proposal.body))
        _bodies.put((parse, proposal.body), body, len(proposal.body))
    return body


def proposal_id(envelope: Envelope) -> ProposalId:
    """The hash of the proposal's bytes."""
    return ProposalId(tagged_hash(tags.PROPOSAL_ID, envelope.body))


def sign_proposal(key: SigningKey, proposal: Proposal) -> Envelope:
    """Sign a proposal as its proposer."""
    return sign_message(key, tags.PROPOSAL, proposal)


def open_proposal(envelope: Envelope) -> Proposal:
    """Parse a proposal and verify its proposer's signature.

    Raises:
        MalformedMessage, InvalidSignature
    """
    return open_message(Proposal, tags.PROPOSAL, envelope, lambda p: (p.proposer, "proposer"))
