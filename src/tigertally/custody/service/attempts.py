"""Attempts to share keys: how they are numbered, how one ends, and how the next begins.

Attempts of one proposal are numbered on. A restore leaves numbers out: after the back-up was made,
devices may have dealt in those attempts, or hold fragments of them. Dealt once more under the same
number they would be two epochs of one attempt, for which every honest device blames the authority.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tigertally.base.errors import Refused
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.base.limits import CLOCK_SKEW
from tigertally.custody.messages.dealing import AUTHORITY, MAX_ATTEMPT
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.protocol.epochs import next_attempt
from tigertally.custody.protocol.reshare import change_at
from tigertally.custody.service import rows
from tigertally.custody.service.create import announce, forget_pieces, set_coming, trouble
from tigertally.custody.service.jobs import finish_reshare
from tigertally.custody.service.old_fragments import Watch, with_past
from tigertally.custody.state.authority import EpochId, EpochRecord, EpochStatus
from tigertally.quorum.authority import restore
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.damage import marks

_EACH = 1000  # at each restore
_MOST = MAX_ATTEMPT // _EACH - 1  # restores that are told apart


def attempts_left_out(desk: DomainDesk, *, since: int) -> int:
    """The last number that an attempt of something approved at `since` (Unix seconds) may not have.

    It differs for two restores of one back-up: what was dealt after the first is lost as well.
    """
    restores = [restore.opened(one) for one in restore.records(desk.plain)]
    counted = [one for one in restores if one.restored >= since - CLOCK_SKEW]
    if not counted:
        return 0
    apart = int.from_bytes(counted[-1].nonce[:2], "big") % (_EACH // 2)
    return _EACH * min(len(counted), _MOST) + apart


def attempt_after(desk: DomainDesk, proposal: ProposalId, *, since: int = 0) -> int:
    """The number of the next attempt of a proposal approved at `since`, for whatever keys."""
    attempts = [  # also one whose row cannot be read: devices may know it
        int.from_bytes(key[len(proposal) :], "big")
        for key in marks(desk.sealed, rows.EPOCHS, prefix=proposal)
    ]
    return max([attempts_left_out(desk, since=since), *attempts]) + 1


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


def begin_next(desk: DomainDesk, record: EpochRecord, *, without: Iterable[int] = ()) -> None:
    """Open the attempt after `record`, which has ended, without these dealers.

    If nobody is left to deal, none is opened, and `tally key show` says so.
    """
    if record.base:
        _begin_next_reshare(desk, replace(record, barred=(*record.barred, *without)))
        return
    dealers = tuple(dealer for dealer in record.dealers if dealer not in without)
    if not dealers:
        trouble(desk, record, "no honest dealer is left: propose the operation again")
        return
    number = attempt_after(desk, record.proposal)
    following = next_attempt(record, number=number, dealers=dealers)
    rows.put_epoch(desk.sealed, following)
    set_coming(desk, following)
    if following.dealers == (AUTHORITY,):
        rows.put_job(desk.sealed, rows.Job.DEAL, rows.epoch_id(following).to_bytes())
    announce(desk, following)


def _begin_next_reshare(desk: DomainDesk, record: EpochRecord) -> None:
    """Open the next attempt of a reshare, dealt by all who hold the live epochs and are not barred.

    With too few of them it is opened all the same, with a note on its keys: a holder that
    acknowledges a live epoch late joins its donors (`more_donors`).
    """
    change = change_at(desk.known_chain, record.roster)
    number = attempt_after(desk, change.id, since=change.new.created)
    donors = _donors(desk, record)
    by_authority = record.suite.authority_deals
    following = next_attempt(
        record, number=number, dealers=(AUTHORITY,) if by_authority else donors
    )
    rows.put_epoch(desk.sealed, following)
    threshold = rows.get_epoch(desk.sealed, live_of(desk, record)).threshold
    for ref in record.keys:
        with desk.apart():
            key = replace(rows.get_key(desk.sealed, ref), coming=rows.epoch_id(following))
            if len(donors) < threshold:
                key = key.with_trouble(f"only {len(donors)} honest donors are left")
            rows.put_key(desk.sealed, key)
    if by_authority:
        ask_contributions(desk, following, donors)
    announce(desk, following)


def _donors(desk: DomainDesk, record: EpochRecord) -> tuple[HolderIndex, ...]:
    """Who holds the live epochs of all these keys, is still here and has not been barred."""
    able = {holder.index for holder in desk.roster.holders} - set(record.barred)
    for epoch in {one.epoch for one in record.base}:
        live = rows.find_epoch(desk.sealed, epoch)
        able &= set() if live is None else set(live.acknowledged)
    return tuple(sorted(able))


def more_donors(desk: DomainDesk, keys: Iterable[KeyRef]) -> None:
    """Somebody has acknowledged a live epoch late: it may deal where a reshare still waits."""
    coming: set[EpochId] = set()
    for ref in keys:
        with desk.apart():
            key = rows.find_key(desk.sealed, ref)
            coming |= set() if key is None or key.coming is None else {key.coming}
    for id_ in coming:
        with desk.apart(), desk.plain.nested():
            _more_donors(desk, rows.get_epoch(desk.sealed, id_))


def _more_donors(desk: DomainDesk, record: EpochRecord) -> None:
    if record.status is not EpochStatus.DEALING or not record.base:
        return
    donors = _donors(desk, record)
    if record.suite.authority_deals:
        ask_contributions(desk, record, donors)
        return
    there = dict(zip(record.dealers, record.dealings, strict=True))
    dealers = tuple(sorted({*record.dealers, *donors}))
    dealings = tuple(there.get(dealer) for dealer in dealers)
    record = replace(record, dealers=dealers, dealings=dealings)
    rows.put_epoch(desk.sealed, record)
    announce(desk, record)


def bar_donor(desk: DomainDesk, record: EpochRecord, donor: int) -> None:
    """A donor is proven to have dealt something else: the attempt goes on without it."""
    rows.drop_due(desk.sealed, HolderIndex(donor), rows.Due.DEAL, rows.epoch_id(record).to_bytes())
    pairs = zip(record.dealers, record.dealings, strict=True)
    left = [(dealer, dealing) for dealer, dealing in pairs if dealer != donor]
    record = replace(
        record,
        dealers=tuple(dealer for dealer, _ in left),
        dealings=tuple(dealing for _, dealing in left),
        barred=(*record.barred, donor),
    )
    rows.put_epoch(desk.sealed, record)
    if len(record.dealers) < record.needed:
        trouble(desk, record, f"only {len(record.dealers)} honest donors are left")


def ask_contributions(
    desk: DomainDesk, record: EpochRecord, donors: tuple[HolderIndex, ...]
) -> None:
    """Where the authority deals: donors send their fragments to the authority's fresh key."""
    if desk.sealed.get(rows.FRESH, record.proposal) is None:
        seed = desk.randomness.bytes(96)
        desk.sealed.put(rows.FRESH, record.proposal, seed)
    id_ = rows.epoch_id(record).to_bytes()
    for index in donors:
        if not _has_contribution(desk, id_ + bytes([index])):
            rows.owe(desk, index, rows.Due.DEAL, id_)


def _has_contribution(desk: DomainDesk, place: bytes) -> bool:
    """Has it arrived? One that cannot be read has not: its donor may send it again."""
    with desk.apart():
        return desk.sealed.get(rows.CONTRIBUTIONS, place) is not None
    return False


def live_of(desk: DomainDesk, record: EpochRecord) -> EpochId:
    """The live epoch of the keys of a reshare: of the first that can be read."""
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


def restart_dealing(desk: DomainDesk) -> None:
    """After a restore: end what was being dealt when the back-up was made, and begin it again."""
    left_out = attempts_left_out(desk, since=0)
    for id_, view in list(rows.all_views(desk.sealed)):
        # A higher number was given after the restore: no device knows it from before.
        if view.status is EpochStatus.DEALING and id_.attempt <= left_out:
            with desk.apart(), desk.plain.nested():
                record = rows.get_epoch(desk.sealed, id_)
                end_attempt(desk, record, "the authority was restored from a back-up")
                begin_next(desk, record)
