"""A holder's verdicts: what goes with a yes to a key, to a release, to a change of the roster."""

from __future__ import annotations

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Unavailable
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client import rows
from tigertally.custody.client.admissible import check_may_make
from tigertally.custody.client.release import SendingClient
from tigertally.custody.client.report import Report
from tigertally.custody.messages.dealing import Dealing, DealingPackage
from tigertally.custody.messages.kinds import (
    CREATE,
    MAKING,
    RELEASE,
    ROTATE,
    Making,
    Rotate,
    parse_making,
)
from tigertally.custody.protocol.dealing import make_dealing
from tigertally.custody.protocol.receiver import occasion_of_making
from tigertally.quorum.approval import Verdict
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.memory import Seen, SeenProposal, UnknownProposal, see
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import open_proposal, proposal_id
from tigertally.quorum.tally import THIS_DEVICE, check_electorate, check_open

DEAL_TRIES = 4  # receive keys may be replaced while we deal


class VotingClient(SendingClient):
    """What a holder's device does when its person has decided."""

    async def approve(self, seen: Seen, synced: Synced) -> tuple[ProposalState, Report]:
        """Say yes to exactly this proposal, with what it needs from this device.

        The person has been authenticated (the profile is open) and has seen `seen.words`.

        Raises:
            Refused: we have no vote, hold no fragment, or voted for another change of the roster;
                it has expired, is dated in the future, or cannot be carried out.
            NewerVersion: this program does not understand it.
        """
        if isinstance(seen, UnknownProposal):
            raise seen.refusal()
        check_open(seen.proposal, now=self.party.clock.now(), clock=THIS_DEVICE)
        report = Report()
        kind = seen.proposal.kind
        if kind in MAKING:
            state = await self._approve_making(seen, synced)
        elif kind == RELEASE:
            state = await self.approve_release(seen, synced, report)
        else:
            state = await self.vote(seen.state, self._first_approval(seen, synced))
        return state, report

    async def reject(self, seen: Seen, synced: Synced, reason: str) -> ProposalState:
        """Say no, with a reason that others read. One may say no to what one cannot understand."""
        verdict = self.new_verdict(seen.state.proposal, synced, Verdict.REJECT, reason=reason)
        state = await self.vote(seen.state, verdict)
        self.give_vote_back(see(state, synced.chain, self.party.kinds), synced.roster)
        return state

    async def create_key(
        self, body: Making, synced: Synced, *, proposal: Envelope | None = None
    ) -> ProposalState:
        """Propose a key (as `proposal`, if it is made); our approval and dealing go with it."""
        if proposal is None:
            kind = ROTATE if isinstance(body, Rotate) else CREATE
            proposal = self.new_proposal(kind, body.to_body(), synced.roster)
        for _ in range(DEAL_TRIES):
            attachment = await self._first_dealing(proposal, body, synced)
            verdict = self.new_verdict(proposal, synced, Verdict.APPROVE, attachment=attachment)
            try:
                return await self.propose(proposal, approval=verdict, attachment=attachment)
            except Unavailable as error:
                await self._dealt_in_vain(proposal, attachment, synced, error)
        raise Unavailable("receive keys change faster than we can deal: try again")

    async def _approve_making(self, seen: SeenProposal, synced: Synced) -> ProposalState:
        proposal = seen.state.proposal
        with self.party.store.reading() as reader:
            row = reader.get(rows.APPROVED, seen.id)
            sent = row is not None and not rows.has_dealt(reader, seen.id)
        if row is not None and sent:  # our dealing is in the epoch that opened: nothing to deal
            return await self.vote(seen.state, decode(Envelope, row))
        if seen.state.status is Status.COMPLETE:  # others were enough, and have dealt
            return seen.state
        body = parse_making(seen.proposal)
        for _ in range(DEAL_TRIES):
            attachment = await self._first_dealing(proposal, body, synced)
            verdict = self._first_verdict(proposal, synced, attachment)
            try:
                return await self.vote(seen.state, verdict, attachment=attachment)
            except Unavailable as error:
                await self._dealt_in_vain(proposal, attachment, synced, error)
        raise Unavailable("receive keys change faster than we can deal: try again")

    async def _first_dealing(self, proposal: Envelope, body: Making, synced: Synced) -> bytes:
        """The dealing that travels with our approval; kept, so that it is the same next time."""
        with self.party.store.reading() as reader:
            check_may_make(reader, body, synced.roster)
        if body.suite.authority_deals:
            return b""
        key = rows.attempt_key(proposal_id(proposal), 1)
        with self.party.store.reading() as reader:
            row = reader.get(rows.DEALT, key)
        if row is not None:
            return row
        roster = synced.roster
        check_electorate(roster, open_proposal(proposal))
        published, _ = await self.receive_keys(synced)
        package = make_dealing(
            occasion_of_making(proposal_id(proposal), body, roster, 1),
            dealer=self.me(roster).index,
            receive_keys=published,
            key=self.party.key,
            randomness=self.party.randomness,
        )
        ends = self.party.clock.now() + MAX_PROPOSAL_LIFETIME
        with self.party.store.transaction() as tx:
            ends = min(open_proposal(proposal).expires, ends)
            rows.put_dealt(tx, key, encode(package), ends)
        return encode(package)

    def _first_verdict(self, proposal: Envelope, synced: Synced, attachment: bytes) -> Envelope:
        """Our approval; the same bytes for the same dealing."""
        id_ = proposal_id(proposal)
        with self.party.store.reading() as reader:
            row = reader.get(rows.APPROVED, id_)
        if row is not None:
            return decode(Envelope, row)
        verdict = self.new_verdict(proposal, synced, Verdict.APPROVE, attachment=attachment)
        self._keep(rows.APPROVED, id_, encode(verdict))
        return verdict

    async def _dealt_in_vain(
        self, proposal: Envelope, package: bytes, synced: Synced, error: Unavailable
    ) -> None:
        """Was our dealing refused because of replaced keys? Then deal anew; else give up."""
        await self.check_in_vain(package, synced, error)
        with self.party.store.transaction() as tx:  # together: an approval signs its dealing
            tx.delete(rows.DEALT, rows.attempt_key(proposal_id(proposal), 1))
            tx.delete(rows.APPROVED, proposal_id(proposal))

    async def check_in_vain(self, package: bytes, synced: Synced, error: Unavailable) -> None:
        """Was a dealing refused because a receiver has replaced its keys? Raises `error` if not.

        The keys say so, whatever the error says: an authority of any version replaces no dealing
        whose keys are still the newest.
        """
        if not package:  # the authority deals
            raise error
        try:
            published, _ = await self.receive_keys(synced)
        except Unavailable:
            raise error from None
        slots = decode(Dealing, decode(DealingPackage, package).dealing.body).slots
        newest = {index: keys.bundle for index, keys in published.items()}
        if all(newest.get(slot.receiver) == slot.bundle for slot in slots):
            raise error
