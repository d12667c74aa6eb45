"""Whose fault is a bad signature? Whoever showed it to us. No I/O.

What the authority passes on was signed by others. It checks every signature before it takes
anything, so one that does not verify was made up or changed by the authority (or on its disk): the
member whose name stands on it is not to blame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tigertally.base.codec import decode
from tigertally.base.errors import InvalidSignature, Refused
from tigertally.base.ids import HolderIndex
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import Proposal
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import Tally, VerifiedTally, verify_tally


@contextmanager
def shown_by_authority() -> Iterator[None]:
    """Inside, a signature that does not verify names the authority instead of its signer.

    Raises:
        InvalidSignature: culprit `authority`, never sure: what is shown is not signed by it.
    """
    try:
        yield
    except InvalidSignature as error:
        raise InvalidSignature(
            f"the authority shows what nobody signed: {error}", culprits=("authority",)
        ) from error


def verify_standing(tally: Tally, chain: Chain) -> VerifiedTally:
    """A tally of the holders it was put to, which today's holders still stand behind.

    It outlives a change of the roster if a present quorum of its approvers are still holders:
    the approvals of a removed holder die at once.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: no quorum, or too few of it are still here.
    """
    put_to = chain.for_proposal(decode(Proposal, tally.proposal.body))
    verified = verify_tally(tally, put_to)
    check_approvers(put_to, verified.approved_by, chain.current)
    return verified


def check_approvers(put_to: Roster, approved_by: Iterable[HolderIndex], roster: Roster) -> None:
    """Are enough of those who approved still holders? `Refused` if not."""
    here = {(holder.index, holder.signing_key) for holder in roster.holders}
    still = [i for i in approved_by if (i, put_to.holder(i).signing_key) in here]
    if put_to.electorate != roster.electorate and len(still) < roster.threshold:
        raise Refused(
            "too few of the holders who approved this are still holders",
            advice="it must be proposed again",
        )
