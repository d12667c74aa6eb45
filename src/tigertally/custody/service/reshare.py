"""After a change of the holders or the quorum: a new epoch for every key (C9).

Steps as in `docs/protocols/custody-reshare.md`. Keys of one suite and threshold travel together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tigertally.base.codec import decode
from tigertally.base.errors import MalformedMessage, Refused
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import AUTHORITY
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.release import Contribution, FragmentDelivery
from tigertally.custody.protocol.release import open_delivery
from tigertally.custody.protocol.reshare import Change, latest_change
from tigertally.custody.service import attempts, rows
from tigertally.custody.service.create import announce, note_trouble
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochStatus,
    KeyRecord,
    KeyState,
)
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.messages import Nothing
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import VerifiedTally

Live = tuple[KeyRecord, EpochRecord]


def roster_changed(desk: DomainDesk, old: Roster, tally: VerifiedTally) -> None:
    """End what was under way for the old holders, then share every key anew (a roster hook).

    A key that cannot be read keeps its epoch, and holds up neither the change nor the other keys.
    That is safe: it is never taken for shared anew, a donor deals for no other electorate than the
    newest it knows, and nothing releases a key whose row cannot be read. Right again, it is found
    stale with the next change, epoch or destruction (`share_stale_keys`).
    """
    if desk.roster.electorate == old.electorate:
        return  # other members have changed: no key depends on them
    left = {holder.index for holder in desk.roster.holders}
    for holder in old.holders:
        if holder.index not in left:
            _forget_holder(desk, holder.index)
    for key in list(rows.all_keys(desk.sealed)):
        if key.coming is not None:
            with desk.apart(), desk.plain.nested():
                _end_coming(desk, key, left)
    share_stale_keys(desk)


def catch_up(desk: DomainDesk) -> None:
    """Do the same after holders have brought a newer chain than was stored.

    Which changes were missed is not told: every index that is no holder now is forgotten, and what
    was opened for other holders than today's is ended.
    """
    left = {holder.index for holder in desk.roster.holders}
    for index in range(1, desk.roster.next_index):
        if index not in left:
            _forget_holder(desk, HolderIndex(index))
    for key in list(rows.all_keys(desk.sealed)):
        if key.coming is not None and not _of_today(desk, key.coming):
            with desk.apart(), desk.plain.nested():
                _end_coming(desk, key, left)
    share_stale_keys(desk)


def _of_today(desk: DomainDesk, id_: EpochId) -> bool:
    with desk.apart():
        roster = desk.known_chain.at(rows.get_epoch(desk.sealed, id_).roster)
        return roster.electorate == desk.roster.electorate
    return False  # it cannot be read, so it cannot go on


def _forget_holder(desk: DomainDesk, index: HolderIndex) -> None:
    """Forget what a removed holder owes, and its receive keys, so that nobody sends to them."""
    for due in rows.Due:
        for id_ in rows.dues(desk.sealed, index, due, limit=100_000):
            rows.drop_due(desk.sealed, index, due, id_)
    rows.RECEIVE_KEYS.drop(desk.sealed, index)
    rows.SEEN.drop(desk.sealed, index)


def _end_coming(desk: DomainDesk, key: KeyRecord, left: set[HolderIndex]) -> None:
    """End the epoch that a key was waiting for: it is for the holders of before the change.

    A reshare is ended: the next starts from the live epoch again. A key that is being made goes
    on if enough of its holders are still here; it is shared anew once it is active.
    """
    if key.coming is None:
        return
    record = None
    with desk.apart():
        record = rows.get_epoch(desk.sealed, key.coming)
    if record is None:  # it cannot go on; the next starts from the live epoch, if there is one
        if key.live is not None:
            rows.put_key(desk.sealed, replace(key, coming=None, state=KeyState.ACTIVE))
        return
    if key.live is None:
        able = {*record.acknowledged, *(index for index in record.holders if index in left)}
        dealt = record.status is not EpochStatus.DEALING
        if dealt and len(able) >= record.acks:  # those left finish it without anybody dealing
            return
    if record.status in (EpochStatus.DEALING, EpochStatus.OPEN):
        attempts.end_attempt(desk, record, "the roster changed")
        key = rows.get_key(desk.sealed, key.ref)
    if key.live is None:  # it never was active: free its name
        rows.KEYS.drop(desk.sealed, key.ref)
        desk.record(
            "custody.given-up",
            actor="authority",
            summary=f"{key.ref} could not be finished for the old holders: propose it again",
        )
    else:
        rows.put_key(desk.sealed, replace(key, coming=None, state=KeyState.ACTIVE))


def share_stale_keys(desk: DomainDesk) -> None:
    """Open an attempt for every key whose live epoch is older than the present electorate.

    Also where holders and quorum are again what they were: an attempt for those in between may
    have left fragments, of a lower threshold, and only a newer certified epoch erases them.
    """
    change = latest_change(desk.known_chain)
    stale = list(_stale(desk, change.new.version))
    if not stale:
        return
    attempt = attempts.number_after(desk, change.id, since=change.new.created)
    for group, donors in _groups(desk, stale):
        record = _attempt(change, group, donors, attempt)
        attempt += 1
        with desk.apart(), desk.plain.nested():
            _share(desk, record, group, donors)


def _share(
    desk: DomainDesk, record: EpochRecord, group: list[Live], donors: tuple[HolderIndex, ...]
) -> None:
    """Open an attempt for keys that travel together, and ask its donors."""
    rows.put_epoch(desk.sealed, record)
    for key, _ in group:
        coming = replace(key, coming=rows.epoch_id(record), state=KeyState.RESHARING)
        rows.put_key(desk.sealed, coming)
    desk.record(
        "custody.resharing",
        actor="authority",
        summary=f"{len(group)} keys are shared anew for roster version {record.roster_version}",
        detail=record.proposal,
    )
    if record.suite.authority_deals:
        attempts.ask_contributions(desk, record, donors)
    announce(desk, record)


def _stale(desk: DomainDesk, since: int) -> Iterator[Live]:
    """Yield the keys whose live epoch is of a roster before `since` and that wait for no other."""
    epochs = rows.Epochs(desk.sealed)
    for key in list(rows.all_keys(desk.sealed)):
        if key.live is None or key.coming is not None or key.state is KeyState.DESTROYED:
            continue
        record = None
        with desk.apart():
            record = epochs.get(key.live)
        if record is not None and record.roster_version < since:
            yield key, record


def _groups(
    desk: DomainDesk, stale: Iterable[Live]
) -> Iterator[tuple[list[Live], tuple[HolderIndex, ...]]]:
    """Yield keys that can travel together, with their donors.

    They have one suite, one threshold, and enough donors in common. And the same options: a device
    that does not know one of them then takes no part in those keys alone.
    """
    here = {holder.index for holder in desk.roster.holders}
    sorts: dict[tuple[Suite, int, tuple[HolderIndex, ...], tuple[str, ...]], list[Live]] = {}
    for key, record in stale:
        donors = tuple(index for index in record.acknowledged if index in here)
        sort = (key.suite, record.threshold, donors, tuple(sorted(key.options.names)))
        sorts.setdefault(sort, []).append((key, record))
    for (_, threshold, donors, _), members in sorts.items():
        # Too few are left to make the key. Asked again with every later acknowledgement of the live
        # epoch (`EpochService.acknowledge`), so the same trouble is noted only once.
        if len(donors) < threshold:
            for key, _ in members:
                why = f"only {len(donors)} holders of the live epoch are left, {threshold} needed"
                if why not in key.trouble[-1:]:
                    rows.put_key(desk.sealed, key.with_trouble(why))
            continue
        size = _most_keys(len(here), threshold)
        members.sort(key=lambda live: live[0].ref)
        for start in range(0, len(members), size):
            yield members[start : start + size], donors


def _most_keys(holders: int, threshold: int) -> int:
    """Return how many keys fit into one dealing package (half of the largest message)."""
    one = 64 * holders + 32 * max(holders, threshold) + 400
    return max(1, MAX_MESSAGE_BYTES // 2 // one)


def _attempt(
    change: Change, group: list[Live], donors: tuple[HolderIndex, ...], attempt: int
) -> EpochRecord:
    suite = group[0][0].suite
    base = tuple(base_key(key, record) for key, record in group)
    by_authority = suite.authority_deals
    dealers: tuple[int, ...] = (AUTHORITY,) if by_authority else tuple(donors)
    return EpochRecord(
        tally=change.tally,
        proposal=change.id,
        attempt=attempt,
        roster=change.new.hash,
        roster_version=change.new.version,
        suite=suite,
        threshold=change.new.threshold,
        acks=change.acks,
        keys=tuple(one.ref for one in base),
        base=base,
        holders=tuple(holder.index for holder in change.new.holders),
        needed=1 if by_authority else group[0][1].threshold,
        dealers=dealers,
        dealings=(None,) * len(dealers),
    )


def base_key(key: KeyRecord, record: EpochRecord) -> BaseKey:
    """Return what a reshare of this key starts from."""
    statement = record.parsed_statement()
    return BaseKey(
        ref=key.ref,
        epoch=key.live_hash or record.epoch,
        commitments=statement.commitments_of(key.ref),
        options=key.options,
    )


def more_donors(desk: DomainDesk, keys: Iterable[KeyRef]) -> None:
    """Let who has acknowledged a live epoch late deal, where a reshare still waits for donors."""
    coming: set[EpochId] = set()
    for ref in keys:
        with desk.apart():
            key = rows.KEYS.get(desk.sealed, ref)
            coming |= set() if key is None or key.coming is None else {key.coming}
    for id_ in coming:
        with desk.apart(), desk.plain.nested():
            _more_donors(desk, rows.get_epoch(desk.sealed, id_))


def _more_donors(desk: DomainDesk, record: EpochRecord) -> None:
    if record.status is not EpochStatus.DEALING or not record.base:
        return  # it is dealt already; or a key is being made, which has no donors
    donors = attempts.donors_of(desk, record)
    if record.suite.authority_deals:
        attempts.ask_contributions(desk, record, donors)
        return
    there = dict(zip(record.dealers, record.dealings, strict=True))
    dealers = tuple(sorted({*record.dealers, *donors}))
    dealings = tuple(there.get(dealer) for dealer in dealers)
    record = replace(record, dealers=dealers, dealings=dealings)
    rows.put_epoch(desk.sealed, record)
    announce(desk, record)


def bar_donor(desk: DomainDesk, record: EpochRecord, donor: int) -> None:
    """Go on with the attempt without a donor that is proven to have dealt something else."""
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
        note_trouble(desk, record, f"only {len(record.dealers)} honest donors are left")


def contribute(desk: DomainDesk, sent: Contribution, peer: VerifyKey) -> Nothing:
    """Take a donor's fragments, encrypted to the authority's fresh key, where the authority deals.

    With as many as the live epoch's threshold the one-shot child gets its work.
    """
    holder = desk.holder(peer)
    id_ = EpochId(proposal=sent.proposal, attempt=sent.attempt)
    record = rows.get_epoch(desk.sealed, id_)
    if record.status is not EpochStatus.DEALING or not record.suite.authority_deals:
        return Nothing()  # others were enough, or the attempt has ended
    if not rows.has_due(desk.sealed, holder.index, rows.Due.DEAL, id_.to_bytes()):
        return Nothing()  # it came before, or its sender is barred from this attempt
    if len(sent.fragments) != len(record.base):
        raise MalformedMessage("a contribution has one fragment a key")
    for fragment, one in zip(sent.fragments, record.base, strict=True):
        if decode(FragmentDelivery, fragment.delivery.body).holder != holder.index:
            raise Refused("a fragment is handed in by its holder")
        delivery = open_delivery(fragment, desk.roster)
        said = (delivery.holder, delivery.proposal, delivery.key, delivery.epoch)
        if said != (holder.index, sent.proposal, one.ref, one.epoch):
            raise Refused("a fragment in this contribution is for something else")
    place = id_.to_bytes() + bytes([holder.index])
    rows.CONTRIBUTIONS.put(desk.sealed, place, sent)
    rows.drop_due(desk.sealed, holder.index, rows.Due.DEAL, id_.to_bytes())
    arrived = sum(1 for _ in rows.CONTRIBUTIONS.keys(desk.sealed, prefix=id_.to_bytes()))
    threshold = rows.get_epoch(desk.sealed, attempts.live_of(desk, record)).threshold
    if arrived >= threshold:
        rows.put_job(desk.sealed, rows.Job.RESHARE, id_.to_bytes())
    return Nothing()
