"""How a holder's fragment leaves its device: wrapped at approval, sent after the complete tally."""

from __future__ import annotations

from collections.abc import Mapping

from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client import rows
from tigertally.custody.client.report import Report
from tigertally.custody.messages.kinds import parse_release
from tigertally.custody.messages.sync import (
    DELIVER,
    RECEIVE_KEYS,
    DeliverRequest,
    ReceiveKeysReply,
    ReceiveKeysRequest,
)
from tigertally.custody.policy import check_may_ask
from tigertally.custody.protocol.relayed import shown_by_authority
from tigertally.custody.protocol.release import (
    check_release_tally,
    requester_name,
    target_of,
    wrap_fragment,
)
from tigertally.custody.state.holder import KeptWrap
from tigertally.quorum.approval import Verdict
from tigertally.quorum.member.audit import AuditingClient
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.conviction import check_not_convicted
from tigertally.quorum.member.memory import SeenProposal, UnknownProposal, check_cast, see
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import Proposal, parsed_body
from tigertally.quorum.receive_keys import PublishedKeys, newest_by_holder
from tigertally.quorum.tally import Tally


class SendingClient(AuditingClient):
    """The release part of a holder's device."""

    def _keep(self, table: str, key: bytes, value: bytes) -> None:
        with self.party.store.transaction() as tx:
            tx.put(table, key, value)

    def _drop(self, table: str, key: bytes) -> None:
        with self.party.store.transaction() as tx:
            tx.delete(table, key)

    async def _call(self, path: str, body: bytes) -> bytes:
        """Ask the authority. Its word alone names no culprit: what it claims stays its claim."""
        try:
            return await self.party.channel.call(path, body)
        except PeerFault as error:
            raise PeerFault(f"the authority says: {error}") from error

    async def receive_keys(
        self, synced: Synced, proposal: ProposalId | None = None
    ) -> tuple[Mapping[HolderIndex, PublishedKeys], Envelope | None]:
        """Everybody's receive keys, verified, and the authority's fresh key for a proposal."""
        request = ReceiveKeysRequest(proposal=proposal)
        reply = decode(ReceiveKeysReply, await self._call(RECEIVE_KEYS, encode(request)))
        with shown_by_authority():
            roster = synced.roster
            return newest_by_holder(reply.keys, roster.domain, roster.signer), reply.fresh

    async def approve_release(
        self, seen: SeenProposal, synced: Synced, report: Report
    ) -> ProposalState:
        """Wrap our fragment for this request, keep it, say yes; send it if the tally is complete.

        Raises:
            Refused: no fragment of the live epoch is here, or the requester is no member.
        """
        self._check_asker(synced, seen.proposal)
        wrap, new = await self._wrapped(seen, synced)
        verdict = self._first_approval(seen, synced, wrap if new else None)
        state = await self.vote(seen.state, verdict)
        if state.status is Status.COMPLETE:
            try:
                await self.send_fragment(synced, state, report)
            except Refused as error:  # a newer epoch was certified meanwhile: the next sync sends
                report.blame(error)
        return state

    def _check_asker(self, synced: Synced, proposal: Proposal) -> None:
        """Is the asker a member, and one of those for whom the key was made?"""
        name = requester_name(synced.roster, proposal)
        with self.party.store.reading() as reader:
            ref = parsed_body(parse_release, proposal).ref
            terms = rows.terms_of(reader, ref)
        if terms is not None:
            terms.options.check_known(ref)
            check_may_ask(ref, terms.options.requesters, name)

    def _first_approval(
        self, seen: SeenProposal, synced: Synced, wrap: KeptWrap | None = None
    ) -> Envelope:
        """Our approval, the same bytes each time; kept, together with a new wrap."""
        with self.party.store.reading() as reader:
            row = reader.get(rows.APPROVED, seen.id)
        if row is None:
            row = encode(self.new_verdict(seen.state.proposal, synced, Verdict.APPROVE))
        elif wrap is None:
            return decode(Envelope, row)
        with self.party.store.transaction() as tx:
            if wrap is not None:
                rows.put_wrap(tx, wrap)
            tx.put(rows.APPROVED, seen.id, row)
        return decode(Envelope, row)

    async def _wrapped(self, seen: SeenProposal, synced: Synced) -> tuple[KeptWrap, bool]:
        """Our fragment of the live epoch, wrapped for this request only; is it new (not kept)?"""
        release = parsed_body(parse_release, seen.proposal)
        with self.party.store.reading() as reader:
            name = rows.live_name(reader, release.ref)
            known = None if name is None else rows.wrap_of(reader, seen.id, name)
            held = None if known or name is None else rows.find_held(reader, name)
        if known is not None:
            return known, False
        if held is None:
            raise Refused(f"this device holds no active fragment of {release.ref}: sync first")
        statement = held.parsed()
        fresh = None
        if statement.suite.authority_deals:
            _, fresh = await self.receive_keys(synced, seen.id)
        fragment = wrap_fragment(
            held,
            release,
            seen.id,
            target=target_of(statement.suite, release, seen.id, synced.roster, fresh),
            me=self.me(synced.roster).index,
            key=self.party.key,
        )
        wrap = KeptWrap(
            proposal=seen.id,
            key=release.ref,
            epoch=statement.hash,
            expires=min(seen.proposal.expires, self.party.clock.now() + MAX_PROPOSAL_LIFETIME),
            fragment=fragment,
            sent=False,
        )
        return wrap, True

    async def send_fragment(self, synced: Synced, state: ProposalState, report: Report) -> None:
        """Send the fragment that we wrapped at approval, once the whole tally is verified.

        Raises:
            Refused: no quorum of exactly this proposal, expired, the requester is gone, or we
                never approved it.
        """
        tally = Tally(proposal=state.proposal, approvals=state.approvals)
        with shown_by_authority():
            verified, _ = check_release_tally(tally, synced.chain, now=self.party.clock.now())
        self._check_asker(synced, verified.proposal)
        with self.party.store.reading() as reader:
            check_not_convicted(reader)
            approved = reader.get(rows.APPROVED, verified.id) is not None
        if not approved:
            raise Refused("the authority asks for a fragment that this device never approved")
        seen = see(state, synced.chain, self.party.kinds)
        if isinstance(seen, UnknownProposal):
            raise seen.refusal()
        check_cast(seen, synced.chain)
        wrap, new = await self._wrapped(seen, synced)
        if new:
            with self.party.store.transaction() as tx:
                rows.put_wrap(tx, wrap)
        request = DeliverRequest(fragment=wrap.fragment)
        await self._call(DELIVER, encode(request))
        report.sent += 1
