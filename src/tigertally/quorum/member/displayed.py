"""Which proposals this device has displayed: all that the beginning of an id can stand for.

A row per proposal in the sealed store of the profile, from the moment it is first shown until it
expires. It stays when the proposal ends sooner: so a beginning that a person has read never comes
to mean another proposal while that person may still remember it (decision 44). No network here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tigertally.base.errors import UsageError
from tigertally.base.ids import ProposalId
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME, MIN_ID_DIGITS
from tigertally.quorum.member.memory import Seen
from tigertally.storage.store import Reader, Transaction
from tigertally.storage.table import TIME, Table, fixed

DISPLAYED = Table(  # when it is forgotten
    "holder-displayed", fixed(ProposalId), TIME, ends="holder-displayed-ends"
)
_FORGOTTEN_AT_ONCE = 100  # the next display forgets more
_HEX = re.compile(r"[0-9a-f]+")


def remember_displayed(tx: Transaction, shown: Iterable[Seen], *, now: int) -> None:
    """Note that these proposals are shown to a person, and forget some that have expired.

    Args:
        now: Unix seconds. However late a proposal says that it expires, it is forgotten 30 days
            after it was first shown.
    """
    DISPLAYED.drop_ended(tx, now, most=_FORGOTTEN_AT_ONCE)
    for one in shown:
        if not DISPLAYED.has(tx, one.id):
            end = min(one.proposal.expires, now + MAX_PROPOSAL_LIFETIME)
            DISPLAYED.put(tx, one.id, end, end=end)


def parse_beginning(text: str) -> str:
    """Check that this can begin an id; return its digits in lower case.

    Raises:
        UsageError: it is empty, no hex number, too short to tell proposals apart, or too long.
    """
    digits = text.lower()
    if not _HEX.fullmatch(digits) or len(digits) > 2 * ProposalId.SIZE:
        raise UsageError(f"an id is {2 * ProposalId.SIZE} hex digits, not {text[:80]!r}")
    if len(digits) < MIN_ID_DIGITS:
        raise UsageError(f"the beginning of an id has {MIN_ID_DIGITS} digits or more, not {text!r}")
    return digits


def displayed_as(reader: Reader, beginning: str, *, now: int) -> ProposalId:
    """Return the one displayed proposal whose id begins so.

    Args:
        beginning: as `parse_beginning` returns it.

    Raises:
        UsageError: none of the proposals that this device has displayed, or several.

    **Security:** only ids that were displayed here count. The authority and whoever proposes can
    make ids that begin alike; looked up among all open ones, a beginning would stand for any.
    """
    whole = bytes.fromhex(beginning[: len(beginning) // 2 * 2])
    found = [
        id_
        for id_, end in DISPLAYED.rows(reader, prefix=whole)
        if id_.hex().startswith(beginning) and end > now
    ]
    if len(found) > 1:
        raise UsageError(
            f"several proposals that this device has displayed begin with {beginning}",
            advice=f"give all {2 * ProposalId.SIZE} digits, as in `tally holder inbox --json`",
        )
    if not found:
        raise UsageError(
            f"this device has displayed no open proposal that begins with {beginning}",
            advice="see `tally holder inbox`",
        )
    return found[0]
