"""Where the authority keeps rosters and proposals: table names, keys, and how rows are read."""

from __future__ import annotations

from collections.abc import Iterator

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, Refused
from tigertally.base.ids import ProposalId
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.base.recent import Recent
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum.chain import Chain, verify_chain
from tigertally.quorum.pending import Pending, Status
from tigertally.quorum.proposal import open_proposal
from tigertally.quorum.roster import SignedRoster
from tigertally.storage.damage import readable
from tigertally.storage.store import Reader, Transaction
from tigertally.storage.table import (
    HOLDER,
    RAW,
    Table,
    Times,
    fixed,
    from_time,
    joined,
    message,
    number,
    sealed_in,
)

ID = fixed(ProposalId)
# A vote, its fragments and whoever waits for them read the same proposal one after the other.
_LATELY: Recent[Pending] = Recent(entries=64, size=MAX_MESSAGE_BYTES)

ROSTERS = Table("roster", number(4), message(SignedRoster))  # by version
PROPOSALS = Table("proposal", ID, message(Pending), sealed=True, cached=_LATELY)
OPEN = Table("proposal-open", ID, fixed(VerifyKey), sealed=True)  # -> proposer
BY_TIME = Times("proposal-time", ID, sealed=True)  # when they were made
ATTACHMENTS = Table("attachment", joined(ID, HOLDER), RAW, sealed=True)

SEALED = sealed_in(globals())
"""Every sealed table above: sealed anew under a new barrier key."""


def put_roster(tx: Transaction, signed: SignedRoster) -> None:
    """Store a roster version."""
    ROSTERS.put(tx, signed.parse().version, signed)


def load_chain(reader: Reader, authority: VerifyKey) -> Chain | None:
    """Read and verify the whole chain; None before the first holder. Raises `Corrupt`."""
    rows = [value for _, value in reader.scan(ROSTERS)]
    if not rows:
        return None
    try:
        return verify_chain([decode(SignedRoster, row) for row in rows], authority)
    except Exception as error:
        raise Corrupt(f"the stored roster chain does not verify: {error}") from error


def mend_rosters(tx: Transaction, chain: Chain) -> list[tuple[str, bytes]]:
    """Write right what differs from the chain in memory; tables and keys of what was wrong."""
    wrong: list[tuple[str, bytes]] = []
    for version, signed in enumerate(chain.signed, start=1):
        key, right = ROSTERS.place(version), encode(signed)
        if tx.get(ROSTERS, key) != right:
            tx.put(ROSTERS, key, right)
            wrong.append((ROSTERS, key))
    return wrong


def put_pending(tx: Transaction, pending: Pending) -> None:
    """Store a proposal's state and keep the indices true."""
    id_ = pending.id
    proposal = open_proposal(pending.proposal)
    if not PROPOSALS.has(tx, id_):  # one that cannot be read raises: it is never begun anew
        BY_TIME.put(tx, (proposal.created, id_))
    PROPOSALS.put(tx, id_, pending)
    if pending.status is Status.PENDING:
        OPEN.put(tx, id_, proposal.proposer)
    else:
        OPEN.drop(tx, id_)


def forget_attachments(tx: Transaction, pending: Pending) -> None:
    """What travelled with the approvals of a proposal that came to nothing is of no use."""
    if pending.status in (Status.PENDING, Status.COMPLETE):
        return
    for key in list(ATTACHMENTS.keys(tx, prefix=pending.id)):
        ATTACHMENTS.drop(tx, key)


def get_pending(reader: Reader, id_: ProposalId) -> Pending:
    """A proposal's state; `Refused` if there is none of that id. Raises `Corrupt`."""
    return PROPOSALS.need(reader, id_, Refused(f"no proposal has the id {id_}"))


def need_pending(reader: Reader, id_: ProposalId, *, for_: tuple[str, bytes]) -> Pending:
    """A proposal that another row names.

    Args:
        for_: table and key of that row; damaged, it names a proposal that never was.

    Raises:
        Corrupt: it or that row is damaged.
    """
    try:
        return get_pending(reader, id_)
    except Refused as error:
        raise Corrupt.of_row(*for_, "it names a proposal that is not there") from error


def open_proposals(reader: Reader) -> Iterator[tuple[ProposalId, VerifyKey]]:
    """Ids and proposers of all pending proposals that can be read."""
    return OPEN.rows(reader)


def since(reader: Reader, time: int) -> Iterator[Pending]:
    """Proposals made at or after `time`, oldest first, that can be read."""

    def read(key: bytes, _: bytes) -> Pending:
        return need_pending(reader, ProposalId(key[8:]), for_=(BY_TIME, key))

    for _, pending in readable(reader, BY_TIME, read, after=from_time(time)):
        yield pending
