"""Releases at the authority: it passes on fragments, and tells the requester how far it is.

It cannot read them; where the authority deals, its one-shot child rebuilds the key from them.
"""

from __future__ import annotations

from dataclasses import replace

from tigertally.base.codec import decode
from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, HolderIndex, ProposalId, Text
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.kinds import Release, parse_release
from tigertally.custody.messages.release import (
    CollectReply,
    CollectRequest,
    FragmentDelivery,
    Rebuilt,
)
from tigertally.custody.messages.sync import DeliverRequest
from tigertally.custody.policy import check_may_ask
from tigertally.custody.protocol import release as protocol
from tigertally.custody.service import release_epochs, rows
from tigertally.custody.service.create import proposer_of
from tigertally.custody.state.authority import KeyRecord, KeyState
from tigertally.quorum.approval import Approval
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.proposals import Executor, state_of
from tigertally.quorum.authority.rows import get_pending
from tigertally.quorum.messages import Nothing
from tigertally.quorum.pending import Pending, Status
from tigertally.quorum.proposal import Proposal, open_proposal, parsed_body
from tigertally.quorum.tally import THE_AUTHORITY, VerifiedTally

_TIDIED_AT_ONCE = 500  # releases


class ReleaseKey(Executor):
    """Executes `custody.release`: from the complete tally on, its approvers owe their fragments."""

    def check(self, desk: DomainDesk, proposal: Proposal, body: Release) -> None:
        """Check that the key can be released, and that this requester may ask for it."""
        key = rows.get_key(desk.sealed, body.ref)
        who = protocol.requester_name(desk.roster, proposal)
        check_may_ask(body.ref, key.options.requesters, who)
        key.check_usable()
        # Before the secret is stored only its importer has a use for the key: it seals with it.
        importing = key.imported and not rows.CONTENTS.has(desk.sealed, body.ref)
        if importing and proposer_of(desk, key) != proposal.proposer:
            raise Refused(f"nothing has been imported as {body.ref} yet")

    def admitted(self, desk: DomainDesk, pending: Pending, body: Release) -> None:
        """Note when the release ends; where the authority rebuilds, draw its key for this one."""
        rows.ENDS.put(desk.sealed, (open_proposal(pending.proposal).expires, pending.id))
        key = rows.get_key(desk.sealed, body.ref)
        if key.suite.authority_deals:
            private = PrivateKey.generate(desk.randomness)
            desk.sealed.put(rows.FRESH, pending.id, private.seed)

    def execute(self, desk: DomainDesk, tally: VerifiedTally, body: Release) -> None:
        """Note that every approver owes its fragment."""
        for index in tally.approved_by:
            rows.owe(desk, index, rows.Due.FRAGMENT, tally.id)

    def late(self, desk: DomainDesk, pending: Pending, approval: Approval) -> None:
        """Ask a late approver too for its fragment: another one may be wrong, or never come."""
        release = parsed_body(parse_release, open_proposal(pending.proposal))
        if not rows.get_key(desk.sealed, release.ref).usable:
            return  # destroyed since the tally
        rows.owe(desk, approval.holder, rows.Due.FRAGMENT, pending.id)


class ReleaseService:
    """Answers what holders and requesters send about a release.

    For one release in this order: `fresh_key` where the authority rebuilds; `deliver` by each
    approver, until the fragments are enough; `rebuilt` where the one-shot child has rebuilt the
    key; `collect` by the requester, as often as it likes; `tidy` once it has expired.
    """

    def fresh_key(self, desk: DomainDesk, proposal: ProposalId) -> Envelope | None:
        """Return the authority's fresh key for a proposal, signed; None if it does not rebuild."""
        row = rows.FRESH.get(desk.sealed, proposal)
        if row is None:
            return None
        public = PrivateKey(Secret(row)).public
        return protocol.sign_authority_key(desk.key, desk.roster.domain, proposal, public)

    def deliver(self, desk: DomainDesk, request: DeliverRequest, peer: VerifyKey) -> Nothing:
        """Keep a holder's fragment for the requester, and see whether there are enough now."""
        fragment = request.fragment
        holder = desk.holder(peer)
        if decode(FragmentDelivery, fragment.delivery.body).holder != holder.index:
            raise Refused("a fragment is handed in by its holder")
        delivery = protocol.open_delivery(fragment, desk.roster)
        if delivery.domain != desk.roster.domain:
            raise Refused("a fragment of another domain")
        pending = get_pending(desk.sealed, delivery.proposal)
        if pending.status is not Status.COMPLETE:
            raise Refused(f"the release is {pending.status.value}")
        tally, release = protocol.check_release_tally(
            pending.tally(), desk.known_chain, now=desk.now, clock=THE_AUTHORITY
        )
        key = rows.get_key(desk.sealed, release.ref)
        key.check_usable()
        if delivery.key != release.ref or key.live_hash != delivery.epoch:
            raise Refused(f"the fragment is not one of the live epoch of {release.ref}")
        rows.drop_due(desk.sealed, holder.index, rows.Due.FRAGMENT, delivery.proposal)
        if rows.REBUILT.has(desk.sealed, delivery.proposal):
            return Nothing()  # too late to be needed: do not keep it
        place = delivery.proposal + delivery.epoch + bytes([holder.index])
        if not release_epochs.has_fragment(desk, place):
            rows.FRAGMENTS.put(desk.sealed, place, fragment)
            desk.record(
                "custody.delivered",
                actor=holder.name,
                summary=f"{holder.name} sent its fragment of {release.ref}",
                detail=delivery.proposal,
            )
        self._enough(desk, key, tally, release)
        return Nothing()

    def _enough(
        self, desk: DomainDesk, key: KeyRecord, tally: VerifiedTally, body: Release
    ) -> None:
        """Wake the requester, or give the child its work, once there are m fragments."""
        epoch = release_epochs.epoch_to_collect(desk, key, tally.id)
        if not release_epochs.enough_fragments(desk, tally.id, epoch):
            return
        if key.suite.authority_deals:
            if not rows.REBUILT.has(desk.sealed, tally.id):
                rows.put_job(desk.sealed, rows.Job.REBUILD, tally.id)
            return
        desk.wake([tally.proposal.proposer])

    def rebuilt(
        self,
        desk: DomainDesk,
        proposal: ProposalId,
        epoch: Hash,
        wrapped: bytes | None,
        faulty: tuple[HolderIndex, ...],
    ) -> None:
        """Take what the one-shot child has rebuilt, and name whose fragments it found wrong.

        Args:
            epoch: from whose fragments.
            wrapped: the key, encrypted to the requester; None if the fragments did not make it.
        """
        rows.drop_job(desk.sealed, rows.Job.REBUILD, proposal)
        pending = get_pending(desk.sealed, proposal)
        opened = open_proposal(pending.proposal)
        release = parsed_body(parse_release, opened)
        for index in faulty:
            if rows.FAULTY.has(desk.sealed, (proposal, index)):
                continue  # named before: the child has tried with the same fragment again
            rows.FAULTY.put(desk.sealed, (proposal, index))
            (name,) = protocol.names_of(desk.roster, [index])
            desk.record(
                "custody.convicted",
                actor=name,
                summary=f"{name} sent a wrong fragment of {release.ref}",
                detail=proposal,
            )
        key = rows.get_key(desk.sealed, release.ref)
        if wrapped is not None and key.usable:  # it may have been destroyed while the child worked
            message = Rebuilt(
                domain=desk.roster.domain,
                proposal=proposal,
                key=release.ref,
                epoch=epoch,
                wrapped=wrapped,
            )
            rows.REBUILT.put(desk.sealed, proposal, protocol.sign_rebuilt(desk.key, message))
            self._forget_fragments(desk, proposal)
            desk.record(
                "custody.rebuilt",
                actor="authority",
                summary=f"the authority rebuilt {release.ref} for a moment and wrapped it",
                detail=proposal,
            )
        desk.wake([opened.proposer])

    def _forget_fragments(self, desk: DomainDesk, proposal: ProposalId) -> None:
        """Forget what could rebuild the key once more: it is wrapped for the requester."""
        desk.owe_erasure()
        rows.FRESH.drop(desk.sealed, proposal)
        for place in list(rows.FRAGMENTS.keys(desk.sealed, prefix=proposal)):
            rows.FRAGMENTS.drop(desk.sealed, place)

    def collect(self, desk: DomainDesk, request: CollectRequest, peer: VerifyKey) -> CollectReply:
        """Return what has arrived for a requester's own proposal."""
        id_ = request.proposal
        pending = get_pending(desk.sealed, id_).refreshed(desk.roster, now=desk.now)
        proposal = open_proposal(pending.proposal)
        if proposal.proposer != peer:
            raise Refused("only the requester that asked may collect")
        protocol.requester_name(desk.roster, proposal)
        key = rows.get_key(desk.sealed, parsed_body(parse_release, proposal).ref)
        state = state_of(pending)
        # A complete tally stays complete, but of a destroyed key nothing comes any more.
        if key.state is KeyState.DESTROYED and pending.status is Status.COMPLETE:
            state = replace(state, status=Status.VOID, why=Text(f"{key.ref} is destroyed"))
        reply = CollectReply(
            state=state,
            certificate=None,
            fragments=(),
            rebuilt=None,
            faults=self._faulty(desk, id_),
        )
        if state.status is not Status.COMPLETE or key.live is None or key.live_hash is None:
            return reply
        rebuilt = rows.REBUILT.get(desk.sealed, id_)
        epoch = release_epochs.epoch_to_collect(desk, key, id_)
        name = epoch.parsed_statement().hash
        arrived = (
            [] if key.suite.authority_deals else release_epochs.present_fragments(desk, id_, name)
        )
        # One of an older epoch's fragments may turn out to be wrong, and nobody sends that again:
        # so those of the live epoch are asked for too. Also where a fragment cannot be read.
        if name != key.live_hash or desk.damaged:
            release_epochs.owe_fragments(desk, pending, key)
        return CollectReply(
            state=reply.state,
            certificate=epoch.certificate(),
            fragments=tuple(arrived),
            rebuilt=rebuilt,
            faults=reply.faults,
        )

    def _faulty(self, desk: DomainDesk, proposal: ProposalId) -> tuple[HolderIndex, ...]:
        return tuple(index for _, index in rows.FAULTY.keys(desk.sealed, prefix=proposal))

    def tidy(self, desk: DomainDesk) -> int:
        """Forget what expired releases left behind, some at a time. Return how many rows."""
        dead: list[tuple[str, bytes]] = []
        for end in rows.ENDS.until(desk.sealed, desk.now, limit=_TIDIED_AT_ONCE):
            dead += [(rows.ENDS, rows.ENDS.place(end)), *left_behind(desk, end[1])]
        for table, key in dead:
            desk.sealed.delete(table, key)
        if dead:
            desk.owe_erasure()
        return len(dead)


def left_behind(desk: DomainDesk, proposal: bytes) -> list[tuple[str, bytes]]:
    """Return what a release leaves on the disk, by table and key; the rows may not exist."""
    left: list[tuple[str, bytes]] = [(rows.FRESH, proposal), (rows.REBUILT, proposal)]
    arrived = desk.plain.scan(rows.FRAGMENTS, prefix=proposal)
    left += [(rows.FRAGMENTS, key) for key, _ in arrived]
    for index in range(1, desk.roster.next_index):
        due = rows.due_key(HolderIndex(index), rows.Due.FRAGMENT, proposal)
        left.append((rows.DUES, due))
    return left
