"""Destroying a key: holders erase after the complete tally, and say so. No I/O.

Steps numbered as in `docs/protocols/custody-destroy.md`. No word of the authority makes a device
erase anything: only a tally that it has verified itself, and that a quorum of today's holders
stands behind.
"""

from __future__ import annotations

from tigertally.algebra import tags
from tigertally.base.errors import Refused
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.destroy import Erasure
from tigertally.custody.messages.kinds import DESTROY, Destroy, parse_destroy
from tigertally.custody.protocol.relayed import shown_by_authority, verify_standing
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import parsed_body
from tigertally.quorum.roster import Roster, open_from_holder
from tigertally.quorum.tally import THIS_DEVICE, Tally, VerifiedTally, check_dated


def check_destroy_tally(tally: Tally, chain: Chain, *, now: int) -> tuple[VerifiedTally, Destroy]:
    """(3) May a device erase for this? The whole tally, and that its approvers are still holders.

    A tally does not become too old: a holder that was away erases when it is back. What it needs
    instead is a quorum of *today's* holders among its approvers, so that removed holders cannot
    sign a destruction afterwards and date it back.

    Args:
        now: by this device's clock.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: no quorum of exactly this, too few of it are still holders, or it is dated in the
            future.
    """
    with shown_by_authority():
        verified = verify_standing(tally, chain)
        for approval in verified.approvals:
            chain.check_cast(approval, verified.proposal)
    if verified.proposal.kind != DESTROY:
        raise Refused(f"{verified.proposal.kind} destroys nothing")
    check_dated(verified.proposal, now=now, clock=THIS_DEVICE)
    return verified, parsed_body(parse_destroy, verified.proposal)


def sign_erasure(
    key: SigningKey, roster: Roster, proposal: ProposalId, me: HolderIndex, *, now: int
) -> Envelope:
    """(4) All that the tally names is erased on this device: say so."""
    erasure = Erasure(domain=roster.domain, proposal=proposal, holder=me, time=now)
    return sign_message(key, tags.ERASURE, erasure)


def open_erasure(envelope: Envelope, roster: Roster) -> Erasure:
    """(5) Verify who says that it has erased.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: a stranger, or for another domain.
    """
    erasure = open_from_holder(Erasure, tags.ERASURE, envelope, roster, lambda said: said.holder)
    if erasure.domain != roster.domain:
        raise Refused("an erasure in another domain")
    return erasure
