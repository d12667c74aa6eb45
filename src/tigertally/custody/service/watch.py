"""What can be watched: keys with their margins, holders, and the numbers of `/metrics`.

The quorum margin of a key is how many holders may still be lost before it is gone: fragments of
its live epoch that present holders have, less the epoch's quorum.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tigertally.base.ids import HolderIndex
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.dealing import AUTHORITY
from tigertally.custody.messages.reports import RemovedHolder
from tigertally.custody.messages.sync import (
    MOST_OWED,
    HolderInfo,
    HoldersReply,
    KeyInfo,
    KeysReply,
    KeysRequest,
)
from tigertally.custody.messages.v1 import KeysReplyV1
from tigertally.custody.policy import some_of
from tigertally.custody.service import rows
from tigertally.custody.service.destroy import missing_erasures
from tigertally.custody.service.old_fragments import Watch
from tigertally.custody.state.authority import (
    EpochId,
    EpochStatus,
    EpochView,
    KeyRecord,
    KeyState,
)
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.rows import open_proposals
from tigertally.quorum.messages import Nothing

_MOST_LINES = 10  # of `waiting_for`: what a person reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of a domain in numbers.

    Attributes:
        keys, epochs: how many in each state.
        least_margin: how many holders may be lost before the first key is gone; negative once
            one is gone, None without keys.
        pending: open proposals.
        seen: when each holder last synced, Unix seconds; 0 for never.
        old_fragments: fragments of removed holders that are not dead yet, over all keys.
    """

    keys: Counter[str]
    epochs: Counter[str]
    least_margin: int | None
    pending: int
    seen: dict[HolderIndex, int]
    old_fragments: int


class _Margins:
    """Margins of all keys; each epoch is looked up once."""

    def __init__(self, desk: DomainDesk) -> None:
        self._desk = desk
        self._here = {holder.index for holder in desk.roster.holders}
        self._views: dict[EpochId, EpochView] = {}

    def view(self, id_: EpochId) -> EpochView:
        if id_ not in self._views:
            self._views[id_] = rows.epoch_view(self._desk.sealed, id_)
        return self._views[id_]

    def usable(self, key: KeyRecord) -> tuple[HolderIndex, ...]:
        """The present holders that have a fragment of the live epoch."""
        if key.live is None or key.state is KeyState.DESTROYED:
            return ()
        return tuple(i for i in self.view(key.live).acknowledged if i in self._here)

    def margin(self, key: KeyRecord) -> int | None:
        """How many of them may be lost; None for a key that does not live."""
        if key.live is None or key.state is KeyState.DESTROYED:
            return None
        return len(self.usable(key)) - self.view(key.live).threshold


def keys(desk: DomainDesk, request: KeysRequest, peer: VerifyKey) -> KeysReply:
    """The keys of the domain, for members: all that can be read, or every version of one.

    Raises:
        Corrupt: a version of the key that was asked for cannot be read. Left out, it would be
            taken for one that is not there, or an older version for the newest.
    """
    desk.member(peer)
    margins, watch = _Margins(desk), Watch(desk)
    if request.name is not None:
        found = rows.versions_of(desk.sealed, request.name)
        one = tuple(_key_info(desk, key, margins, watch) for key in found)
        return KeysReply(keys=one, unreadable=0)
    shown = []
    for key in rows.all_keys(desk.sealed):
        with desk.apart():
            shown.append(_key_info(desk, key, margins, watch))
    there = sum(1 for _ in desk.plain.scan(rows.KEYS))
    return KeysReply(keys=tuple(shown), unreadable=there - len(shown))


def keys_v1(desk: DomainDesk, request: KeysRequest, peer: VerifyKey) -> KeysReplyV1:
    """The same for those who know what version 1 knew."""
    return KeysReplyV1.of(keys(desk, request, peer))


def _key_info(desk: DomainDesk, record: KeyRecord, margins: _Margins, watch: Watch) -> KeyInfo:
    """A key as members see it: its live epoch, or the one that is coming, or that ever came."""
    at = record.live or record.coming or EpochId(proposal=record.made_by, attempt=1)
    epoch = margins.view(at)
    shown = margins.view(record.coming) if record.coming else epoch
    sealed = None
    with desk.apart():
        sealed = desk.sealed.get(rows.CONTENTS, record.ref.to_bytes()) if record.imported else None
    waiting = tuple(HolderIndex(index) for index in shown.missing if index != AUTHORITY)
    if record.state is KeyState.DESTROYED:
        waiting = missing_erasures(desk, record)
    return KeyInfo(
        ref=record.ref,
        suite=record.suite.value,
        state=record.state.value,
        epoch=record.number,
        threshold=epoch.threshold,
        acks=epoch.acks,
        acknowledged=epoch.acknowledged,
        missing=waiting,
        erased=record.erased,
        options=record.options,
        imported=record.imported,
        stored=len(sealed or b""),
        created=record.created,
        trouble=tuple(str(line) for line in record.trouble),
        usable=len(margins.usable(record)),
        removed=watch.removed_fragments(record),
    )


def holders(desk: DomainDesk, _: Nothing, peer: VerifyKey) -> HoldersReply:
    """For members: when each holder was last seen, what it holds, lacks, and is needed for."""
    desk.member(peer)
    margins, watch = _Margins(desk), Watch(desk)
    have: Counter[int] = Counter()
    missing: Counter[int] = Counter()
    needed: Counter[int] = Counter()
    alive: Counter[int] = Counter({one.index: 0 for one in watch.removed})
    least: list[int] = []
    for key in rows.all_keys(desk.sealed):
        with desk.apart():
            usable = margins.usable(key)
            have.update(usable)
            newest = key.coming or key.live
            if newest is not None and key.state is not KeyState.DESTROYED:
                view = margins.view(newest)
                missing.update(set(view.holders) - set(view.acknowledged))
            if (margin := margins.margin(key)) is not None:
                least.append(margin)
                needed.update(usable if margin == 0 else ())
            alive.update(one.holder for one in watch.removed_fragments(key) if not one.dead)
    infos = tuple(
        HolderInfo(
            index=holder.index,
            last_seen=_last_seen(desk, holder.index),
            fragments=have[holder.index],
            missing=missing[holder.index],
            needed=needed[holder.index],
        )
        for holder in desk.roster.holders
    )
    return HoldersReply(
        holders=infos,
        least_margin=max(0, min(least)) if least else None,
        lost=sum(margin < 0 for margin in least),
        removed=tuple(
            RemovedHolder(index=HolderIndex(index), alive=count)
            for index, count in sorted(alive.items())
        ),
    )


def _last_seen(desk: DomainDesk, index: HolderIndex) -> int:
    with desk.apart():
        return rows.SEEN.get(desk.sealed, index) or 0
    return 0


def overview(desk: DomainDesk) -> Overview:
    """The domain in numbers; `Locked` while the authority is."""
    margins, watch = _Margins(desk), Watch(desk)
    states: Counter[str] = Counter()
    least: list[int] = []
    old = 0
    for key in rows.all_keys(desk.sealed):
        states[key.state.value] += 1
        with desk.apart():
            margin = margins.margin(key)
            least += [] if margin is None else [margin]
            old += sum(not one.dead for one in watch.removed_fragments(key))
    return Overview(
        keys=states,
        epochs=Counter(view.status.value for _, view in rows.VIEWS.rows(desk.sealed)),
        least_margin=min(least, default=None),
        pending=sum(1 for _ in open_proposals(desk.sealed)),
        seen={holder.index: _last_seen(desk, holder.index) for holder in desk.roster.holders},
        old_fragments=old,
    )


def waiting_for(desk: DomainDesk, me: HolderIndex) -> tuple[str, ...]:
    """Who else must act before the coming epochs are there, in words: one line a sort of wait."""
    owed: dict[bytes, tuple[rows.Due, list[str]]] = {}
    for holder in desk.roster.holders:
        for due in (rows.Due.ACKNOWLEDGE, rows.Due.DEAL):
            for id_ in rows.dues(desk.sealed, holder.index, due) if holder.index != me else ():
                owed.setdefault(id_, (due, []))[1].append(str(holder.name))
    lines: dict[str, list[object]] = {}
    counts: Counter[str] = Counter()
    for id_ in sorted(owed)[:MOST_OWED]:
        due, names = owed[id_]
        view = rows.find_view(desk, id_)
        if view is None or view.status not in (EpochStatus.DEALING, EpochStatus.OPEN):
            continue
        what = f"{some_of(names, 5)} to {'deal' if due is rows.Due.DEAL else 'acknowledge'}"
        lines.setdefault(what, []).extend(view.first)
        counts[what] += view.count
    said = [
        f"{some_of(refs)}: {what}"
        if counts[what] <= 3
        else f"{refs[0]} and {counts[what] - 1} more: {what}"
        for what, refs in lines.items()
    ]
    if len(owed) > MOST_OWED or len(said) > _MOST_LINES:
        said = [*said[:_MOST_LINES], "and more"]
    return tuple(said)
