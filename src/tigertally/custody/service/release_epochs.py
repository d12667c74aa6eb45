"""Releases that span a reshare: which epoch is collected, and who must send again.

Fragments of two epochs do not go together. What arrived in full before a newer epoch was certified
still serves; otherwise the approvers send their fragment of the newer one, until the request
expires (docs/protocols/custody-reshare.md).
"""

from __future__ import annotations

from collections.abc import Iterable

from tigertally.base.codec import decode
from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.kinds import KeyRef, parse_release
from tigertally.custody.messages.release import Rebuilt, WrappedFragment
from tigertally.custody.protocol.relayed import check_approvers
from tigertally.custody.service import rows
from tigertally.custody.state.authority import EpochRecord, KeyRecord, not_usable
from tigertally.quorum.approval import Approval
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.rows import need_pending
from tigertally.quorum.pending import Pending, Status
from tigertally.quorum.proposal import open_proposal, parsed_body
from tigertally.storage.damage import readable


def present_fragments(desk: DomainDesk, proposal: ProposalId, epoch: Hash) -> list[WrappedFragment]:
    """Return the fragments of one epoch that have arrived from holders who are still here."""
    here = {holder.index for holder in desk.roster.holders}
    found = rows.FRAGMENTS.rows(desk.sealed, prefix=proposal + epoch)
    return [fragment for place, fragment in found if place[-1] in here]


def enough_fragments(desk: DomainDesk, proposal: ProposalId, epoch: EpochRecord) -> bool:
    """Say whether as many have arrived as rebuild the key. Rows are opened, but not parsed."""
    here = {holder.index for holder in desk.roster.holders}
    prefix = proposal + epoch.parsed_statement().hash
    found = readable(desk.sealed, rows.FRAGMENTS, lambda place, _: place[-1], prefix=prefix)
    return sum(index in here for _, index in found) >= epoch.threshold


def has_fragment(desk: DomainDesk, place: bytes) -> bool:
    """Say whether this fragment has arrived.

    One that cannot be read has not: its holder may send it again.
    """
    with desk.apart():
        return rows.FRAGMENTS.has(desk.sealed, place)
    return False


def epoch_to_collect(desk: DomainDesk, key: KeyRecord, proposal: ProposalId) -> EpochRecord:
    """Return the epoch whose fragments the requester gets.

    That is the newest whose fragments are there in full, or, while there is none, the live one.

    Raises:
        Refused: the key has no live epoch.
    """
    if key.live is None:
        raise not_usable(key.ref, key.state.value)
    live = rows.get_epoch(desk.sealed, key.live)
    rebuilt = rows.REBUILT.get(desk.sealed, proposal)
    if rebuilt is not None:  # its fragments are forgotten: the epoch is the one it was made from
        opened = decode(Rebuilt, rebuilt.body)
        return rows.find_epoch(desk.sealed, opened.epoch) or live
    names = {Hash(place[32:64]) for place, _ in desk.plain.scan(rows.FRAGMENTS, prefix=proposal)}
    records = [rows.find_epoch(desk.sealed, name) for name in names]
    full = [
        (record.roster_version, record.attempt, record)
        for record in records
        if record is not None and enough_fragments(desk, proposal, record)
    ]
    return max(full, key=lambda one: one[:2], default=(0, 0, live))[2]


def send_again(desk: DomainDesk, keys: Iterable[KeyRef]) -> None:
    """Ask for fragments of the newly certified epoch of these keys, for every open release."""
    wanted = set(keys)
    for end in list(rows.ENDS.keys(desk.sealed)):
        with desk.apart():
            _send_again(desk, end, wanted)


def _send_again(desk: DomainDesk, end: tuple[int, bytes], wanted: set[KeyRef]) -> None:
    named_by = rows.ENDS, rows.ENDS.place(end)
    pending = need_pending(desk.sealed, ProposalId(end[1]), for_=named_by)
    if pending.status is not Status.COMPLETE:
        return
    release = parsed_body(parse_release, open_proposal(pending.proposal))
    if release.ref not in wanted:
        return
    key = rows.get_key(desk.sealed, release.ref)
    # If an older epoch is there in full, that one is collected: nobody need send again.
    if epoch_to_collect(desk, key, pending.id).parsed_statement().hash == key.live_hash:
        owe_fragments(desk, pending, key)


def owe_fragments(desk: DomainDesk, pending: Pending, key: KeyRecord) -> None:
    """Note that approvers owe their fragments of the live epoch.

    Each who is still here, unless its fragment is there or owed already.
    """
    if key.live_hash is None or rows.REBUILT.has(desk.sealed, pending.id):
        return
    here = {holder.index for holder in desk.roster.holders}
    for index in (*approvers(pending.approvals), *approvers(pending.late)):
        place = pending.id + key.live_hash + bytes([index])
        if (
            index not in here
            or has_fragment(desk, place)
            or rows.has_due(desk.sealed, index, rows.Due.FRAGMENT, pending.id)
        ):
            continue
        rows.owe(desk, index, rows.Due.FRAGMENT, pending.id)


def approvers(envelopes: Iterable[Envelope]) -> list[HolderIndex]:
    """Return who gave these verdicts; they were verified when they were counted."""
    return [decode(Approval, envelope.body).holder for envelope in envelopes]


def may_send(desk: DomainDesk, pending: Pending, me: HolderIndex) -> bool | None:
    """Say whether this holder may send its fragment now.

    Returns:
        False if only later, once it holds the live epoch; None if never.
    """
    proposal = open_proposal(pending.proposal)
    if pending.status is not Status.COMPLETE or desk.now >= proposal.expires:
        return None
    try:
        put_to = desk.known_chain.for_proposal(proposal)
        check_approvers(put_to, approvers(pending.approvals), desk.roster)
    except Refused:
        return None  # a removed holder's approval has died, and the request with it
    key = rows.KEYS.get(desk.sealed, parsed_body(parse_release, proposal).ref)
    if key is None or key.live is None or not key.usable:
        return None
    return me in rows.get_epoch(desk.sealed, key.live).acknowledged
