"""Where the authority keeps keys, epochs, pieces, fragments and debts. All rows are sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from typing import TypeVar

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage, Refused
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.sync import MOST_OWED
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochView,
    KeyRecord,
    view_of_epoch,
)
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.damage import is_marked, marks, readable, set_aside
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


def parsed(kind: type[T], row: bytes, *, table: str = "", key: bytes = b"") -> T:
    """A row of ours; `Corrupt` if it cannot be read."""
    try:
        return decode(kind, row)
    except MalformedMessage as error:
        why = f"a stored {kind.__name__} cannot be read"
        raise Corrupt(why, table=table, key=key) from error


def put_key(tx: Transaction, record: KeyRecord) -> None:
    """Store a key's record."""
    tx.put(KEYS, record.ref.to_bytes(), encode(record))


def find_key(reader: Reader, ref: KeyRef) -> KeyRecord | None:
    """A key's record, if there is one."""
    place = ref.to_bytes()
    row = reader.get(KEYS, place)
    return None if row is None else _key_of(place, row)


def get_key(reader: Reader, ref: KeyRef) -> KeyRecord:
    """A key's record; `Refused` if there is none."""
    record = find_key(reader, ref)
    if record is None:
        raise Refused(f"there is no key {ref} (yet)", advice="see `tally key list`")
    return record


def all_keys(reader: Reader, name: Name | None = None) -> Iterator[KeyRecord]:
    """All keys that can be read, or all versions of one, in order.

    For what is done to each key by itself: one that cannot be read is noted and left as it is.
    **Security:** never to decide that a key or a version is not there: see `versions_of`.
    """
    for _, record in readable(reader, KEYS, _key_of, prefix=_versions(name)):
        yield record


def versions_of(reader: Reader, name: Name) -> list[KeyRecord]:
    """All versions of one key, in order.

    Raises:
        Corrupt: one cannot be read. It is not absent: its name and number are taken, and a
            destroyed version stays destroyed.
    """
    return [_key_of(place, row) for place, row in reader.scan(KEYS, prefix=_versions(name))]


def _versions(name: Name | None) -> bytes:
    return b"" if name is None else name.encode() + b"\x00"


@lru_cache(maxsize=4096)  # every sync looks at every key, and few change between two
def _key_of(place: bytes, row: bytes) -> KeyRecord:
    return parsed(KeyRecord, row, table=KEYS, key=place)


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
    place = id_.to_bytes()
    try:
        row = reader.get(VIEWS, place)
        if row is not None:
            return _view_of(place, row)
    except Corrupt as damage:  # it says nothing that the attempt itself does not say
        set_aside(reader, damage)
    return view_of_epoch(get_epoch(reader, id_))


def find_view(desk: DomainDesk, id_: bytes) -> EpochView | None:
    """The short view of an attempt that another row names; None where it cannot be read."""
    with desk.apart(), suppress(Refused, MalformedMessage):
        return epoch_view(desk.sealed, EpochId.from_bytes(id_))
    return None


def all_views(reader: Reader) -> Iterator[tuple[EpochId, EpochView]]:
    """The short views of all attempts that can be read."""
    for place, view in readable(reader, VIEWS, _view_of):
        yield EpochId.from_bytes(place), view


def _view_of(place: bytes, row: bytes) -> EpochView:
    return parsed(EpochView, row, table=VIEWS, key=place)


def get_epoch(reader: Reader, id_: EpochId) -> EpochRecord:
    """An attempt; `Refused` if there is none."""
    place = id_.to_bytes()
    row = reader.get(EPOCHS, place)
    if row is None:
        raise Refused("there is no such epoch")
    return _epoch_of(place, row)


def need_epoch(reader: Reader, id_: bytes, *, for_: tuple[str, bytes]) -> EpochRecord:
    """An attempt that another row names.

    Args:
        for_: table and key of that row; damaged, it names an attempt that never was.

    Raises:
        Corrupt: it or that row is damaged.
    """
    try:
        return get_epoch(reader, EpochId.from_bytes(id_))
    except (Refused, MalformedMessage) as error:
        table, key = for_
        why = f"row {key.hex()} of table {table!r} names an epoch that is not there"
        raise Corrupt(why, table=table, key=key) from error


def attempts_of(reader: Reader, proposal: bytes) -> Iterator[tuple[bytes, EpochRecord]]:
    """All attempts of a proposal that can be read, by the keys of their rows."""
    return readable(reader, EPOCHS, _epoch_of, prefix=proposal)


@lru_cache(maxsize=16)  # a live epoch is looked at with every fragment and never changes
def _epoch_of(place: bytes, row: bytes) -> EpochRecord:
    return parsed(EpochRecord, row, table=EPOCHS, key=place)


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
    try:
        key = reader.get(EPOCH_NAMES, name)
    except Corrupt as damage:  # slower, but the attempts themselves say how they are called
        set_aside(reader, damage)
        named = (one for _, one in attempts_of(reader, b"") if one.statement and one.epoch == name)
        return next(named, None)
    return None if key is None else get_epoch(reader, EpochId.from_bytes(key))


def piece_key(id_: EpochId, dealer: int, receiver: HolderIndex) -> bytes:
    """Where an encrypted piece waits."""
    return id_.to_bytes() + bytes([dealer, receiver])


def due_key(holder: HolderIndex, due: Due, id_: bytes) -> bytes:
    """Where it stands that a holder owes something."""
    return bytes([holder]) + due.value + id_


def owe(desk: DomainDesk, holder: HolderIndex, due: Due, id_: bytes) -> None:
    """A holder owes something from now on, and is woken: there is no other way to owe."""
    desk.sealed.put(DUES, due_key(holder, due, id_), b"")
    desk.wake(one.signing_key for one in desk.roster.holders if one.index == holder)


def drop_due(tx: Transaction, holder: HolderIndex, due: Due, id_: bytes) -> None:
    """A holder has done it, or need not any more."""
    tx.delete(DUES, due_key(holder, due, id_))


def has_due(reader: Reader, holder: HolderIndex, due: Due, id_: bytes) -> bool:
    """Does this holder owe it?"""
    return is_marked(reader, DUES, due_key(holder, due, id_))


def dues(reader: Reader, holder: HolderIndex, due: Due, limit: int = MOST_OWED) -> list[bytes]:
    """What a holder owes of one sort, by id."""
    prefix = bytes([holder]) + due.value
    return [key[2:] for key in marks(reader, DUES, prefix=prefix, limit=limit)]


def every_due(reader: Reader, holder: HolderIndex, due: Due) -> Iterator[bytes]:
    """All that a holder owes of one sort, by id, read some at a time."""
    prefix, after = bytes([holder]) + due.value, None
    while page := list(marks(reader, DUES, prefix=prefix, after=after, limit=MOST_OWED)):
        after = page[-1]
        yield from (key[2:] for key in page)


def owes_acknowledgement(reader: Reader, holder: HolderIndex, proposal: ProposalId) -> bool:
    """Is a delivery of any attempt of this proposal on its way to this holder?"""
    prefix = bytes([holder]) + Due.ACKNOWLEDGE.value + proposal
    return any(True for _ in marks(reader, DUES, prefix=prefix, limit=1))


def put_job(tx: Transaction, job: Job, id_: bytes) -> None:
    """Work for the one-shot child."""
    tx.put(JOBS, job.value + id_, b"")


def drop_job(tx: Transaction, job: Job, id_: bytes) -> None:
    """Work that is done."""
    tx.delete(JOBS, job.value + id_)


def has_jobs(reader: Reader) -> bool:
    """Is there work for the child?"""
    return any(True for _ in marks(reader, JOBS, limit=1))


def put_end(tx: Transaction, proposal: ProposalId, expires: int) -> None:
    """What a release leaves behind may be forgotten then."""
    tx.put(ENDS, expires.to_bytes(8, "big") + proposal, b"")


def ended(reader: Reader, now: int, limit: int) -> list[bytes]:
    """Keys of the releases that have expired by now, the first ones first."""
    return [key for key in ends(reader, limit) if int.from_bytes(key[:8], "big") <= now]


def ends(reader: Reader, limit: int | None = None) -> Iterator[bytes]:
    """Keys of the releases that have left something behind, by their expiry."""
    return marks(reader, ENDS, limit=limit)


def jobs(reader: Reader) -> list[tuple[Job, bytes]]:
    """All work for the child."""
    return [found for key in marks(reader, JOBS) if (found := _job_of(reader, key)) is not None]


def _job_of(reader: Reader, key: bytes) -> tuple[Job, bytes] | None:
    try:
        return Job(key[:1]), key[1:]
    except ValueError:
        set_aside(reader, Corrupt(f"no such job: {key.hex()}", table=JOBS, key=key))
        return None


def receive_keys(reader: Reader) -> list[Envelope]:
    """Every holder's newest signed receive keys; who is left out has not published any."""
    return [envelope for _, envelope in readable(reader, RECEIVE_KEYS, envelope_in(RECEIVE_KEYS))]


def envelope_in(table: str) -> Callable[[bytes, bytes], Envelope]:
    """How a row of signed messages is read."""
    return lambda key, row: parsed(Envelope, row, table=table, key=key)


def bundles_in_use(reader: Reader, holder: HolderIndex) -> list[tuple[Hash, ProposalId]]:
    """Which receive keys of a holder open dealings use, and for which proposals."""
    keys = list(marks(reader, IN_USE, prefix=bytes([holder])))
    return [(Hash(key[1:33]), ProposalId(key[33:])) for key in keys]


def find_bundle(reader: Reader, holder: HolderIndex, bundle: Hash) -> Envelope | None:
    """A signed set of receive keys that a dealing used."""
    place = bytes([holder]) + bundle
    row = reader.get(BUNDLES, place)
    return None if row is None else parsed(Envelope, row, table=BUNDLES, key=place)
