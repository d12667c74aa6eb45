"""Work that the authority gives to its one-shot child (suite `shamir-gf256`), and takes back."""

from __future__ import annotations

from tigertally.algebra import tags
from tigertally.base.codec import decode
from tigertally.base.errors import Refused
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.custody.messages.dealing import AUTHORITY, DealingPackage
from tigertally.custody.messages.kinds import parse_release
from tigertally.custody.messages.release import Contribution
from tigertally.custody.protocol.dealing import Occasion, dealing_of
from tigertally.custody.protocol.epochs import occasion_of
from tigertally.custody.service import rows
from tigertally.custody.service.child import DealJob, Dealt, RebuildJob, ReshareJob
from tigertally.custody.service.release_epochs import (
    epoch_to_collect,
    owe_fragments,
    present_fragments,
)
from tigertally.custody.state.authority import EpochId, EpochRecord, EpochStatus
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.rows import get_pending
from tigertally.quorum.proposal import open_proposal, parsed_body
from tigertally.quorum.receive_keys import ReceiveKeys, bundle_hash
from tigertally.storage.damage import is_marked


def deal_job(desk: DomainDesk, id_: bytes) -> DealJob | None:
    """A key to draw and split; None if that is not wanted any more.

    Returns None too while a holder has not published receive keys: its next sync wakes us.
    """
    record = rows.get_epoch(desk.sealed, EpochId.from_bytes(id_))
    if record.status is not EpochStatus.DEALING:
        rows.drop_job(desk.sealed, rows.Job.DEAL, id_)
        return None
    keys = _keys_to_deal_to(desk, record)
    if keys is None:
        return None
    roster = desk.known_chain.at(record.roster)
    return DealJob(occasion=occasion_of(record, roster.domain), receive_keys=keys, roster=roster)


def reshare_job(desk: DomainDesk, id_: bytes) -> ReshareJob | None:
    """Keys to rebuild and split anew; None if that is not wanted or not possible yet."""
    record = rows.get_epoch(desk.sealed, EpochId.from_bytes(id_))
    seed = rows.FRESH.get(desk.sealed, record.proposal)
    if record.status is not EpochStatus.DEALING or seed is None:
        rows.drop_job(desk.sealed, rows.Job.RESHARE, id_)
        return None
    keys = _keys_to_deal_to(desk, record)
    if keys is None:
        return None
    statements = []
    for one in record.base:
        live = rows.find_epoch(desk.sealed, one.epoch)
        if live is None:
            raise Refused(f"{one.ref} has no live epoch")
        statements.append(live.statement)
    sent = _contributions(desk, id_)
    if sent is None:
        return None
    return ReshareJob(
        seed=seed,
        contributions=sent,
        base=record.base,
        statements=tuple(statements),
        occasion=occasion_of(record, desk.roster.domain),
        receive_keys=keys,
        roster=desk.known_chain.at(record.roster),
    )


def _contributions(desk: DomainDesk, id_: bytes) -> tuple[Contribution, ...] | None:
    """What donors have sent; None, and they owe it again, where some of it cannot be read."""
    arrived = list(rows.CONTRIBUTIONS.keys(desk.sealed, prefix=id_))
    found = dict(rows.CONTRIBUTIONS.rows(desk.sealed, prefix=id_))
    lost = [place for place in arrived if place not in found]
    for place in lost:
        rows.owe(desk, HolderIndex(place[-1]), rows.Due.DEAL, id_)
    if lost:
        rows.drop_job(desk.sealed, rows.Job.RESHARE, id_)
        return None
    return tuple(found.values())


def _keys_to_deal_to(desk: DomainDesk, record: EpochRecord) -> tuple[Envelope, ...] | None:
    """The receivers' newest receive keys, in use from now on; None while one has published none.

    Holders go on syncing while the child works. Keys that were marked only with its result would
    be replaced and erased by then, and the dealing would be for nobody, again and again.
    """
    keys = {decode(ReceiveKeys, one.body).holder: one for one in rows.receive_keys(desk.sealed)}
    if any(index not in keys for index in record.holders):
        return None
    for index in record.holders:
        use = (index, bundle_hash(keys[index])), record.proposal
        rows.IN_USE.put(desk.sealed, use)
    return tuple(keys[index] for index in record.holders)


def finish_reshare(desk: DomainDesk, id_: bytes) -> None:
    """An attempt is dealt or has ended: forget its fragments, and the key that opened them."""
    rows.drop_job(desk.sealed, rows.Job.RESHARE, id_)
    arrived = list(rows.CONTRIBUTIONS.keys(desk.sealed, prefix=id_))
    for place in arrived:
        rows.CONTRIBUTIONS.drop(desk.sealed, place)
    if arrived:
        desk.owe_erasure()
    # One that cannot be read waits for nothing: the child is never given it.
    proposal = EpochId.from_bytes(id_).proposal
    others = [record for key, record in rows.attempts_of(desk.sealed, proposal) if key != id_]
    if not any(_waits_for_child(record) for record in others):
        if is_marked(desk.sealed, rows.FRESH, proposal):
            desk.owe_erasure()
        rows.FRESH.drop(desk.sealed, proposal)  # no other keys of this change wait for it


def _waits_for_child(record: EpochRecord) -> bool:
    return record.status is EpochStatus.DEALING and record.dealers == (AUTHORITY,)


def signed_package(desk: DomainDesk, occasion: Occasion, dealt: Dealt) -> DealingPackage:
    """Sign what the child has dealt."""
    dealing = dealing_of(occasion, AUTHORITY, dealt.commitments, dealt.slots)
    envelope = sign_message(desk.key, tags.DEALING, dealing)
    return DealingPackage(dealing=envelope, pieces=dealt.pieces)


def rebuild_job(desk: DomainDesk, proposal: ProposalId) -> RebuildJob | None:
    """A key to rebuild from the fragments that have arrived; None if it cannot be any more."""
    pending = get_pending(desk.sealed, proposal)
    release = parsed_body(parse_release, open_proposal(pending.proposal))
    seed = rows.FRESH.get(desk.sealed, proposal)
    key = rows.get_key(desk.sealed, release.ref)
    if seed is None or key.live is None:
        rows.drop_job(desk.sealed, rows.Job.REBUILD, proposal)
        return None
    record = epoch_to_collect(desk, key, proposal)
    name = record.parsed_statement().hash
    if desk.damaged:  # a fragment cannot be read: with those that are left, or with it sent again
        owe_fragments(desk, pending, key)
    return RebuildJob(
        seed=seed,
        fragments=tuple(present_fragments(desk, proposal, name)),
        statement=record.statement,
        key=release.ref,
        proposal=proposal,
        roster=desk.roster,
        requester=release.wrapping_key,
    )
