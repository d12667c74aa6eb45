"""Destroying keys at the authority: refused at once, then one holder after the other erases.

Steps as in `docs/protocols/custody-destroy.md`. Whatever was under way for the key ends in the
transaction of the approval that completed the tally, so every race with it has one outcome.
"""

from __future__ import annotations

from dataclasses import replace

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.crypto.envelope import Envelope, parse_message
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages import kinds
from tigertally.custody.messages.destroy import EraseDue, Erasure
from tigertally.custody.policy import some_of
from tigertally.custody.protocol.destroy import open_erasure
from tigertally.custody.service import rows
from tigertally.custody.service.attempts import end_attempt
from tigertally.custody.service.create import retire
from tigertally.custody.service.jobs import finish_reshare
from tigertally.custody.service.release import left_behind
from tigertally.custody.service.reshare import share_stale_keys
from tigertally.custody.state.authority import EpochId, EpochStatus, KeyRecord, KeyState
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.proposals import Executor
from tigertally.quorum.authority.rows import get_pending, need_pending
from tigertally.quorum.messages import Nothing
from tigertally.quorum.proposal import Proposal, parsed_body
from tigertally.quorum.tally import VerifiedTally


class DestroyKey(Executor):
    """Executes `custody.destroy`."""

    def check(self, desk: DomainDesk, proposal: Proposal, body: kinds.Destroy) -> None:
        """There is something to erase.

        Again, too, while a holder is missing: it may need a tally of the holders of today.
        """
        if not _covered(desk, body):
            raise Refused(f"there is no such key ({words(body)})", advice="see `tally key list`")
        if not _targets(desk, body):
            raise Refused(f"{words(body)} is destroyed already, and every holder has erased it")

    def execute(self, desk: DomainDesk, tally: VerifiedTally, body: kinds.Destroy) -> None:
        """End what was under way for the key; every holder owes its erasure from now on."""
        targets = _targets(desk, body)
        replaced = {record.destroyed_by for record in targets} - {None}
        for record in targets:
            _end_coming(desk, record)
            _destroy(desk, record, tally.id)
        gone = {record.ref for record in targets}
        desk.owe_erasure()
        for record in targets:
            _retire_live(desk, record)
        _void_releases(desk, gone)
        for old in replaced:
            _drop_replaced(desk, body, old)
        for holder in desk.roster.holders:
            rows.owe(desk, holder.index, rows.Due.ERASE, tally.id)
        desk.record(
            "custody.destroyed",
            actor="authority",
            summary=f"{some_of(sorted(gone))}: destroyed, holders erase",
            detail=tally.id,
        )
        share_stale_keys(desk)  # keys that travelled with it start anew
        desk.wake_holders()


class ErasureService:
    """What holders send once they have erased."""

    def erasure(self, desk: DomainDesk, envelope: Envelope, peer: VerifyKey) -> Nothing:
        """(5) A holder has erased: keep what it signed, and write it into the audit log."""
        holder = desk.holder(peer)
        if decode(Erasure, envelope.body).holder != holder.index:
            raise Refused("an erasure is handed in by its holder")
        said = open_erasure(envelope, desk.roster)
        pending = get_pending(desk.sealed, said.proposal)
        proposal = parse_message(Proposal, pending.proposal.body)
        if proposal.kind != kinds.DESTROY:
            raise Refused(f"{proposal.kind} destroys nothing")
        if not rows.has_due(desk.sealed, holder.index, rows.Due.ERASE, said.proposal):
            return Nothing()  # its answer was lost, or a newer tally is there
        rows.drop_due(desk.sealed, holder.index, rows.Due.ERASE, said.proposal)
        rows.ERASURES.put(desk.sealed, (said.proposal, holder.index), envelope)
        body = parsed_body(kinds.parse_destroy, proposal)
        # The proof is a row of its own. A version that cannot be read does not say by whom it is
        # erased, so it is never called erased too early; right again, it is destroyed once more.
        for record in list(rows.all_keys(desk.sealed, body.key)):
            if record.destroyed_by == said.proposal:
                erased = tuple(sorted({*record.erased, holder.index}))
                rows.put_key(desk.sealed, replace(record, erased=erased))
        desk.record(
            "custody.erased",
            actor=holder.name,
            summary=f"{holder.name} has erased {words(body)}",
            detail=encode(envelope),
        )
        return Nothing()

    def due(self, desk: DomainDesk, me: HolderIndex) -> tuple[EraseDue, ...]:
        """The destructions that this holder has not acknowledged."""
        found = []
        for id_ in rows.dues(desk.sealed, me, rows.Due.ERASE):
            due = rows.DUES, rows.due_key(me, rows.Due.ERASE, id_)
            with desk.apart():
                tally = need_pending(desk.sealed, ProposalId(id_), for_=due).tally()
                found.append(EraseDue(tally=tally))
        return tuple(found)


def words(body: kinds.Destroy) -> str:
    """What is destroyed, in words."""
    which = "all versions" if body.version is None else f"version {body.version}"
    return f"{body.key}, {which}"


def missing_erasures(desk: DomainDesk, record: KeyRecord) -> tuple[HolderIndex, ...]:
    """Who is still a holder and has not erased this destroyed key."""
    here = {holder.index for holder in desk.roster.holders}
    return tuple(i for i in record.erasing if i in here and i not in record.erased)


def _covered(desk: DomainDesk, body: kinds.Destroy) -> list[KeyRecord]:
    """The versions that are meant. Raises `Corrupt` if one of them cannot be read."""
    if body.version is None:
        return rows.versions_of(desk.sealed, body.key)
    record = rows.KEYS.get(desk.sealed, kinds.KeyRef(name=body.key, version=body.version))
    return [] if record is None else [record]


def _targets(desk: DomainDesk, body: kinds.Destroy) -> list[KeyRecord]:
    """The versions that are not destroyed, or that somebody has yet to erase."""
    return [
        record
        for record in _covered(desk, body)
        if record.state is not KeyState.DESTROYED or missing_erasures(desk, record)
    ]


def _end_coming(desk: DomainDesk, record: KeyRecord) -> None:
    """An epoch on its way ends; keys that travel with this one start again without it."""
    known = rows.get_key(desk.sealed, record.ref)  # an earlier version may have ended it already
    if known.coming is None:
        return
    with desk.apart(), desk.plain.nested():  # what is damaged there must not save this key
        epoch = rows.get_epoch(desk.sealed, known.coming)
        if epoch.status in (EpochStatus.DEALING, EpochStatus.OPEN):
            end_attempt(desk, epoch, f"{record.ref} was destroyed")
            finish_reshare(desk, rows.epoch_id(epoch).to_bytes())
        for ref in epoch.keys:
            with desk.apart():
                _without(desk, ref, known.coming)


def _without(desk: DomainDesk, ref: kinds.KeyRef, coming: EpochId) -> None:
    """A key no longer waits for this attempt."""
    key = rows.get_key(desk.sealed, ref)
    if key.coming == coming:
        state = KeyState.PENDING if key.live is None else KeyState.ACTIVE
        rows.put_key(desk.sealed, replace(key, coming=None, state=state))


def _destroy(desk: DomainDesk, record: KeyRecord, by: ProposalId) -> None:
    known = rows.get_key(desk.sealed, record.ref)
    holders = tuple(holder.index for holder in desk.roster.holders)
    owing = missing_erasures(desk, known) if known.destroyed_by else holders
    rows.put_key(
        desk.sealed,
        replace(
            known,
            state=KeyState.DESTROYED,
            coming=None,
            destroyed_by=by,
            erasing=tuple(sorted({*known.erased, *owing})),
        ),
    )
    rows.CONTENTS.drop(desk.sealed, record.ref)


def _retire_live(desk: DomainDesk, record: KeyRecord) -> None:
    """Nobody need fetch fragments of an epoch whose keys are all destroyed."""
    if record.live is None:
        return
    with desk.apart():
        epoch = rows.get_epoch(desk.sealed, record.live)
        states = [rows.get_key(desk.sealed, ref).state for ref in epoch.keys]
        if all(state is KeyState.DESTROYED for state in states):
            retire(desk, epoch)


def _void_releases(desk: DomainDesk, gone: set[kinds.KeyRef]) -> None:
    """Complete releases too: what has arrived for them is forgotten, and nobody owes more."""
    for end in list(rows.ENDS.keys(desk.sealed)):
        with desk.apart():
            _void_release(desk, end, gone)


def _void_release(desk: DomainDesk, end: tuple[int, bytes], gone: set[kinds.KeyRef]) -> None:
    id_ = ProposalId(end[1])
    pending = need_pending(desk.sealed, id_, for_=(rows.ENDS, rows.ENDS.place(end)))
    proposal = parse_message(Proposal, pending.proposal.body)
    if parsed_body(kinds.parse_release, proposal).ref not in gone:
        return
    for table, key in left_behind(desk, id_):
        desk.sealed.delete(table, key)
    rows.drop_job(desk.sealed, rows.Job.REBUILD, id_)
    desk.wake([proposal.proposer])


def _drop_replaced(desk: DomainDesk, body: kinds.Destroy, old: ProposalId | None) -> None:
    """A newer tally takes the place of one that a holder could not act on."""
    if old is None:
        return
    with desk.apart():  # a version that cannot be read may still be owed by it: then it stays
        if any(r.destroyed_by == old for r in rows.versions_of(desk.sealed, body.key)):
            return
        for holder in desk.roster.holders:
            rows.drop_due(desk.sealed, holder.index, rows.Due.ERASE, old)
