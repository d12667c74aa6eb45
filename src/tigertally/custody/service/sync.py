"""A holder's sync at the authority: what it owes and is owed; and the keys that members see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, PeerFault, Refused
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.limits import MAX_MESSAGE_BYTES, MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages import sync as messages
from tigertally.custody.messages.dealing import Certificate, Opening
from tigertally.custody.messages.kinds import KeyRef, suite_options
from tigertally.custody.messages.v1 import CustodySyncReplyV1, CustodySyncRequestV1
from tigertally.custody.policy import some_of
from tigertally.custody.service import rows
from tigertally.custody.service.destroy import ErasureService
from tigertally.custody.service.epochs import EpochService
from tigertally.custody.service.release import ReleaseService
from tigertally.custody.service.release_epochs import may_send
from tigertally.custody.service.watch import waiting_for
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochStatus,
    KeyState,
    not_usable,
)
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.proposals import state_of
from tigertally.quorum.authority.rows import PROPOSALS, get_pending, need_pending
from tigertally.quorum.pending import Status
from tigertally.quorum.receive_keys import ReceiveKeys, age_of, bundle_hash, open_receive_keys
from tigertally.quorum.tally import Tally
from tigertally.storage.damage import marks

_OPENING_BYTES = MAX_MESSAGE_BYTES // 2  # the other half: tallies, certificates, requests to deal
_BUNDLES_KEPT = MAX_PROPOSAL_LIFETIME  # a dealing that used older keys has expired


class SyncService:
    """Answers holders' syncs and members' questions about keys."""

    def __init__(
        self, epochs: EpochService, releases: ReleaseService, erasures: ErasureService
    ) -> None:
        self._epochs = epochs
        self._releases = releases
        self._erasures = erasures

    def sync(
        self, desk: DomainDesk, request: messages.CustodySyncRequest, peer: VerifyKey
    ) -> messages.CustodySyncReply:
        """Take new receive keys; give openings, requests to deal, tallies, certificates."""
        me = desk.holder(peer).index
        seen = None
        with desk.apart():
            seen = rows.SEEN.get(desk.sealed, me)
        if seen != desk.now:  # else nothing to commit
            rows.SEEN.put(desk.sealed, me, desk.now)
        if request.receive_keys is not None:
            self._publish(desk, request.receive_keys, me)
        beyond: set[KeyRef] = set()
        knows = frozenset(request.options)
        openings = tuple(self._openings(desk, me, knows, beyond))
        deals = tuple(self._deals(desk, me, knows, beyond))
        return messages.CustodySyncReply(
            openings=openings,
            deals=deals,
            releases=tuple(self._releases_due(desk, me)),
            erasures=self._erasures.due(desk, me),
            certificates=tuple(self._certificates(desk, request.uncertified)),
            open_bundles=self._open_bundles(desk, me),
            waiting_for=(*waiting_for(desk, me), *_beyond_words(beyond)),
        )

    def _certificates(self, desk: DomainDesk, names: Iterable[Hash]) -> Iterator[Certificate]:
        """The certificates of these epochs that are there by now."""
        for name in names:
            record = None
            with desk.apart():
                record = rows.find_epoch(desk.sealed, name)
            if record is not None and record.status is EpochStatus.CERTIFIED:
                yield record.certificate()

    def sync_v1(
        self, desk: DomainDesk, request: CustodySyncRequestV1, peer: VerifyKey
    ) -> CustodySyncReplyV1:
        """The same for a device that knows what version 1 knew."""
        return CustodySyncReplyV1.of(self.sync(desk, request.today(), peer))

    def _open_bundles(self, desk: DomainDesk, me: HolderIndex) -> tuple[Hash, ...]:
        """The receive keys that deliveries to this holder still use; forgets those done with."""
        open_: set[Hash] = set()
        for bundle, proposal in rows.bundles_in_use(desk.sealed, me):
            needed = True  # also where nothing says so that can be read
            with desk.apart():
                coming = rows.owes_acknowledgement(desk.sealed, me, proposal)
                dealing = coming or self._dealing(desk, proposal)
                needed = dealing or self._is_pending(desk, proposal)
            if needed:
                open_.add(bundle)
            else:
                rows.IN_USE.drop(desk.sealed, ((me, bundle), proposal))
        return tuple(sorted(open_))

    def _is_pending(self, desk: DomainDesk, proposal: ProposalId) -> bool:
        if not PROPOSALS.has(desk.sealed, proposal):
            return False  # of a change that was made between a back-up and its restore
        pending = get_pending(desk.sealed, proposal).refreshed(desk.roster, now=desk.now)
        return pending.status is Status.PENDING

    def _dealing(self, desk: DomainDesk, proposal: ProposalId) -> bool:
        """Is an attempt of this proposal still collecting dealings?"""
        attempts = marks(desk.sealed, rows.EPOCHS, prefix=proposal)
        records = [rows.get_epoch(desk.sealed, EpochId.from_bytes(key)) for key in attempts]
        return any(record.status is EpochStatus.DEALING for record in records)

    def _publish(self, desk: DomainDesk, envelope: Envelope, me: HolderIndex) -> None:
        known = self._published(desk, me)
        if known == envelope:  # verified when they came; most syncs bring the same again
            return
        if decode(ReceiveKeys, envelope.body).holder != me:
            raise Refused("receive keys are handed in by their holder")
        keys = open_receive_keys(envelope, desk.roster.domain, desk.roster.signer)
        if known is not None:
            newest = age_of(known)
            if keys.number == newest.number:
                raise PeerFault(
                    f"two sets of receive keys have the number {keys.number}",
                    culprits=(str(desk.roster.holder(me).name),),
                )
            if keys.number < newest.number:
                raise Refused("newer receive keys of this holder are known already")
        rows.RECEIVE_KEYS.put(desk.sealed, me, envelope)
        rows.BUNDLES.put(desk.sealed, (me, bundle_hash(envelope)), envelope)
        self._prune(desk, me, keys.number)
        _wake_dealers(desk, me)

    def _published(self, desk: DomainDesk, me: HolderIndex) -> Envelope | None:
        """This holder's newest receive keys.

        Those that cannot be read are as good as none: only the holder itself hands in others, and
        its device counts on by itself.
        """
        with desk.apart():
            return rows.RECEIVE_KEYS.get(desk.sealed, me)
        return None

    def _prune(self, desk: DomainDesk, me: HolderIndex, number: int) -> None:
        """Once in a while, forget sets that no open dealing can have used."""
        if number % 64:
            return
        old = [
            key
            for key, bundle in rows.BUNDLES.rows(desk.sealed, prefix=bytes([me]))
            if age_of(bundle).created < desk.now - _BUNDLES_KEPT
        ]
        newest = self._published(desk, me)
        keep = {bundle for bundle, _ in rows.bundles_in_use(desk.sealed, me)}
        keep |= {bundle_hash(newest)} if newest else set()
        for key in old:
            if key[1] not in keep:
                rows.BUNDLES.drop(desk.sealed, key)

    def _owed(
        self,
        desk: DomainDesk,
        me: HolderIndex,
        due: rows.Due,
        knows: frozenset[str],
        beyond: set[KeyRef],
    ) -> Iterator[EpochRecord]:
        """Attempts that a holder owes something to, and can: it knows all options of their keys.

        Those that it cannot take part in are added to `beyond`, and keep no place from others.
        """
        found = 0
        for id_ in rows.every_due(desk.sealed, me, due):
            owed = rows.DUES, rows.due_key(me, due, id_)
            record = None
            with desk.apart():
                record = rows.need_epoch(desk.sealed, id_, for_=owed)
                if not option_names(desk, record) <= knows:
                    beyond.update(record.keys)
                    record = None
            if record is None:
                continue
            yield record
            found += 1
            if found == messages.MOST_OWED:
                return

    def _openings(
        self, desk: DomainDesk, me: HolderIndex, knows: frozenset[str], beyond: set[KeyRef]
    ) -> Iterator[Opening]:
        """As many as fit into an answer; the holder asks again until none is left."""
        size = 0
        for record in self._owed(desk, me, rows.Due.ACKNOWLEDGE, knows, beyond):
            opening = None
            with desk.apart():
                opening = self._opening(desk, record, me)
            if opening is None:
                continue
            this = len(encode(opening))
            size += this
            if size > _OPENING_BYTES and size > this:
                return
            yield opening

    def _opening(self, desk: DomainDesk, record: EpochRecord, me: HolderIndex) -> Opening:
        id_ = rows.epoch_id(record)
        pieces = [
            rows.PIECES.get(desk.sealed, rows.piece_key(id_, dealer, me)) or b""
            for dealer in record.dealers
        ]
        return Opening(
            tally=_tally(record),
            attempt=record.attempt,
            roster=record.roster,
            base=record.base,
            dealings=tuple(dealing for dealing in record.dealings if dealing is not None),
            pieces=tuple(pieces),
            convictions=record.convictions,
        )

    def _deals(
        self, desk: DomainDesk, me: HolderIndex, knows: frozenset[str], beyond: set[KeyRef]
    ) -> Iterator[messages.DealRequest]:
        for record in self._owed(desk, me, rows.Due.DEAL, knows, beyond):
            yield messages.DealRequest(
                tally=_tally(record),
                attempt=record.attempt,
                roster=record.roster,
                base=record.base,
                convictions=record.convictions,
            )

    def _releases_due(self, desk: DomainDesk, me: HolderIndex) -> Iterator[messages.ReleaseDue]:
        for id_ in rows.dues(desk.sealed, me, rows.Due.FRAGMENT):
            due = rows.DUES, rows.due_key(me, rows.Due.FRAGMENT, id_)
            may: bool | None = False
            with desk.apart():
                pending = need_pending(desk.sealed, ProposalId(id_), for_=due)
                may = may_send(desk, pending, me)
            if may:
                yield messages.ReleaseDue(state=state_of(pending))
            elif may is None:
                rows.drop_due(desk.sealed, me, rows.Due.FRAGMENT, id_)

    def receive_keys(
        self, desk: DomainDesk, request: messages.ReceiveKeysRequest, peer: VerifyKey
    ) -> messages.ReceiveKeysReply:
        """Everybody's newest receive keys (for dealers), and the fresh key for a proposal."""
        desk.holder(peer)
        fresh = None
        if request.proposal is not None:
            fresh = self._releases.fresh_key(desk, request.proposal)
        listed = {holder.index for holder in desk.roster.holders}
        keys = tuple(
            envelope
            for envelope in rows.receive_keys(desk.sealed)
            if decode(ReceiveKeys, envelope.body).holder in listed
        )
        return messages.ReceiveKeysReply(keys=keys, fresh=fresh)

    def epoch(
        self, desk: DomainDesk, request: messages.EpochRequest, peer: VerifyKey
    ) -> Certificate:
        """The live epoch of a key, with its certificate, for members."""
        desk.member(peer)
        key = rows.get_key(desk.sealed, request.key)
        if key.live is None or key.state is KeyState.DESTROYED:
            raise not_usable(key.ref, key.state.value)
        return rows.get_epoch(desk.sealed, key.live).certificate()


def option_names(desk: DomainDesk, record: EpochRecord) -> frozenset[str]:
    """The options that the keys of an attempt have; a device that lacks one takes no part.

    A suite beyond those of version 1 is one more.
    """
    suite = suite_options(record.suite.value)
    if record.base:
        return suite.union(*(one.options.names for one in record.base))
    keys = (rows.KEYS.get(desk.sealed, ref) for ref in record.keys)
    return suite.union(*(key.options.names for key in keys if key is not None))


def _beyond_words(keys: set[KeyRef]) -> tuple[str, ...]:
    """One line for the person, who can do something about it."""
    which = some_of(sorted(keys))
    return (f"{which}: a newer version of the program on this device",) if keys else ()


def _wake_dealers(desk: DomainDesk, receiver: HolderIndex) -> None:
    """Whoever has still to deal to this holder may have waited for nothing but its receive keys.

    The one-shot child's jobs look again after every request by themselves.
    """
    for holder in desk.roster.holders:
        owed = rows.dues(desk.sealed, holder.index, rows.Due.DEAL)
        views = (rows.find_view(desk, id_) for id_ in owed)
        if any(view is not None and receiver in view.holders for view in views):
            desk.wake([holder.signing_key])


def _tally(record: EpochRecord) -> Tally:
    if record.tally is None:  # nobody is ever owed anything of an epoch learned from holders
        raise Corrupt("an epoch that holders reported is to be delivered")
    return record.tally
