"""Epochs at the authority: dealings, acknowledgements, complaints, notices of erased keys."""

from __future__ import annotations

from dataclasses import replace

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.base.ids import HolderIndex
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.dealing import (
    Acknowledgement,
    Complaint,
    Conviction,
    Dealing,
    DealingPackage,
    Erased,
)
from tigertally.custody.policy import some_of
from tigertally.custody.protocol.complaints import judge, open_complaint, open_erased
from tigertally.custody.protocol.dealing import check_package, dealer_name
from tigertally.custody.protocol.epochs import NoDealerLeft, occasion_of, with_acknowledgement
from tigertally.custody.protocol.reshare import check_donation
from tigertally.custody.service import create, rows
from tigertally.custody.service.attempts import begin_next, end_attempt
from tigertally.custody.service.jobs import finish_reshare
from tigertally.custody.service.old_fragments import Watch, with_past
from tigertally.custody.service.release_epochs import send_again
from tigertally.custody.service.reshare import bar_donor, more_donors, share_stale_keys
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochStatus,
    KeyRecord,
    KeyState,
)
from tigertally.host.desk import KeepChanges
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.messages import Nothing
from tigertally.quorum.roster import Roster


class EpochService:
    """Answers what holders send about an attempt.

    For one attempt in this order: `deal` by each dealer (or `deal_as_authority`); `acknowledge` by
    each holder that could open its pieces. One that could not calls `complain` or `erased` instead;
    then the next attempt begins. `contributions_faulty` is the same for the authority's own child.
    """

    def deal(self, desk: DomainDesk, package: DealingPackage, peer: VerifyKey) -> Nothing:
        """Take a dealing that was asked for: in an attempt after the first, or in a reshare."""
        holder = desk.holder(peer)
        dealing = decode(Dealing, package.dealing.body)
        if dealing.dealer != holder.index:
            raise Refused("a dealing is handed in by its dealer")
        id_ = EpochId(proposal=dealing.proposal, attempt=dealing.attempt)
        record = rows.get_epoch(desk.sealed, id_)
        # An honest dealer gets here too: others were enough meanwhile, or it sends this very
        # dealing once more because our answer was lost.
        done = record.status is not EpochStatus.DEALING or holder.index in record.barred
        if done or package.dealing in record.dealings:
            return Nothing()
        checked = self._checked(desk, record, package)
        create.check_bundles(desk, checked)
        record = create.take_package(desk, record, package)
        rows.put_epoch(desk.sealed, record)
        rows.drop_due(desk.sealed, holder.index, rows.Due.DEAL, id_.to_bytes())
        create.announce(desk, record)
        return Nothing()

    def _checked(self, desk: DomainDesk, record: EpochRecord, package: DealingPackage) -> Dealing:
        """Return a dealing that is in order, or raise.

        Raises:
            KeepChanges: a donor dealt something else than it holds; it is named and left out.
        """
        roster = self._roster(desk, record)
        try:
            checked = check_package(package, occasion_of(record, roster.domain), roster)
            if record.base:
                check_donation(checked, record.base, roster)
        except PeerFault as fault:
            # Only what its signature proves costs a donor its place. Who deals a new key is fixed
            # by the tally: there the bad dealing is refused, and its dealer may send a good one.
            if not (fault.sure and record.base):
                raise
            desk.record(
                "custody.convicted",
                actor=", ".join(fault.culprits),
                summary=f"attempt {record.attempt}: {fault}"[:400],
                detail=encode(package.dealing),
            )
            create.note_trouble(desk, record, f"attempt {record.attempt}: {fault}")
            bar_donor(desk, record, decode(Dealing, package.dealing.body).dealer)
            raise KeepChanges(fault) from fault
        return checked

    def deal_as_authority(self, desk: DomainDesk, package: DealingPackage) -> None:
        """Take what the one-shot child has dealt (suite `shamir-gf256`)."""
        dealing = decode(Dealing, package.dealing.body)
        id_ = EpochId(proposal=dealing.proposal, attempt=dealing.attempt)
        rows.drop_job(desk.sealed, rows.Job.DEAL, id_.to_bytes())
        record = rows.get_epoch(desk.sealed, id_)
        if record.status is not EpochStatus.DEALING:
            return  # the attempt ended while the child worked
        record = create.take_package(desk, record, package)
        rows.put_epoch(desk.sealed, record)
        create.announce(desk, record)

    def contributions_faulty(
        self, desk: DomainDesk, id_: bytes, faulty: tuple[HolderIndex, ...]
    ) -> None:
        """Name who contributed the wrong fragments that the child found, and ask the others again.

        Suite `shamir-gf256`.
        """
        finish_reshare(desk, id_)
        record = rows.get_epoch(desk.sealed, EpochId.from_bytes(id_))
        names = [dealer_name(desk.roster, index) for index in faulty]
        for name in names:
            desk.record(
                "custody.convicted",
                actor=name,
                summary=f"{name} contributed a wrong fragment",
                detail=id_,
            )
        create.note_trouble(
            desk, record, f"wrong fragments from {some_of(names) or 'nobody named'}"
        )
        if record.status is EpochStatus.DEALING:  # it may have ended while the child worked
            end_attempt(desk, record, "wrong fragments")
            begin_next(desk, record, without=faulty)

    def acknowledge(self, desk: DomainDesk, envelope: Envelope, peer: VerifyKey) -> Nothing:
        """Count a holder that has stored its fragment; with enough of them the keys are active."""
        holder = desk.holder(peer)
        ack = decode(Acknowledgement, envelope.body)
        if ack.holder != holder.index:
            raise Refused("an acknowledgement is handed in by its holder")
        record = rows.find_epoch(desk.sealed, ack.epoch)
        if record is None:
            raise Refused("there is no such epoch")
        before = record.status
        if before is EpochStatus.ABORTED:
            return Nothing()  # it was on its way when somebody complained
        record, ack = with_acknowledgement(record, envelope, self._roster(desk, record))
        rows.put_epoch(desk.sealed, record)
        id_ = rows.epoch_id(record).to_bytes()
        # It owes nothing if it acknowledged before and the answer was lost: then it is not logged
        # once more.
        if rows.has_due(desk.sealed, holder.index, rows.Due.ACKNOWLEDGE, id_):
            rows.drop_due(desk.sealed, holder.index, rows.Due.ACKNOWLEDGE, id_)
            create.forget_pieces(desk, record, holder.index)
            desk.record(
                "custody.acknowledged",
                actor=holder.name,
                summary=f"{holder.name} holds its fragment of {some_of(record.keys)}",
                detail=ack.epoch,
            )
        if before is EpochStatus.OPEN and record.status is EpochStatus.CERTIFIED:
            self._activate(desk, record)
        elif record.status is EpochStatus.CERTIFIED and record.roster != desk.roster.hash:
            # The holders have changed since, and so far too few may have had this epoch to share
            # it anew: one more donor, for a reshare that waits, or for one that could not begin.
            more_donors(desk, record.keys)
            share_stale_keys(desk)
        return Nothing()

    def _activate(self, desk: DomainDesk, record: EpochRecord) -> None:
        """Let the keys of a certified epoch live in it, and retire the epochs that they leave."""
        watch = Watch(desk)
        replaced: set[EpochId] = set()
        for ref in record.keys:
            with desk.apart():
                key = rows.get_key(desk.sealed, ref)
                if key.state is not KeyState.DESTROYED:
                    replaced |= self._live_in(desk, key, record, watch)
        for lower in sorted(replaced, key=EpochId.to_bytes):
            with desk.apart():
                create.retire(desk, rows.get_epoch(desk.sealed, lower))
        send_again(desk, record.keys)
        share_stale_keys(desk)  # the roster may have changed while this epoch was coming
        desk.wake_holders()

    def _live_in(
        self, desk: DomainDesk, key: KeyRecord, record: EpochRecord, watch: Watch
    ) -> set[EpochId]:
        """Let one key live in a certified epoch. Return the epoch that it leaves, if any."""
        left = set() if key.live is None else {key.live}
        if key.live is not None and key.live_hash is not None:
            # Holders may keep fragments of the epoch it leaves until their next sync.
            key = with_past(watch, key, key.live_hash, rows.epoch_view(desk.sealed, key.live))
        live = key.in_epoch(rows.epoch_id(record), record.epoch)
        rows.put_key(desk.sealed, live)
        desk.record(
            "custody.active",
            actor="authority",
            summary=f"{key.ref} is active in epoch {live.number}",
            detail=record.epoch,
        )
        if key.imported:  # its proposer waits to store the secret
            with desk.apart():
                desk.wake([create.proposer_of(desk, key)])
        return left

    def complain(self, desk: DomainDesk, envelope: Envelope, peer: VerifyKey) -> Nothing:
        """Judge what a receiver shows that it was sent, and go on without whoever lied.

        Raises:
            KeepChanges: the complaint itself is false; its complainer is named.
        """
        holder = desk.holder(peer)
        said = decode(Complaint, envelope.body)
        if said.complainer != holder.index:
            raise Refused("a complaint is handed in by its complainer")
        record = rows.get_epoch(desk.sealed, EpochId(proposal=said.proposal, attempt=said.attempt))
        roster = self._roster(desk, record)
        complaint = open_complaint(envelope, roster)
        judged = tagged_hash(tags.COMPLAINT, envelope.body)
        if record.status is EpochStatus.ABORTED or desk.sealed.get(rows.JUDGED, judged) is not None:
            return Nothing()  # that attempt has ended; or this very complaint came before
        rows.JUDGED.put(desk.sealed, judged)
        conviction = self._evidence(desk, record, complaint, envelope)
        culprit = judge(conviction, occasion_of(record, roster.domain), roster)
        name = dealer_name(roster, culprit)
        desk.record(
            "custody.convicted",
            actor=name,
            summary=f"{name} lied in attempt {record.attempt} (complaint by {holder.name})",
            detail=encode(conviction),
        )
        create.note_trouble(
            desk, record, f"attempt {record.attempt}: {name} lied, proven by a complaint"
        )
        if culprit == complaint.complainer:  # the attempt goes on; the piece is still owed
            raise KeepChanges(
                PeerFault("the complaint is false: the piece is good", culprits=(name,), sure=True)
            )
        self._again(desk, record, holder.index, conviction, culprit)
        return Nothing()

    def _evidence(
        self, desk: DomainDesk, record: EpochRecord, complaint: Complaint, envelope: Envelope
    ) -> Conviction:
        dealing = next(
            (
                e
                for e in record.dealings
                if e is not None and decode(Dealing, e.body).dealer == complaint.accused
            ),
            None,
        )
        if dealing is None:
            raise Refused("the accused has dealt nothing in this attempt")
        slot = decode(Dealing, dealing.body).slot_of(complaint.complainer)
        key = rows.piece_key(rows.epoch_id(record), complaint.accused, complaint.complainer)
        piece = rows.PIECES.get(desk.sealed, key)
        bundle = rows.find_bundle(desk.sealed, complaint.complainer, slot.bundle)
        if piece is None or bundle is None:
            raise Refused("the piece has been acknowledged: it cannot be complained about")
        return Conviction(complaint=envelope, dealing=dealing, piece=piece, receive_keys=bundle)

    def _again(
        self,
        desk: DomainDesk,
        record: EpochRecord,
        holder: HolderIndex,
        conviction: Conviction | None = None,
        culprit: int | None = None,
    ) -> None:
        """Abort this attempt and open the next, without the culprit if there is one.

        Three outcomes: this holder waits for a reshare and owes nothing, while the attempt stays
        (it is certified, or can be without a holder that has erased its receive keys before);
        the next attempt begins; or nobody is left to deal, which is told with the keys.
        """
        id_ = rows.epoch_id(record).to_bytes()
        others = set(record.holders) - {holder, *record.renewed}
        needless = holder in record.renewed and len(others) >= record.acks
        # Its keys are in use already, or one device alone keeps ending what the others could
        # finish: then this holder does without a fragment until the next reshare.
        if record.status is EpochStatus.CERTIFIED or (conviction is None and needless):
            rows.drop_due(desk.sealed, holder, rows.Due.ACKNOWLEDGE, id_)
            create.forget_pieces(desk, record, holder)
            create.note_trouble(
                desk, record, f"holder {holder} has no fragment until holders change"
            )
            return
        why = "a dealer lied" if conviction else "a receive key had been replaced"
        end_attempt(desk, record, why)
        if conviction is None:  # nobody lied: remember only who has ended an attempt this way
            record = replace(record, renewed=tuple({*record.renewed, holder}))
        try:
            without = () if culprit is None else (culprit,)
            begin_next(desk, record, without=without, proof=conviction)
        except NoDealerLeft as error:  # all of them have lied: a person proposes it again
            create.note_trouble(desk, record, str(error))

    def erased(self, desk: DomainDesk, envelope: Envelope, peer: VerifyKey) -> Nothing:
        """Deal again for a receiver that has replaced the key that its pieces went to.

        Nobody is to blame.
        """
        holder = desk.holder(peer)
        said = decode(Erased, envelope.body)
        if said.holder != holder.index:
            raise Refused("a notice is handed in by its holder")
        record = rows.get_epoch(desk.sealed, EpochId(proposal=said.proposal, attempt=said.attempt))
        notice = open_erased(envelope, self._roster(desk, record))
        if notice.domain != desk.roster.domain:
            raise MalformedMessage("a notice of another domain")
        id_ = rows.epoch_id(record).to_bytes()
        if not rows.has_due(desk.sealed, holder.index, rows.Due.ACKNOWLEDGE, id_):
            return Nothing()  # it has acknowledged, said so before, or the attempt has ended
        desk.record(
            "custody.dealt-again",
            actor=holder.name,
            summary=f"{holder.name} had replaced its receive key for attempt {record.attempt}",
            detail=record.proposal,
        )
        self._again(desk, record, holder.index)
        return Nothing()

    def _roster(self, desk: DomainDesk, record: EpochRecord) -> Roster:
        """Return the roster under which this epoch was opened."""
        return desk.known_chain.at(record.roster)
