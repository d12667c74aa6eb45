"""Making keys at the authority: it collects dealings, opens epochs, counts acknowledgements.

It never sees a piece in the clear (suite `pedersen-ed25519`). Steps as in
`docs/protocols/custody-create.md`.
"""

from __future__ import annotations

from dataclasses import replace

from tigertally.base.codec import decode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused, Unavailable
from tigertally.base.ids import HolderIndex
from tigertally.crypto.envelope import parse_message
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.dealing import AUTHORITY, Dealing, DealingPackage
from tigertally.custody.messages.kinds import Create, Making, Rotate
from tigertally.custody.messages.v1 import KEYS_REPLACED_V1
from tigertally.custody.policy import check_acks, check_requesters, some_of
from tigertally.custody.protocol.dealing import check_package
from tigertally.custody.protocol.epochs import with_dealing
from tigertally.custody.protocol.receiver import expected_dealers, occasion_of_making
from tigertally.custody.service import rows
from tigertally.custody.state.authority import EpochRecord, EpochStatus, KeyRecord, KeyState
from tigertally.quorum.approval import Approval
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.proposals import Executor, wake_proposers
from tigertally.quorum.authority.rows import ATTACHMENTS, get_pending
from tigertally.quorum.pending import Pending
from tigertally.quorum.proposal import Proposal
from tigertally.quorum.receive_keys import bundle_hash
from tigertally.quorum.tally import VerifiedTally


class MakeKey(Executor):
    """Executes `custody.create` and `custody.rotate`."""

    def check(self, desk: DomainDesk, proposal: Proposal, body: Making) -> None:
        """The name or version is free, the numbers are possible, the requesters exist."""
        if isinstance(body, Rotate):
            _check_rotation(desk, body)
        else:
            self._check_creation(desk, body)
        check_acks(body.acks, desk.roster)

    def _check_creation(self, desk: DomainDesk, body: Create) -> None:
        for known in rows.versions_of(desk.sealed, body.key):
            gone = known.state is KeyState.DESTROYED
            why = (
                "the name of a destroyed key is not given again"
                if gone
                else f"`tally key rotate {body.key}` makes a new version of it"
            )
            raise Refused(f"there is a key {body.key} already: {why}")
        check_requesters(body, desk.roster)

    def check_attachment(
        self,
        desk: DomainDesk,
        pending: Pending,
        body: Making,
        approval: Approval,
        attachment: bytes,
    ) -> None:
        """An approval carries its holder's dealing (or nothing, where the authority deals)."""
        if body.suite.authority_deals:
            if attachment:
                raise MalformedMessage("the authority deals this suite: nothing goes with a yes")
            return
        package = decode(DealingPackage, attachment)
        occasion = occasion_of_making(pending.id, body, desk.roster, 1)
        if decode(Dealing, package.dealing.body).dealer != approval.holder:
            raise MalformedMessage("an approval carries its own holder's dealing")
        try:
            dealing = check_package(package, occasion, desk.roster)
        except Refused as error:  # it is not the dealing that convicts: the approval signs both
            name = str(desk.roster.holder(approval.holder).name)
            raise PeerFault(str(error), culprits=(name,), sure=True) from error
        check_bundles(desk, dealing)

    def execute(self, desk: DomainDesk, tally: VerifiedTally, body: Making) -> None:
        """Open the first epoch, dealt by exactly the approvers."""
        roster = desk.roster
        dealers = expected_dealers(tally, body, frozenset())
        record = EpochRecord(
            tally=get_pending(desk.sealed, tally.id).tally(),
            proposal=tally.id,
            attempt=1,
            roster=roster.hash,
            roster_version=roster.version,
            suite=body.suite,
            threshold=roster.threshold,
            acks=body.acks,
            keys=(body.ref,),
            base=(),
            holders=tuple(holder.index for holder in roster.holders),
            needed=len(dealers),
            dealers=dealers,
            dealings=(None,) * len(dealers),
        )
        key = KeyRecord(
            ref=body.ref,
            made_by=tally.id,
            suite=body.suite,
            options=body.options,
            created=desk.now,
            coming=rows.epoch_id(record),
            imported=isinstance(body, Create) and body.imported,
        )
        rows.put_key(desk.sealed, key)
        for index in dealers:
            if index == AUTHORITY:
                rows.put_job(desk.sealed, rows.Job.DEAL, rows.epoch_id(record).to_bytes())
                continue
            attachment = ATTACHMENTS.get(desk.sealed, (tally.id, HolderIndex(index)))
            if attachment is None:
                raise MalformedMessage("an approval came without its dealing")
            record = take_package(desk, record, decode(DealingPackage, attachment))
            ATTACHMENTS.drop(desk.sealed, (tally.id, HolderIndex(index)))
        rows.put_epoch(desk.sealed, record)
        announce(desk, record)
        wake_proposers(desk)


def _check_rotation(desk: DomainDesk, body: Rotate) -> None:
    """The version is the next one, and on the terms of the newest that works."""
    versions = rows.versions_of(desk.sealed, body.key)
    usable = [record for record in versions if record.usable]
    if not versions:
        raise Refused(f"there is no key {body.key} (yet)", advice="see `tally key list`")
    newest = versions[-1]
    if newest.state is KeyState.PENDING:
        raise Refused(f"{newest.ref} is still being made")
    if not usable:
        raise Refused(f"{body.key} is destroyed: make a key under another name")
    if body.version != newest.ref.version + 1:
        raise Refused(f"the newest version of {body.key} is {newest.ref.version}")
    before = usable[-1]
    if before.imported:
        raise Refused(
            f"{body.key} was imported: import the new secret under another name, then destroy it"
        )
    if (before.suite, before.options) != (body.suite, body.options):
        raise Refused(f"a rotation keeps the terms of {before.ref}: make another key for others")


def check_bundles(desk: DomainDesk, dealing: Dealing) -> None:
    """Every slot uses the receive keys that its receiver sent last, and they will be kept.

    Raises:
        Unavailable: a receiver has replaced its keys meanwhile: fetch them and deal anew.
    """
    for slot in dealing.slots:
        newest = rows.RECEIVE_KEYS.get(desk.sealed, slot.receiver)
        if newest is None or bundle_hash(newest) != slot.bundle:
            raise Unavailable(f"holder {slot.receiver} {KEYS_REPLACED_V1}", advice="try again")
        rows.IN_USE.put(desk.sealed, ((slot.receiver, slot.bundle), dealing.proposal))


def take_package(desk: DomainDesk, record: EpochRecord, package: DealingPackage) -> EpochRecord:
    """Keep a checked dealing and its pieces."""
    dealing = decode(Dealing, package.dealing.body)
    id_ = rows.epoch_id(record)
    for slot, piece in zip(dealing.slots, package.pieces, strict=True):
        rows.PIECES.put(desk.sealed, rows.piece_key(id_, dealing.dealer, slot.receiver), piece)
    return with_dealing(record, package.dealing, dealing)


def announce(desk: DomainDesk, record: EpochRecord) -> None:
    """Write down who owes what in this state of the epoch, and wake them."""
    id_ = rows.epoch_id(record).to_bytes()
    name = some_of(record.keys)
    if record.status is EpochStatus.OPEN:
        for index in record.holders:
            rows.owe(desk, index, rows.Due.ACKNOWLEDGE, id_)
            rows.drop_due(desk.sealed, index, rows.Due.DEAL, id_)
        desk.record(
            "custody.opened",
            actor="authority",
            summary=f"{name}: attempt {record.attempt} dealt by {some_of(record.dealers, 20)}",
            detail=record.epoch,
        )
        desk.wake_holders()
        return
    for dealer in record.missing_dealers:
        if dealer != AUTHORITY:
            rows.owe(desk, HolderIndex(dealer), rows.Due.DEAL, id_)
    desk.wake_holders()


def forget_pieces(
    desk: DomainDesk, record: EpochRecord, receiver: HolderIndex | None = None
) -> None:
    """Drop encrypted pieces that nobody needs any more (one receiver's, or all)."""
    receivers = record.holders if receiver is None else (receiver,)
    for dealer in record.dealers:
        for index in receivers:
            key = rows.piece_key(rows.epoch_id(record), dealer, index)
            rows.PIECES.drop(desk.sealed, key)


def retire(desk: DomainDesk, record: EpochRecord) -> None:
    """Nobody need fetch or acknowledge this epoch any more.

    A later one is certified, or its keys are destroyed.
    """
    id_ = rows.epoch_id(record).to_bytes()
    for index in record.holders:
        if rows.has_due(desk.sealed, index, rows.Due.ACKNOWLEDGE, id_):
            rows.drop_due(desk.sealed, index, rows.Due.ACKNOWLEDGE, id_)
            forget_pieces(desk, record, index)


def note_trouble(desk: DomainDesk, record: EpochRecord, text: str) -> None:
    """Record a problem on these keys; `tally key show` prints it."""
    for ref in record.keys:
        with desk.apart():
            key = rows.KEYS.get(desk.sealed, ref)
            if key is not None:
                rows.put_key(desk.sealed, key.with_trouble(text))


def set_coming(desk: DomainDesk, record: EpochRecord) -> None:
    """The attempt that the keys now wait for."""
    for ref in record.keys:
        with desk.apart():
            key = rows.get_key(desk.sealed, ref)
            rows.put_key(desk.sealed, replace(key, coming=rows.epoch_id(record)))


def proposer_of(desk: DomainDesk, key: KeyRecord) -> VerifyKey:
    """Who proposed the key."""
    making = get_pending(desk.sealed, key.made_by).proposal
    return parse_message(Proposal, making.body).proposer
