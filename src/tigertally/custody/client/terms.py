"""What was approved when the keys of an epoch were made, as the authority shows it."""

from __future__ import annotations

from collections.abc import Mapping

from tigertally.base.errors import PeerFault
from tigertally.custody.client import rows
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import Opening
from tigertally.custody.messages.kinds import KeyRef, parse_making
from tigertally.custody.state.holder import Terms
from tigertally.quorum.proposal import open_proposal
from tigertally.storage.store import Reader


def terms_of_opening(opening: Opening) -> dict[KeyRef, Terms]:
    """The keys of an epoch, with what was approved when they were made.

    Raises:
        NewerVersion: as `terms_of_base`.
    """
    if opening.base:
        return terms_of_base(opening.base)
    body = parse_making(open_proposal(opening.tally.proposal))
    return {body.ref: Terms(options=body.options)}


def terms_of_base(base: tuple[BaseKey, ...]) -> dict[KeyRef, Terms]:
    """The keys of a reshare, with their terms.

    Raises:
        NewerVersion: one has options that this device does not know: it takes no part in it.
    """
    for one in base:
        one.options.check_known(one.ref)
    return {one.ref: Terms(options=one.options) for one in base}


def check_terms(reader: Reader, terms: Mapping[KeyRef, Terms]) -> None:
    """Is what the authority says of these keys what their holders approved?

    An attempt to make a key that was never certified binds nobody: its name may be free again.

    Raises:
        PeerFault
    """
    for ref, said in terms.items():
        known = rows.terms_of(reader, ref)
        if known not in (None, said) and rows.live_name(reader, ref) is not None:
            raise PeerFault(f"the authority changed who may ask for {ref}", culprits=("authority",))
