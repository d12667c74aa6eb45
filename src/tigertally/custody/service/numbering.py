"""Attempts of one proposal are numbered on. A restore leaves some out: devices may know them."""

from __future__ import annotations

from tigertally.base.ids import ProposalId
from tigertally.base.limits import CLOCK_SKEW
from tigertally.custody.messages.dealing import MAX_ATTEMPT
from tigertally.custody.service import rows
from tigertally.quorum.authority import restore
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.damage import marks

_EACH = 1000  # at each restore
_MOST = MAX_ATTEMPT // _EACH - 1  # restores that are told apart


def attempts_left_out(desk: DomainDesk, *, since: int) -> int:
    """The last number that an attempt of something approved at `since` (Unix seconds) may not have.

    It differs for two restores of one back-up: what was dealt after the first is lost as well.
    """
    restores = [restore.opened(one) for one in restore.records(desk.plain)]
    counted = [one for one in restores if one.restored >= since - CLOCK_SKEW]
    if not counted:
        return 0
    apart = int.from_bytes(counted[-1].nonce[:2], "big") % (_EACH // 2)
    return _EACH * min(len(counted), _MOST) + apart


def attempt_after(desk: DomainDesk, proposal: ProposalId, *, since: int = 0) -> int:
    """The number of the next attempt of a proposal approved at `since`, for whatever keys."""
    attempts = [  # also one whose row cannot be read: devices may know it
        int.from_bytes(key[len(proposal) :], "big")
        for key in marks(desk.sealed, rows.EPOCHS, prefix=proposal)
    ]
    return max([attempts_left_out(desk, since=since), *attempts]) + 1
