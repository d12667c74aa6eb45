"""Which audit log a member watches, and how it follows to the log of a restored authority.

`Witness` rows of the member's sealed store, inside a transaction. No network here.
"""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.witness import Witness
from tigertally.base.clock import time_text
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault
from tigertally.base.ids import DomainId
from tigertally.base.limits import CLOCK_SKEW
from tigertally.crypto.envelope import parse_message
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import Proposal
from tigertally.quorum.restoration import (
    Lines,
    Place,
    Restoration,
    RestorationRecord,
    accepted_by,
    is_accepted,
    log_origin,
    open_restoration,
    place_of,
)
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import Tally
from tigertally.storage.store import Reader, Transaction

WITNESS = "member-witness"  # the newest verified checkpoint, and the name of the log that we watch
LINES = "member-line"  # name of a restored log -> Restoration that we verified
NOTICES = "member-notice"  # number (4 bytes) -> what a person has to be told, once
_NEWEST = b"newest"
_ORIGIN = b"origin"
_OWED = b"owed"  # we owe the restored authority what we hold
_SYNCED = b"synced"  # when we last synced, by our own clock (8 bytes)

Opened = dict[str, tuple[Restoration, RestorationRecord]]


def load_witness(reader: Reader, roster: Roster) -> Witness:
    """What we remember of the audit log. `newest` may be of the log that it was restored from."""
    origin = reader.get(WITNESS, _ORIGIN)
    row = reader.get(WITNESS, _NEWEST)
    return Witness(
        origin=log_origin(roster.domain) if origin is None else origin.decode(),
        key=roster.authority.signing_key,
        newest=None if row is None else SignedCheckpoint.from_text(row.decode()),
    )


def store_witness(tx: Transaction, witness: Witness) -> None:
    """Keep the newest checkpoint."""
    if witness.newest is not None:
        tx.put(WITNESS, _NEWEST, witness.newest.to_text().encode())


def load_lines(reader: Reader) -> Lines:
    """The restorations that this device has heard of when it followed one."""
    return {key.decode(): decode(Restoration, row) for key, row in reader.scan(LINES)}


def open_records(records: Sequence[RestorationRecord], authority: VerifyKey) -> Opened:
    """Verify restorations; by the name of the log that each began.

    Raises:
        MalformedMessage, InvalidSignature
    """
    found: Opened = {}
    for record in records:
        restoration = open_restoration(record.restoration, authority)
        found[restoration.origin] = restoration, record
    return found


def restoration_of(opened: Opened, origin: str) -> tuple[Restoration, RestorationRecord]:
    """The restoration that began this log.

    Raises:
        PeerFault: there is none: the authority shows a log out of nowhere. Or it shows a restore
            that this log does not come from: believed, it would excuse a fork.
    """
    if origin not in opened:
        raise PeerFault(
            "the authority shows another log than the one this device watches",
            culprits=("authority",),
        )
    passed, at = 0, origin
    while at in opened:
        passed, at = passed + 1, opened[at][0].checkpoint.checkpoint.origin
    if passed != len(opened):
        raise PeerFault(
            "the authority shows a restore that its log does not come from",
            culprits=("authority",),
        )
    return opened[origin]


def rolls_back(witness: Witness, opened: Opened, origin: str, domain: DomainId) -> bool:
    """Is what this device has seen behind the point to which the log went back?

    Raises:
        PeerFault: the log in the back-up and ours have two roots for one size (sure).
    """
    if witness.newest is None:
        return False
    known = witness.newest.checkpoint
    lines = {name: restoration for name, (restoration, _) in opened.items()}
    for restoration in lines.values():
        base = restoration.checkpoint.checkpoint
        if (base.origin, base.size) == (known.origin, known.size) and base.root != known.root:
            raise PeerFault(
                f"the log was forked: two signed roots for {base.size} entries",
                culprits=("authority",),
                sure=True,
            )
    return place_of(lines, domain, origin, known.origin, known.size) is not Place.INSIDE


def follow(
    tx: Transaction,
    records: Sequence[RestorationRecord],
    origin: str,
    chain: Chain,
    *,
    known_version: int,
) -> None:
    """Go on with the log of a restored authority, if enough holders have accepted it.

    Args:
        records: every restoration, as the authority shows them.
        origin: the log that it shows now.
        chain: the rosters, with those that it has just shown.
        known_version: the newest roster that this device knew before; acceptances by holders of
            older ones do not count.

    Raises:
        MalformedMessage, InvalidSignature
        PeerFault: another log without a restoration, or without enough acceptances.
    """
    roster = chain.current
    opened = open_records(records, roster.authority.signing_key)
    restoration, record = restoration_of(opened, origin)
    witness = load_witness(tx, roster)
    back = rolls_back(witness, opened, origin, roster.domain)
    if witness.newest is not None:
        if not is_accepted(record, restoration, chain.rosters[known_version - 1 :]):
            raise not_accepted(restoration, witness, back=back)
        _notice(tx, _words(restoration, record, witness, chain, back=back))
        tx.put(WITNESS, _OWED, b"")
    for name, (line, _) in opened.items():
        tx.put(LINES, name.encode(), encode(line))
    tx.put(WITNESS, _ORIGIN, origin.encode())
    if back:
        tx.put(WITNESS, _NEWEST, restoration.base.encode())


def not_accepted(restoration: Restoration, witness: Witness, *, back: bool) -> PeerFault:
    """Why this device stops at a restored authority, and what people can do."""
    size = restoration.checkpoint.checkpoint.size
    lost = f", which loses entries {size} to {witness.size - 1} of its log" if back else ""
    error = PeerFault(
        f"the authority was restored from a back-up{lost}, and too few holders have accepted that",
        culprits=("authority",),
    )
    flag = " --accept-rollback" if back else ""
    error.add_note(
        f"if your domain did restore it, holders run `tally holder unlock{flag}`; if not, stop"
    )
    return error


def notice_held_back(tx: Transaction, chain: Chain, known: int, *, now: int) -> None:
    """Tell the person of a change of the roster that had ended long ago when it was shown to us.

    A lying authority can hold a complete tally back and carry it out later, under an earlier date.
    The roster stands all the same: enough holders signed it, and a chain that one device refuses
    is of no use to anybody.

    Args:
        chain: with the rosters that have just been shown.
        known: the newest version that we knew before.
        now: by this device's clock; kept, as the time of its last sync.
    """
    row = tx.get(WITNESS, _SYNCED)
    last = 0 if row is None else int.from_bytes(row, "big")
    for roster, signed in zip(chain.rosters[known:], chain.signed[known:], strict=True):
        proposal = parse_message(Proposal, decode(Tally, signed.tally).proposal.body)
        if proposal.expires + CLOCK_SKEW < last:
            _notice(
                tx,
                f"roster version {roster.version} was made by a proposal ({proposal.kind}) that "
                f"ended at {time_text(proposal.expires)}, and this device was not shown it when it "
                f"synced at {time_text(last)}: the authority held it back, or a clock was wrong",
            )
    tx.put(WITNESS, _SYNCED, now.to_bytes(8, "big"))


def owes_report(reader: Reader) -> bool:
    """Has this device still to tell the restored authority what it holds?"""
    return reader.get(WITNESS, _OWED) is not None


def reported(tx: Transaction) -> None:
    """It has told it."""
    tx.delete(WITNESS, _OWED)


def notices(reader: Reader) -> list[str]:
    """What the person has not been told yet."""
    return [row.decode() for _, row in reader.scan(NOTICES)]


def forget_notices(tx: Transaction) -> None:
    """The person has been told."""
    for key, _ in list(tx.scan(NOTICES)):
        tx.delete(NOTICES, key)


def _notice(tx: Transaction, text: str) -> None:
    number = sum(1 for _ in tx.scan(NOTICES))
    tx.put(NOTICES, number.to_bytes(4, "big"), text.encode())


def _words(
    restoration: Restoration,
    record: RestorationRecord,
    witness: Witness,
    chain: Chain,
    *,
    back: bool,
) -> str:
    roster = chain.current
    names = [
        str(roster.holder(one.holder).name) for one in accepted_by(record, restoration, roster)
    ]
    base = restoration.checkpoint.checkpoint
    what = "nothing that this device had seen is lost"
    if back:
        what = (
            f"its log went back from {witness.size} entries to {base.size}: what came in between "
            "is lost"
        )
    who = ", ".join(names) or "former holders"
    return f"the authority was restored from a back-up; {what}; accepted by {who}"
