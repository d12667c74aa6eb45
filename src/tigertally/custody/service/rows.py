"""Where the authority keeps keys, epochs, pieces, fragments and debts. All rows are sealed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import Enum

from tigertally.base.errors import Corrupt, MalformedMessage, Refused
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.base.recent import Recent
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.lock import EpochClaim, KeyTerms
from tigertally.custody.messages.release import Contribution, WrappedFragment
from tigertally.custody.messages.sync import MOST_OWED
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochView,
    KeyRecord,
    view_of_epoch,
)
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.damage import marks, readable, set_aside
from tigertally.storage.store import Reader, Transaction
from tigertally.storage.table import (
    HOLDER,
    RAW,
    TIME,
    Form,
    Marks,
    Table,
    Times,
    fixed,
    joined,
    message,
    packed,
    sealed_in,
)

_ID, _HASH = fixed(ProposalId), fixed(Hash)
_KEY, _EPOCH = packed(KeyRef), packed(EpochId, size=34)
_SIGNED = message(Envelope)


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


_JOB = Form(write=lambda job: bytes(job.value), read=Job, name="job", size=1)
_MOST = 16 * MAX_MESSAGE_BYTES  # so many of the largest rows
# Every sync looks at every key and epoch, and few change between two.
_KEYS_LATELY: Recent[KeyRecord] = Recent(entries=4096, size=_MOST)
_VIEWS_LATELY: Recent[EpochView] = Recent(entries=4096, size=_MOST)
# A live epoch is looked at with every fragment and never changes.
_EPOCHS_LATELY: Recent[EpochRecord] = Recent(entries=16, size=_MOST)

KEYS = Table("custody-key", _KEY, message(KeyRecord), sealed=True, cached=_KEYS_LATELY)
EPOCHS = Table("custody-epoch", _EPOCH, message(EpochRecord), sealed=True, cached=_EPOCHS_LATELY)
VIEWS = Table("custody-epoch-view", _EPOCH, message(EpochView), sealed=True, cached=_VIEWS_LATELY)
EPOCH_NAMES = Table("custody-epoch-name", _HASH, _EPOCH, sealed=True)
PIECES = Table("custody-piece", RAW, RAW, sealed=True)  # see `piece_key`
RECEIVE_KEYS = Table("custody-receive-keys", HOLDER, _SIGNED, sealed=True)  # the newest
BUNDLES = Table("custody-bundle", joined(HOLDER, _HASH), _SIGNED, sealed=True)  # all of them
IN_USE = Marks("custody-bundle-use", joined(joined(HOLDER, _HASH), _ID), sealed=True)
DUES = Marks("custody-due", RAW, sealed=True)  # see `due_key`
FRAGMENTS = Table(  # proposal id, epoch hash, holder
    "custody-fragment", RAW, message(WrappedFragment), sealed=True
)
FRESH = Table("custody-fresh", _ID, RAW, sealed=True)  # seed of our fresh key (shamir-gf256)
REBUILT = Table("custody-rebuilt", _ID, _SIGNED, sealed=True)  # a rebuilt key (shamir-gf256)
JUDGED = Marks("custody-judged", _HASH, sealed=True)  # complaints: each is judged once
CONTRIBUTIONS = Table(  # proposal id, attempt, holder
    "custody-contribution", RAW, message(Contribution), sealed=True
)
FAULTY = Marks("custody-faulty", joined(_ID, HOLDER), sealed=True)
ERASURES = Table("custody-erasure", joined(_ID, HOLDER), _SIGNED, sealed=True)
CONTENTS = Table("custody-content", _KEY, _SIGNED, sealed=True)  # what was imported
SEEN = Table("custody-seen", HOLDER, TIME, sealed=True)  # its last sync
ENDS = Times("custody-ends", RAW, sealed=True)  # expiry of a release, proposal id
HELD = Table("custody-held", HOLDER, _SIGNED, sealed=True)  # newest report; kept when removed
JOBS = Marks("custody-job", joined(_JOB, RAW), sealed=True)  # work for the one-shot child
CLAIMS = Table(  # epoch hash, holder: after a restore, until the epoch is certified
    "custody-claim", RAW, message(EpochClaim), sealed=True
)
MAKINGS = Table("custody-claimed-making", _KEY, _ID, sealed=True)  # after a restore
TERMS = Table(  # key reference, holder: after a restore
    "custody-claimed-terms", RAW, message(KeyTerms), sealed=True
)
FORM = Table("custody-form", RAW, RAW, sealed=True)  # of which version's form the rows above are

SEALED = sealed_in(globals())
"""Every table above: sealed anew under a new barrier key."""


def put_key(tx: Transaction, record: KeyRecord) -> None:
    """Store a key's record."""
    KEYS.put(tx, record.ref, record)


def get_key(reader: Reader, ref: KeyRef) -> KeyRecord:
    """A key's record; `Refused` if there is none."""
    absent = Refused(f"there is no key {ref} (yet)", advice="see `tally key list`")
    return KEYS.need(reader, ref, absent)


def all_keys(reader: Reader, name: Name | None = None) -> Iterator[KeyRecord]:
    """All keys that can be read, or all versions of one, in order.

    For what is done to each key by itself: one that cannot be read is noted and left as it is.
    **Security:** never to decide that a key or a version is not there: see `versions_of`.
    """
    return KEYS.values(reader, prefix=_versions(name))


def versions_of(reader: Reader, name: Name) -> list[KeyRecord]:
    """All versions of one key, in order.

    Raises:
        Corrupt: one cannot be read. It is not absent: its name and number are taken, and a
            destroyed version stays destroyed.
    """
    return [KEYS.parsed(place, row) for place, row in reader.scan(KEYS, prefix=_versions(name))]


def _versions(name: Name | None) -> bytes:
    return b"" if name is None else name.encode() + b"\x00"


def epoch_id(record: EpochRecord) -> EpochId:
    """The name of an attempt."""
    return EpochId(proposal=record.proposal, attempt=record.attempt)


def put_epoch(tx: Transaction, record: EpochRecord) -> None:
    """Store an attempt; an open one can be found by its hash too."""
    key = epoch_id(record)
    EPOCHS.put(tx, key, record)
    VIEWS.put(tx, key, view_of_epoch(record))
    if record.statement:
        EPOCH_NAMES.put(tx, record.epoch, key)


def epoch_view(reader: Reader, id_: EpochId) -> EpochView:
    """The short view of an attempt; `Refused` if there is none."""
    try:
        view = VIEWS.get(reader, id_)
    except Corrupt as damage:  # it says nothing that the attempt itself does not say
        set_aside(reader, damage)
        view = None
    return view_of_epoch(get_epoch(reader, id_)) if view is None else view


def find_view(desk: DomainDesk, id_: bytes) -> EpochView | None:
    """The short view of an attempt that another row names; None where it cannot be read."""
    with desk.apart(), suppress(Refused, MalformedMessage):
        return epoch_view(desk.sealed, EpochId.from_bytes(id_))
    return None


def get_epoch(reader: Reader, id_: EpochId) -> EpochRecord:
    """An attempt; `Refused` if there is none."""
    return EPOCHS.need(reader, id_, Refused("there is no such epoch"))


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
        raise Corrupt.of_row(*for_, "it names an epoch that is not there") from error


def attempts_of(reader: Reader, proposal: bytes) -> Iterator[tuple[bytes, EpochRecord]]:
    """All attempts of a proposal that can be read, by the keys of their rows."""
    return readable(reader, EPOCHS, EPOCHS.parsed, prefix=proposal)


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
        key = EPOCH_NAMES.get(reader, name)
    except Corrupt as damage:  # slower, but the attempts themselves say how they are called
        set_aside(reader, damage)
        named = (one for _, one in attempts_of(reader, b"") if one.statement and one.epoch == name)
        return next(named, None)
    return None if key is None else get_epoch(reader, key)


def piece_key(id_: EpochId, dealer: int, receiver: HolderIndex) -> bytes:
    """Where an encrypted piece waits."""
    return id_.to_bytes() + bytes([dealer, receiver])


def due_key(holder: HolderIndex, due: Due, id_: bytes) -> bytes:
    """Where it stands that a holder owes something."""
    return bytes([holder]) + due.value + id_


def owe(desk: DomainDesk, holder: HolderIndex, due: Due, id_: bytes) -> None:
    """A holder owes something from now on, and is woken: there is no other way to owe."""
    DUES.put(desk.sealed, due_key(holder, due, id_))
    desk.wake(one.signing_key for one in desk.roster.holders if one.index == holder)


def drop_due(tx: Transaction, holder: HolderIndex, due: Due, id_: bytes) -> None:
    """A holder has done it, or need not any more."""
    DUES.drop(tx, due_key(holder, due, id_))


def has_due(reader: Reader, holder: HolderIndex, due: Due, id_: bytes) -> bool:
    """Does this holder owe it?"""
    return DUES.has(reader, due_key(holder, due, id_))


def dues(reader: Reader, holder: HolderIndex, due: Due, limit: int = MOST_OWED) -> list[bytes]:
    """What a holder owes of one sort, by id."""
    prefix = bytes([holder]) + due.value
    return [key[2:] for key in DUES.keys(reader, prefix=prefix, limit=limit)]


def every_due(reader: Reader, holder: HolderIndex, due: Due) -> Iterator[bytes]:
    """All that a holder owes of one sort, by id, read some at a time."""
    prefix, after = bytes([holder]) + due.value, None
    while page := list(DUES.keys(reader, prefix=prefix, after=after, limit=MOST_OWED)):
        after = page[-1]
        yield from (key[2:] for key in page)


def owes_acknowledgement(reader: Reader, holder: HolderIndex, proposal: ProposalId) -> bool:
    """Is a delivery of any attempt of this proposal on its way to this holder?"""
    prefix = bytes([holder]) + Due.ACKNOWLEDGE.value + proposal
    return any(True for _ in DUES.keys(reader, prefix=prefix, limit=1))


def put_job(tx: Transaction, job: Job, id_: bytes) -> None:
    """Work for the one-shot child."""
    JOBS.put(tx, (job, id_))


def drop_job(tx: Transaction, job: Job, id_: bytes) -> None:
    """Work that is done."""
    JOBS.drop(tx, (job, id_))


def has_jobs(reader: Reader) -> bool:
    """Is there work for the child?"""
    return any(True for _ in marks(reader, JOBS, limit=1))


def jobs(reader: Reader) -> list[tuple[Job, bytes]]:
    """All work for the child."""
    return list(JOBS.keys(reader))


def receive_keys(reader: Reader) -> list[Envelope]:
    """Every holder's newest signed receive keys; who is left out has not published any."""
    return list(RECEIVE_KEYS.values(reader))


def bundles_in_use(reader: Reader, holder: HolderIndex) -> list[tuple[Hash, ProposalId]]:
    """Which receive keys of a holder open dealings use, and for which proposals."""
    keys = IN_USE.keys(reader, prefix=bytes([holder]))
    return [(bundle, proposal) for (_, bundle), proposal in keys]


def find_bundle(reader: Reader, holder: HolderIndex, bundle: Hash) -> Envelope | None:
    """A signed set of receive keys that a dealing used."""
    return BUNDLES.get(reader, (holder, bundle))
