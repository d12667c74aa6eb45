"""The authority's rows about restores, outside the barrier: it must know while it is locked."""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.log import AuditLog
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, InvalidSignature, MalformedMessage, Refused
from tigertally.base.ids import DomainId, HolderIndex, Nonce
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.rows import ROSTERS
from tigertally.quorum.restoration import (
    Acceptance,
    Restoration,
    RestorationRecord,
    log_origin,
    open_acceptance,
    open_restoration,
    sign_restoration,
)
from tigertally.quorum.roster import Roster
from tigertally.storage.store import Reader, Transaction
from tigertally.storage.table import RAW, Marks, Table, message, number

RESTORED = Table("restored", number(4), message(RestorationRecord))
PENDING = Marks("restored-pending", RAW)  # one row while holders have not accepted the newest
_ROW = b"pending"


def mark_restored(
    tx: Transaction, key: SigningKey, *, domain: DomainId, made: int, now: int, nonce: Nonce
) -> Restoration:
    """Write into a store that came from a back-up that it was restored.

    Its log goes on under a new name, with `authority.restored` as the first entry.

    Args:
        tx: a transaction of the restored store.
        key: the authority's.
        domain: the domain's name.
        made: when the back-up was made.
        now: Unix seconds.
        nonce: fresh.
    """
    before = AuditLog(current_origin(tx, domain), key)
    restoration = Restoration(
        domain=domain,
        base=before.checkpoint(tx).to_text(),
        number=len(records(tx)) + 1,
        nonce=nonce,
        made=made,
        restored=now,
    )
    record = RestorationRecord(restoration=sign_restoration(key, restoration), acceptances=())
    RESTORED.put(tx, restoration.number, record)
    if any(True for _ in tx.scan(ROSTERS, limit=1)):  # else nobody is there to accept it
        PENDING.put(tx, _ROW)
    AuditLog(restoration.origin, key).append(
        tx,
        time=now,
        kind="authority.restored",
        actor="authority",
        summary=f"restored from a back-up of {restoration.checkpoint.checkpoint.size} entries",
        detail=encode(record.restoration),
    )
    return restoration


def records(reader: Reader) -> tuple[RestorationRecord, ...]:
    """Every restoration behind this state, oldest first; `Corrupt` if one cannot be read."""
    return tuple(RESTORED.values(reader))


def check_records(reader: Reader, authority: VerifyKey) -> None:
    """Are all records of restores what we signed? Raises `Corrupt`, with the place."""
    for key, row in reader.scan(RESTORED):
        try:
            open_restoration(RESTORED.parsed(key, row).restoration, authority)
        except (MalformedMessage, InvalidSignature) as error:
            why = "the record of a restore is damaged"
            raise Corrupt.of_row(RESTORED, key, why) from error


def current_origin(reader: Reader, domain: DomainId) -> str:
    """The name of the audit log now."""
    found = records(reader)
    return opened(found[-1]).origin if found else log_origin(domain)


def pending(reader: Reader) -> RestorationRecord | None:
    """The restoration that holders have not accepted yet, if there is one."""
    if not PENDING.has(reader, _ROW):
        return None
    found = records(reader)
    if not found:
        raise Corrupt("the record of a restore is gone")
    return found[-1]


def opened(record: RestorationRecord) -> Restoration:
    """A restoration of our own rows; `Corrupt` if it cannot be read."""
    try:
        return decode(Restoration, record.restoration.body)
    except MalformedMessage as error:
        raise Corrupt("the record of a restore cannot be read") from error


def check_acceptance(
    envelope: Envelope | None, record: RestorationRecord, holder: HolderIndex, roster: Roster
) -> Acceptance:
    """Does this holder accept exactly this restoration, with the roster that we have?

    Raises:
        MalformedMessage, InvalidSignature
        Refused: it says nothing, or speaks for somebody else, or of something else.
    """
    if envelope is None:
        raise Refused("the authority was restored from a back-up: the answer must accept that")
    said = open_acceptance(envelope, roster)
    if (said.holder, said.domain, said.roster) != (holder, roster.domain, roster.hash):
        raise Refused("the acceptance is of another holder or another roster")
    if said.restoration != opened(record).hash:
        raise Refused("the acceptance is of another restore")
    return said


def add_acceptances(desk: DomainDesk, envelopes: Sequence[Envelope]) -> RestorationRecord:
    """Keep acceptances of the newest restoration, and write them into the log.

    One a holder: else a single one could make them more than fits a message, for all to follow by.
    """
    record = records(desk.plain)[-1]
    known = {decode(Acceptance, one.body).holder for one in record.acceptances}
    fresh = tuple(one for one in envelopes if decode(Acceptance, one.body).holder not in known)
    record = RestorationRecord(
        restoration=record.restoration, acceptances=(*record.acceptances, *fresh)
    )
    restoration = opened(record)
    RESTORED.put(desk.plain, restoration.number, record)
    for envelope in fresh:
        said = decode(Acceptance, envelope.body)
        name = desk.roster.holder(said.holder).name
        desk.record(
            "restore.accepted",
            actor=name,
            summary=f"{name} accepts {in_words(restoration, said)}",
            detail=encode(envelope),
        )
    return record


def in_words(restoration: Restoration, said: Acceptance) -> str:
    """What a holder accepted, for the log."""
    base = restoration.checkpoint.checkpoint
    if not said.seen:
        return f"the restored log of {base.size} entries"
    seen = SignedCheckpoint.from_text(said.seen).checkpoint
    return (
        f"the restored log of {base.size} entries, root {base.root.hex()[:16]}; "
        f"had seen {seen.size}, root {seen.root.hex()[:16]}"
    )


def done(tx: Transaction) -> None:
    """Enough holders have accepted: the authority goes on."""
    PENDING.drop(tx, _ROW)
