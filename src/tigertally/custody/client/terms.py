"""What was approved when the keys of an epoch were made, as the authority shows it."""

from __future__ import annotations

from tigertally.custody.messages.bodies import KeyRef, parse_making
from tigertally.custody.messages.dealing import BaseKey, Opening
from tigertally.custody.state.holder import Terms
from tigertally.quorum.proposal import open_proposal


def terms_of_opening(opening: Opening) -> dict[KeyRef, Terms]:
    """The keys of an epoch, with what was approved when they were made."""
    if opening.base:
        return terms_of_base(opening.base)
    body = parse_making(open_proposal(opening.tally.proposal))
    return {body.ref: Terms(requesters=body.requesters, unattended=body.unattended)}


def terms_of_base(base: tuple[BaseKey, ...]) -> dict[KeyRef, Terms]:
    """The keys of a reshare, with their terms."""
    return {one.ref: Terms(requesters=one.requesters, unattended=one.unattended) for one in base}
