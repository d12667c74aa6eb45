"""What a holder's device takes part in only if it fits what this device knows.

The authority refuses such proposals; a device does not rest on that. It knows less: a key that it
never held a fragment of may exist. So these refuse what this device knows to be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tigertally.base.errors import PeerFault, Refused
from tigertally.base.ids import ProposalId
from tigertally.base.limits import CLOCK_SKEW
from tigertally.custody.client import rows
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import Opening
from tigertally.custody.messages.kinds import Create, KeyRef, Making, parse_making
from tigertally.custody.policy import check_acks, check_requesters
from tigertally.custody.protocol.receiver import check_made_once
from tigertally.custody.state.holder import Terms
from tigertally.quorum.proposal import open_proposal
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import VerifiedTally
from tigertally.storage.store import Reader


def check_may_make(reader: Reader, body: Making, roster: Roster) -> None:
    """May this key, or this version of it, be made?

    Raises:
        Refused: it is destroyed, or exists already; a requester is named that the roster does not
            list; a rotation of an import, or on other terms than the versions before; too few or
            too many acknowledgements.
    """
    rows.check_not_destroyed(reader, body.ref)
    check_acks(body.acks, roster)
    if isinstance(body, Create):
        check_requesters(body, roster)
    newest = rows.newest_live(reader, body.key)
    if newest is not None and newest >= body.ref:
        raise Refused(f"there is a key {newest} already: this device holds a fragment of it")
    if not isinstance(body, Create):
        _check_rotation(reader, body, newest)


def _check_rotation(reader: Reader, body: Making, newest: KeyRef | None) -> None:
    before = rows.terms_before(reader, body.ref)
    suite = rows.suite_before(reader, body.ref)
    if before not in (None, Terms(options=body.options)) or suite not in (None, body.suite):
        raise Refused(f"{body.ref} would be on other terms than the versions before")
    making = None if newest is None else rows.MAKINGS.get(reader, newest)
    made = None if making is None else parse_making(open_proposal(making.proposal))
    if isinstance(made, Create) and made.imported:
        raise Refused(f"{newest} was imported: a rotation would have no secret in it")


def check_not_made(
    reader: Reader,
    keys: Sequence[KeyRef],
    proposal: ProposalId,
    attempt: int,
    *,
    roster_version: int,
) -> None:
    """Check that this attempt may still make these keys: none is destroyed, or made otherwise.

    Raises:
        Refused, PeerFault: as `check_made_once`.
    """
    for ref in keys:
        rows.check_not_destroyed(reader, ref)
    held = rows.Held(reader).of_any(keys)
    check_made_once(keys, proposal, attempt, held, roster_version=roster_version)


def check_made_before(reader: Reader, ref: KeyRef, tally: VerifiedTally) -> None:
    """Had this key been asked for when its destruction was approved?

    An authority can hold a complete tally back. It must not destroy a key with it that nobody had
    thought of then.

    Raises:
        Refused: the key was asked for after the last approval.
    """
    making = rows.MAKINGS.get(reader, ref)
    if making is None:  # this device joined later
        return
    approved = max(approval.time for approval in tally.approvals)
    if open_proposal(making.proposal).created > approved + CLOCK_SKEW:
        raise Refused(f"{ref} was made after this destruction had been approved")


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
        known = rows.TERMS.get(reader, ref)
        if known not in (None, said) and rows.live_name(reader, ref) is not None:
            raise PeerFault(f"the authority changed who may ask for {ref}", culprits=("authority",))
