"""Where the authority keeps rosters and proposals: table names, keys, and how rows are read."""

from __future__ import annotations

from collections.abc import Iterator

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage, Refused
from tigertally.base.ids import ProposalId
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.base.recent import Recent
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum.chain import Chain, verify_chain
from tigertally.quorum.pending import Pending, Status
from tigertally.quorum.proposal import open_proposal
from tigertally.quorum.roster import SignedRoster
from tigertally.storage.damage import marks, readable
from tigertally.storage.store import Reader, Transaction

ROSTERS = "roster"  # plain: version (4 bytes) -> SignedRoster
PROPOSALS = "proposal"  # sealed: id -> Pending
OPEN = "proposal-open"  # sealed: id -> proposer
BY_TIME = "proposal-time"  # sealed: created (8 bytes), id -> nothing
ATTACHMENTS = "attachment"  # sealed: proposal id, holder index -> bytes

SEALED = (PROPOSALS, OPEN, BY_TIME, ATTACHMENTS)
"""Every sealed table above: sealed anew under a new barrier key."""


def put_roster(tx: Transaction, signed: SignedRoster) -> None:
    """Store a roster version."""
    tx.put(ROSTERS, signed.parse().version.to_bytes(4, "big"), encode(signed))


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
    wrong = []
    for version, signed in enumerate(chain.signed, start=1):
        key, right = version.to_bytes(4, "big"), encode(signed)
        if tx.get(ROSTERS, key) != right:
            tx.put(ROSTERS, key, right)
            wrong.append((ROSTERS, key))
    return wrong


def put_pending(tx: Transaction, pending: Pending) -> None:
    """Store a proposal's state and keep the indices true."""
    id_ = pending.id
    proposal = open_proposal(pending.proposal)
    if tx.get(PROPOSALS, id_) is None:  # one that cannot be read raises: it is never begun anew
        tx.put(BY_TIME, proposal.created.to_bytes(8, "big") + id_, b"")
    tx.put(PROPOSALS, id_, encode(pending))
    if pending.status is Status.PENDING:
        tx.put(OPEN, id_, bytes(proposal.proposer))
    else:
        tx.delete(OPEN, id_)


def forget_attachments(tx: Transaction, pending: Pending) -> None:
    """What travelled with the approvals of a proposal that came to nothing is of no use."""
    if pending.status in (Status.PENDING, Status.COMPLETE):
        return
    for key in list(marks(tx, ATTACHMENTS, prefix=pending.id)):
        tx.delete(ATTACHMENTS, key)


# A vote, its fragments and whoever waits for them read the same row one after the other.
_read_lately: Recent[Pending] = Recent(entries=64, size=MAX_MESSAGE_BYTES)


def get_pending(reader: Reader, id_: ProposalId) -> Pending:
    """A proposal's state; `Refused` if there is none of that id. Raises `Corrupt`."""
    row = reader.get(PROPOSALS, id_)
    if row is None:
        raise Refused(f"no proposal has the id {id_}")
    known = _read_lately.get(row)
    if known is None:
        try:
            known = decode(Pending, row)
        except MalformedMessage as error:
            why = f"the stored proposal {id_} cannot be read"
            raise Corrupt.of_row(PROPOSALS, id_, why) from error
        _read_lately.put(row, known, len(row))
    return known


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
        table, key = for_
        why = f"row {key.hex()} of table {table!r} names a proposal that is not there"
        raise Corrupt(why, table=table, key=key) from error


def open_proposals(reader: Reader) -> Iterator[tuple[ProposalId, VerifyKey]]:
    """Ids and proposers of all pending proposals that can be read."""
    for key, proposer in readable(reader, OPEN, lambda _, row: VerifyKey(row)):
        yield ProposalId(key), proposer


def since(reader: Reader, time: int) -> Iterator[Pending]:
    """Proposals made at or after `time`, oldest first, that can be read."""
    after = (max(time, 1) - 1).to_bytes(8, "big") + b"\xff" * 32

    def read(key: bytes, _: bytes) -> Pending:
        return need_pending(reader, ProposalId(key[8:]), for_=(BY_TIME, key))

    for _, pending in readable(reader, BY_TIME, read, after=after):
        yield pending
