"""How a holder's fragment leaves its device: wrapped at approval, sent after the complete tally."""

from __future__ import annotations

from tigertally.base.codec import encode
from tigertally.base.errors import Refused
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.custody.client import rows
from tigertally.custody.client.approvers import first_approval
from tigertally.custody.client.dealing import ReceiveKeys
from tigertally.custody.client.report import Report
from tigertally.custody.messages.kinds import parse_release
from tigertally.custody.messages.sync import (
    DELIVER,
    DeliverRequest,
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
from tigertally.quorum.member.client import MemberClient, Synced
from tigertally.quorum.member.conviction import check_not_convicted
from tigertally.quorum.member.memory import SeenProposal, UnknownProposal, check_cast, see
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.proposal import Proposal, parsed_body
from tigertally.quorum.tally import Tally


class Releases:
    """What this device gives to a release: `approve` wraps, `send` follows the complete tally.

    The authority asks again for what has not arrived: `send` then, too.
    """

    def __init__(self, member: MemberClient, receive_keys: ReceiveKeys) -> None:
        self.member = member
        self.party = member.party
        self.receive_keys = receive_keys

    async def approve(self, seen: SeenProposal, synced: Synced) -> ProposalState:
        """Wrap our fragment for this request, keep it, say yes.

        Raises:
            Refused: no fragment of the live epoch is here, or the requester is no member.
        """
        self._check_asker(synced, seen.proposal)
        wrap, new = await self._wrapped(seen, synced)
        verdict = first_approval(
            self.member, seen.state.proposal, synced, wrap=wrap if new else None
        )
        return await self.member.vote(seen.state, verdict)

    async def completed(self, state: ProposalState, synced: Synced, report: Report) -> None:
        """Send at once what our own yes has completed."""
        try:
            await self.send(synced, state, report)
        except Refused as error:  # a newer epoch was certified meanwhile: the next sync sends
            report.blame(error)

    def _check_asker(self, synced: Synced, proposal: Proposal) -> None:
        """Is the asker a member, and one of those for whom the key was made?"""
        name = requester_name(synced.roster, proposal)
        with self.party.store.reading() as reader:
            ref = parsed_body(parse_release, proposal).ref
            terms = rows.TERMS.get(reader, ref)
        if terms is not None:
            terms.options.check_known(ref)
            check_may_ask(ref, terms.options.requesters, name)

    async def _wrapped(self, seen: SeenProposal, synced: Synced) -> tuple[KeptWrap, bool]:
        """Our fragment of the live epoch, wrapped for this request only; is it new (not kept)?"""
        release = parsed_body(parse_release, seen.proposal)
        with self.party.store.reading() as reader:
            name = rows.live_name(reader, release.ref)
            known = None if name is None else rows.wrap_of(reader, seen.id, name)
            held = None if known or name is None else rows.EPOCHS.get(reader, name)
        if known is not None:
            return known, False
        if held is None:
            raise Refused(f"this device holds no active fragment of {release.ref}: sync first")
        statement = held.parsed()
        fresh = None
        if statement.suite.authority_deals:
            _, fresh = await self.receive_keys.fetch(synced, seen.id)
        fragment = wrap_fragment(
            held,
            release,
            seen.id,
            target=target_of(statement.suite, release, seen.id, synced.roster, fresh),
            me=self.member.me(synced.roster).index,
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

    async def send(self, synced: Synced, state: ProposalState, report: Report) -> None:
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
            approved = rows.APPROVED.has(reader, verified.id)
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
        await self.party.call(DELIVER, encode(request))
        report.sent += 1
