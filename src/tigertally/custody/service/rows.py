"""Where the authority keeps keys, epochs, pieces, fragments and debts. All rows are sealed."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import TypeVar

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage, Refused
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.bodies import KeyRef
from tigertally.custody.messages.sync import MOST_OWED
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochView,
    KeyRecord,
    view_of_epoch,
)
from tigertally.quorum.desk import Desk
from tigertally.storage.store import Reader, Transaction

T = TypeVar("T")

KEYS = "custody-key"  # key reference -> KeyRecord
EPOCHS = "custody-epoch"  # proposal id, attempt -> EpochRecord
VIEWS = "custody-epoch-view"  # proposal id, attempt -> EpochView
EPOCH_NAMES = "custody-epoch-name"  # epoch hash -> proposal id, attempt
PIECES = "custody-piece"  # proposal id, attempt, dealer, receiver -> encrypted piece
RECEIVE_KEYS = "custody-receive-keys"  # holder -> newest signed receive keys
BUNDLES = "custody-bundle"  # holder, bundle hash -> signed receive keys
IN_USE = "custody-bundle-use"  # holder, bundle hash, proposal id -> nothing
DUES = "custody-due"  # holder, what, id -> nothing
FRAGMENTS = "custody-fragment"  # proposal id, epoch hash, holder -> WrappedFragment
FRESH = "custody-fresh"  # proposal id -> seed of the authority's fresh key (shamir-gf256)
REBUILT = "custody-rebuilt"  # proposal id -> signed rebuilt key (shamir-gf256)
JUDGED = "custody-judged"  # complaint -> nothing: each is judged once
CONTRIBUTIONS = "custody-contribution"  # proposal id, attempt, holder -> Contribution
FAULTY = "custody-faulty"  # proposal id, holder -> nothing
ERASURES = "custody-erasure"  # proposal id, holder -> the signed Erasure
CONTENTS = "custody-content"  # key reference -> the signed Imported
SEEN = "custody-seen"  # holder -> time of its last sync (8 bytes)
ENDS = "custody-ends"  # expiry of a release (8 bytes), proposal id -> nothing
HELD = "custody-held"  # holder -> its newest signed report; kept when it is removed
JOBS = "custody-job"  # what, id -> nothing: work for the one-shot child
CLAIMS = "custody-claim"  # epoch hash, holder -> EpochClaim: after a restore, until it is certified
MAKINGS = "custody-claimed-making"  # key reference -> proposal id: after a restore
TERMS = "custody-claimed-terms"  # key reference, holder -> KeyTerms: after a restore
FORM = "custody-form"  # one row: of which version's form the rows above are

SEALED = (
    KEYS,
    EPOCHS,
    VIEWS,
    EPOCH_NAMES,
    PIECES,
    RECEIVE_KEYS,
    BUNDLES,
    IN_USE,
    DUES,
    FRAGMENTS,
    FRESH,
    REBUILT,
    JUDGED,
    CONTRIBUTIONS,
    FAULTY,
    ERASURES,
    CONTENTS,
    SEEN,
    ENDS,
    HELD,
    JOBS,
    CLAIMS,
    MAKINGS,
    TERMS,
    FORM,
)
"""Every table above: sealed anew under a new barrier key."""


class Due(Enum):
    """What a holder owes."""

    ACKNOWLEDGE = b"a"
    DEAL = b"d"
    FRAGMENT = b"f"
    ERASE = b"e"


class Job(Enum):
    """What the authority owes (suite shamir-gf256)."""

    DEAL = b"d"
    REBUILD = b"r"
    RESHARE = b"s"


def parsed(kind: type[T], row: bytes) -> T:
    """A row of ours; `Corrupt` if it cannot be read."""
    try:
        return decode(kind, row)
    except MalformedMessage as error:
        raise Corrupt(f"a stored {kind.__name__} cannot be read") from error


def put_key(tx: Transaction, record: KeyRecord) -> None:
    """Store a key's record."""
    tx.put(KEYS, record.ref.to_bytes(), encode(record))


def find_key(reader: Reader, ref: KeyRef) -> KeyRecord | None:
    """A key's record, if there is one."""
    row = reader.get(KEYS, ref.to_bytes())
    return None if row is None else parsed(KeyRecord, row)


def get_key(reader: Reader, ref: KeyRef) -> KeyRecord:
    """A key's record; `Refused` if there is none."""
    record = find_key(reader, ref)
    if record is None:
        raise Refused(f"there is no key {ref} (yet): see `tally key list`")
    return record


def all_keys(reader: Reader, name: Name | None = None) -> Iterator[KeyRecord]:
    """All keys, or all versions of one, in order."""
    prefix = b"" if name is None else name.encode() + b"\x00"
    for _, row in reader.scan(KEYS, prefix=prefix):
        yield _key_of(row)


@lru_cache(maxsize=4096)  # every sync looks at every key, and most do not change between two
def _key_of(row: bytes) -> KeyRecord:
    return parsed(KeyRecord, row)


def epoch_id(record: EpochRecord) -> EpochId:
    """The name of an attempt."""
    return EpochId(proposal=record.proposal, attempt=record.attempt)


def put_epoch(tx: Transaction, record: EpochRecord) -> None:
    """Store an attempt; an open one can be found by its hash too."""
    key = epoch_id(record).to_bytes()
    tx.put(EPOCHS, key, encode(record))
    tx.put(VIEWS, key, encode(view_of_epoch(record)))
    if record.statement:
        tx.put(EPOCH_NAMES, record.epoch, key)


def epoch_view(reader: Reader, id_: EpochId) -> EpochView:
    """The short view of an attempt; `Refused` if there is none."""
    row = reader.get(VIEWS, id_.to_bytes())
    return view_of_epoch(get_epoch(reader, id_)) if row is None else parsed(EpochView, row)


def get_epoch(reader: Reader, id_: EpochId) -> EpochRecord:
    """An attempt; `Refused` if there is none."""
    row = reader.get(EPOCHS, id_.to_bytes())
    if row is None:
        raise Refused("there is no such epoch")
    return _epoch_of(row)


@lru_cache(maxsize=16)  # a live epoch is looked at with every fragment and never changes
def _epoch_of(row: bytes) -> EpochRecord:
    return parsed(EpochRecord, row)


class Epochs:
    """The attempts at one moment, each read once however many keys it is of."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._records: dict[EpochId, EpochRecord] = {}

    def get(self, id_: EpochId) -> EpochRecord:
        """An attempt; `Refused` if there is none."""
        if id_ not in self._records:
            self._records[id_] = get_epoch(self._reader, id_)
        return self._records[id_]


def find_epoch(reader: Reader, name: Hash) -> EpochRecord | None:
    """An open or certified epoch by its hash."""
    key = reader.get(EPOCH_NAMES, name)
    if key is None:
        return None
    id_ = EpochId(proposal=ProposalId(key[:32]), attempt=int.from_bytes(key[32:], "big"))
    return get_epoch(reader, id_)


def piece_key(id_: EpochId, dealer: int, receiver: HolderIndex) -> bytes:
    """Where an encrypted piece waits."""
    return id_.to_bytes() + bytes([dealer, receiver])


def due_key(holder: HolderIndex, due: Due, id_: bytes) -> bytes:
    """Where it stands that a holder owes something."""
    return bytes([holder]) + due.value + id_


def owe(desk: Desk, holder: HolderIndex, due: Due, id_: bytes) -> None:
    """A holder owes something from now on, and is woken: there is no other way to owe."""
    desk.sealed.put(DUES, due_key(holder, due, id_), b"")
    desk.wake(one.signing_key for one in desk.roster.holders if one.index == holder)


def drop_due(tx: Transaction, holder: HolderIndex, due: Due, id_: bytes) -> None:
    """A holder has done it, or need not any more."""
    tx.delete(DUES, due_key(holder, due, id_))


def has_due(reader: Reader, holder: HolderIndex, due: Due, id_: bytes) -> bool:
    """Does this holder owe it?"""
    return reader.get(DUES, due_key(holder, due, id_)) is not None


def dues(reader: Reader, holder: HolderIndex, due: Due, limit: int = MOST_OWED) -> list[bytes]:
    """What a holder owes of one sort, by id."""
    prefix = bytes([holder]) + due.value
    return [key[2:] for key, _ in reader.scan(DUES, prefix=prefix, limit=limit)]


def every_due(reader: Reader, holder: HolderIndex, due: Due) -> Iterator[bytes]:
    """All that a holder owes of one sort, by id, read some at a time."""
    prefix, after = bytes([holder]) + due.value, None
    while page := list(reader.scan(DUES, prefix=prefix, after=after, limit=MOST_OWED)):
        after = page[-1][0]
        yield from (key[2:] for key, _ in page)


def owes_acknowledgement(reader: Reader, holder: HolderIndex, proposal: ProposalId) -> bool:
    """Is a delivery of any attempt of this proposal on its way to this holder?"""
    prefix = bytes([holder]) + Due.ACKNOWLEDGE.value + proposal
    return any(True for _ in reader.scan(DUES, prefix=prefix, limit=1))


def put_job(tx: Transaction, job: Job, id_: bytes) -> None:
    """Work for the one-shot child."""
    tx.put(JOBS, job.value + id_, b"")


def drop_job(tx: Transaction, job: Job, id_: bytes) -> None:
    """Work that is done."""
    tx.delete(JOBS, job.value + id_)


def has_jobs(reader: Reader) -> bool:
    """Is there work for the child?"""
    return any(True for _ in reader.scan(JOBS, limit=1))


def put_end(tx: Transaction, proposal: ProposalId, expires: int) -> None:
    """What a release leaves behind may be forgotten then."""
    tx.put(ENDS, expires.to_bytes(8, "big") + proposal, b"")


def ended(reader: Reader, now: int, limit: int) -> list[bytes]:
    """Keys of the releases that have expired by now, the first ones first."""
    found = reader.scan(ENDS, limit=limit)
    return [key for key, _ in found if int.from_bytes(key[:8], "big") <= now]


def jobs(reader: Reader) -> list[tuple[Job, bytes]]:
    """All work for the child."""
    return [(Job(key[:1]), key[1:]) for key, _ in reader.scan(JOBS)]


def receive_keys(reader: Reader) -> list[Envelope]:
    """Every holder's newest signed receive keys."""
    return [parsed(Envelope, row) for _, row in reader.scan(RECEIVE_KEYS)]


def bundles_in_use(reader: Reader, holder: HolderIndex) -> list[tuple[Hash, ProposalId]]:
    """Which receive keys of a holder open dealings use, and for which proposals."""
    keys = [key for key, _ in reader.scan(IN_USE, prefix=bytes([holder]))]
    return [(Hash(key[1:33]), ProposalId(key[33:])) for key in keys]


def find_bundle(reader: Reader, holder: HolderIndex, bundle: Hash) -> Envelope | None:
    """A signed set of receive keys that a dealing used."""
    row = reader.get(BUNDLES, bytes([holder]) + bundle)
    return None if row is None else parsed(Envelope, row)
