"""Attempts of one proposal: their numbers, how one ends, and how the next begins.

A restore leaves numbers out: devices may have dealt in attempts, or hold fragments of them, in a
way that died with the disk. Dealt once more under the same number they would be two epochs of one
attempt, for which every honest device blames the authority.
"""

from __future__ import annotations

from dataclasses import replace

from tigertally.base.errors import Refused
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.base.limits import CLOCK_SKEW
from tigertally.custody.messages.dealing import AUTHORITY, MAX_ATTEMPT, Conviction
from tigertally.custody.protocol.epochs import next_attempt
from tigertally.custody.protocol.reshare import change_at
from tigertally.custody.service import rows
from tigertally.custody.service.create import announce, forget_pieces, set_coming
from tigertally.custody.service.jobs import finish_reshare
from tigertally.custody.service.old_fragments import Watch, with_past
from tigertally.custody.state.authority import EpochId, EpochRecord, EpochStatus
from tigertally.quorum.authority import restore
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.damage import marks

_EACH = 1000  # at each restore
_MOST = MAX_ATTEMPT // _EACH - 1  # restores that are told apart


def begin_next(
    desk: DomainDesk,
    record: EpochRecord,
    *,
    without: tuple[int, ...] = (),
    proof: Conviction | None = None,
) -> None:
    """Begin the attempt that follows one that has ended.

    Args:
        without: who deals no more, proven to have lied.
        proof: what shows it to the holders; a reshare needs none (its dealings are checked).

    Raises:
        NoDealerLeft: of a new key. (A reshare waits for more donors instead.)
    """
    if record.base:
        _share_again(desk, replace(record, barred=(*record.barred, *without)))
        return
    number = number_after(desk, record.proposal)
    following = next_attempt(record, number=number, without=frozenset(without))
    if proof is not None:
        following = replace(following, convictions=(*record.convictions, proof))
    rows.put_epoch(desk.sealed, following)
    set_coming(desk, following)
    if following.dealers == (AUTHORITY,):  # nobody is asked: its own child deals
        rows.put_job(desk.sealed, rows.Job.DEAL, rows.epoch_id(following).to_bytes())
    announce(desk, following)


def restart_dealing(desk: DomainDesk) -> None:
    """End and begin again what was being dealt when the back-up was made."""
    left_out = _left_out(desk, since=0)
    for id_, view in list(rows.VIEWS.rows(desk.sealed)):
        # A number above those left out was given after the restore: no device knows another.
        if view.status is EpochStatus.DEALING and id_.attempt <= left_out:
            with desk.apart(), desk.plain.nested():
                record = rows.get_epoch(desk.sealed, id_)
                end_attempt(desk, record, "the authority was restored from a back-up")
                begin_next(desk, record)


def end_attempt(desk: DomainDesk, record: EpochRecord, why: str) -> None:
    """Abort an attempt: nobody owes anything for it, and its pieces are forgotten.

    Some may have stored fragments of it: the keys that are shared anew remember it.
    """
    if record.status is EpochStatus.OPEN and record.base:
        watch, epoch = Watch(desk), record.parsed_statement().hash
        for ref in record.keys:
            with desk.apart():
                key = rows.get_key(desk.sealed, ref)
                rows.put_key(desk.sealed, with_past(watch, key, epoch, record))
    rows.put_epoch(desk.sealed, record.moved_to(EpochStatus.ABORTED, why))
    id_ = rows.epoch_id(record).to_bytes()
    for index in {*record.holders, *(d for d in record.dealers if d != AUTHORITY)}:
        for due in (rows.Due.ACKNOWLEDGE, rows.Due.DEAL):
            rows.drop_due(desk.sealed, HolderIndex(index), due, id_)
    rows.drop_job(desk.sealed, rows.Job.DEAL, id_)
    finish_reshare(desk, id_)
    forget_pieces(desk, record)


def number_after(desk: DomainDesk, proposal: ProposalId, *, since: int = 0) -> int:
    """Return the number of the next attempt of a proposal approved at `since`, of any keys."""
    attempts = [  # also one whose row cannot be read: devices may know it
        int.from_bytes(key[len(proposal) :], "big")
        for key in marks(desk.sealed, rows.EPOCHS, prefix=proposal)
    ]
    return max([_left_out(desk, since=since), *attempts]) + 1


def _left_out(desk: DomainDesk, *, since: int) -> int:
    """Return the last number that an attempt of what was approved at `since` may not have.

    Unix seconds. It differs for two restores of one back-up: what was dealt after the first is
    lost as well.
    """
    restores = [restore.opened(one) for one in restore.records(desk.plain)]
    counted = [one for one in restores if one.restored >= since - CLOCK_SKEW]
    if not counted:
        return 0
    apart = int.from_bytes(counted[-1].nonce[:2], "big") % (_EACH // 2)
    return _EACH * min(len(counted), _MOST) + apart


def _share_again(desk: DomainDesk, record: EpochRecord) -> None:
    """Open a reshare's next attempt, from the live epochs, less those barred."""
    change = change_at(desk.known_chain, record.roster)
    attempt = number_after(desk, change.id, since=change.new.created)
    dealers = donors_of(desk, record)
    by_authority = record.suite.authority_deals
    following = replace(
        record,
        attempt=attempt,
        status=EpochStatus.DEALING,
        dealers=(AUTHORITY,) if by_authority else dealers,
        dealings=(None,) * (1 if by_authority else len(dealers)),
        statement=b"",
        acknowledgements=(),
        acknowledged=(),
        why=record.why,
    )
    rows.put_epoch(desk.sealed, following)
    threshold = rows.get_epoch(desk.sealed, live_of(desk, record)).threshold
    for ref in record.keys:
        with desk.apart():
            key = rows.get_key(desk.sealed, ref)
            key = replace(key, coming=EpochId(proposal=record.proposal, attempt=attempt))
            if len(dealers) < threshold:
                key = key.with_trouble(f"only {len(dealers)} honest donors are left")
            rows.put_key(desk.sealed, key)
    if by_authority:
        ask_contributions(desk, following, dealers)
    announce(desk, following)


def ask_contributions(
    desk: DomainDesk, record: EpochRecord, donors: tuple[HolderIndex, ...]
) -> None:
    """Ask donors for their fragments, sealed to a fresh key of the authority, which deals."""
    if not rows.FRESH.has(desk.sealed, record.proposal):
        rows.FRESH.put(desk.sealed, record.proposal, desk.randomness.bytes(96))
    id_ = rows.epoch_id(record).to_bytes()
    for index in donors:
        if not _has_contribution(desk, id_ + bytes([index])):
            rows.owe(desk, index, rows.Due.DEAL, id_)


def _has_contribution(desk: DomainDesk, place: bytes) -> bool:
    """Say whether it has arrived; one that cannot be read has not: its donor sends it again."""
    with desk.apart():
        return rows.CONTRIBUTIONS.has(desk.sealed, place)
    return False


def donors_of(desk: DomainDesk, record: EpochRecord) -> tuple[HolderIndex, ...]:
    """Return who holds the live epochs of all these keys, is still here and is not barred."""
    able = {holder.index for holder in desk.roster.holders} - set(record.barred)
    for epoch in {one.epoch for one in record.base}:
        live = rows.find_epoch(desk.sealed, epoch)
        able &= set() if live is None else set(live.acknowledged)
    return tuple(sorted(able))


def live_of(desk: DomainDesk, record: EpochRecord) -> EpochId:
    """Return the live epoch of a reshare's keys: of the first that can be read."""
    *others, last = record.keys
    for ref in others:
        with desk.apart():
            live = rows.get_key(desk.sealed, ref).live
            if live is not None:
                return live
    live = rows.get_key(desk.sealed, last).live
    if live is None:
        raise Refused("the key has no live epoch")
    return live
