"""A requester's device: it asks for a key, collects fragments, and makes the final key (C5).

Suite `pedersen-ed25519`: the key is assembled here and nowhere else, and only for as long as the
caller uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import decode
from tigertally.base.errors import PeerFault, Refused
from tigertally.base.ids import DomainId, Hash, Name, ProposalId, Text
from tigertally.base.secret import Secret
from tigertally.base.text import PlainText
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.client import rows
from tigertally.custody.client.keys import fetch_keys, newest_usable
from tigertally.custody.client.rows import Request
from tigertally.custody.messages.dealing import Statement
from tigertally.custody.messages.imports import CONTENT, ContentRequest
from tigertally.custody.messages.kinds import RELEASE, Form, KeyRef, Release
from tigertally.custody.messages.release import CollectReply, CollectRequest
from tigertally.custody.messages.sync import COLLECT, KeyInfo
from tigertally.custody.protocol import release
from tigertally.custody.protocol.epochs import verify_certificate
from tigertally.custody.protocol.imports import unseal_import
from tigertally.custody.protocol.relayed import check_approvers
from tigertally.quorum.chain import Chain
from tigertally.quorum.member.client import MemberClient, Party, Synced
from tigertally.quorum.member.memory import see
from tigertally.quorum.member.ongoing import Ongoings
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import Proposal, proposal_id
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import Tally, verify_tally
from tigertally.transport.door import ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A key in the requester's hands. Use it, then `secret.wipe()`.

    `faulty` names holders whose fragment was wrong (the release succeeded all the same). `made_by`
    is the proposal that made the key; None once the key has been shared anew.
    """

    domain: DomainId
    key: KeyRef
    form: Form
    secret: Secret
    approved_by: tuple[str, ...]
    faulty: tuple[str, ...]
    made_by: ProposalId | None


class AskAgain(Refused):
    """Holders or quorum have changed, and the request ended with them: `Requester.repeat`."""


class Requester:
    """A requester's device.

    `ask` for a key; `collect` until it is there (`repeat` where that says `AskAgain`); `forget`.
    """

    def __init__(self, party: Party) -> None:
        self.party = party
        self.member = MemberClient(party)
        self.ongoings = Ongoings(self.member, rows.REQUESTS, secret=True)

    async def keys(self, name: Name | None = None) -> tuple[KeyInfo, ...]:
        """The domain's keys as the authority tells; nothing secret rests on it."""
        return await fetch_keys(self.party, name)

    async def newest_version(self, name: Name) -> int:
        """The newest version of a key that can be released; `Refused` if there is none."""
        return newest_usable(await self.keys(name), name).ref.version

    def has_asked(self, key: KeyRef, reason: str, form: Form) -> bool:
        """Whether this device has asked for the same, and not yet used what it got."""
        return self.ongoings.known(_what(key, reason, form)) is not None

    async def ask(
        self, key: KeyRef, reason: str, form: Form, synced: Synced
    ) -> tuple[Request, ProposalState]:
        """Propose a release, or find the one that waits for the same key and reason.

        Raises:
            Refused: the same request was rejected (it is forgotten, so that it may be made again).
        """
        what = _what(key, reason, form)
        known = await self.ongoings.resume(
            what,
            self._again,
            rejected="the holders rejected this request",
            again=lambda request: self.repeat(request, synced),
        )
        return known or await self._new(key, reason, form, what, synced)

    async def _again(self, request: Request) -> ProposalState | None:
        """Hand in a request that may never have arrived; None where it is too late for it."""
        try:
            return await self.member.propose(request.proposal)
        except Refused:
            return None

    async def repeat(self, request: Request, synced: Synced) -> tuple[Request, ProposalState]:
        """Put the very same request to the holders as they are now.

        Raises:
            Refused: it is not possible any more (it is forgotten).
        """
        body = decode(Proposal, request.proposal.body).body
        proposal = self.member.new_proposal(RELEASE, body, synced.roster)
        return await self._put(replace(request, proposal=proposal))

    async def _new(
        self, key: KeyRef, reason: str, form: Form, what: Hash, synced: Synced
    ) -> tuple[Request, ProposalState]:
        private = PrivateKey.generate(self.party.randomness)
        body = Release(
            key=key.name,
            version=key.version,
            reason=PlainText(reason),
            form=form,
            wrapping_key=private.public,
        )
        proposal = self.member.new_proposal(RELEASE, body.to_body(), synced.roster)
        seed = private.seed.to_secret_bytes()
        return await self._put(Request(proposal=proposal, seed=seed, what=what))

    async def _put(self, request: Request) -> tuple[Request, ProposalState]:
        """Keep the request, then hand it in."""
        return request, await self.ongoings.begin(
            request.what, request, lambda: self.member.propose(request.proposal)
        )

    def forget(self, request: Request) -> None:
        """Erase a request and the key that opens its fragments."""
        self.ongoings.forget(request.what, request)

    async def collect(
        self, request: Request, key: KeyRef, form: Form, synced: Synced, device_secret: Secret
    ) -> Released | None:
        """What is there by now: the key, or None while more must answer.

        The private form of a key that was made for an import is what was imported.

        Raises:
            AskAgain: it ended because holders or quorum have changed.
            Refused: rejected, expired, or not possible any more; or nothing has been imported yet.
            PeerFault: too many wrong fragments; names the holders.
        """
        released = await self.collect_key(request, key, form, synced, device_secret)
        if released is None or form is not Form.PRIVATE:
            return released
        with released.secret as private:
            reply = await ask(self.party.channel, CONTENT, ContentRequest(key=key))
            imported = unseal_import(reply, private, key, synced.chain, made_by=released.made_by)
            if imported is None:
                imported = Secret(private.to_secret_bytes())
        return replace(released, secret=imported)

    async def collect_key(
        self, request: Request, key: KeyRef, form: Form, synced: Synced, device_secret: Secret
    ) -> Released | None:
        """The key itself, also of an import; raises as `collect`."""
        id_ = proposal_id(request.proposal)
        reply = await ask(self.party.channel, COLLECT, CollectRequest(proposal=id_))
        if reply.state.proposal.body != request.proposal.body:
            raise PeerFault("the authority answered about another request", culprits=("authority",))
        if reply.state.status is Status.PENDING:
            return None
        synced = await self._up_to_date(reply, synced)
        if reply.state.status is not Status.COMPLETE:
            self._check_not_void(request, reply.state, synced)
            self.ongoings.check_alive(request.what, request, reply.state, "the request")
        released = self._assembled(
            request, reply, key, form=form, synced=synced, device_secret=device_secret
        )
        if released is None:
            self._check_still_coming(request, reply.state, synced)
        return released

    async def _up_to_date(self, reply: CollectReply, synced: Synced) -> Synced:
        """Has the roster changed between our sync and this answer? Then sync again."""
        known = {roster.hash for roster in synced.chain.rosters}
        ours = reply.certificate is None or (
            decode(Statement, reply.certificate.statement).roster in known
        )
        return (
            synced if ours and reply.state.status is not Status.VOID else await self.member.sync()
        )

    def _check_not_void(self, request: Request, state: ProposalState, synced: Synced) -> None:
        """Not on the authority's word: we see for ourselves that holders or quorum have changed."""
        asked = decode(Proposal, request.proposal.body)
        if state.status is Status.VOID and asked.electorate != synced.roster.electorate:
            raise AskAgain("holders or quorum have changed since this was asked for")

    def _check_still_coming(self, request: Request, state: ProposalState, synced: Synced) -> None:
        """A complete tally without its key yet: may its holders still answer it?"""
        tally = Tally(proposal=state.proposal, approvals=state.approvals)
        put_to = synced.chain.for_proposal(decode(Proposal, request.proposal.body))
        verified = verify_tally(tally, put_to)
        try:
            check_approvers(put_to, verified.approved_by, synced.roster)
        except Refused as error:
            raise AskAgain(str(error)) from error
        if self.party.clock.now() >= verified.proposal.expires:
            self.forget(request)
            raise Refused("the request expired before enough holders had sent their fragments")

    def _assembled(
        self,
        request: Request,
        reply: CollectReply,
        key: KeyRef,
        *,
        form: Form,
        synced: Synced,
        device_secret: Secret,
    ) -> Released | None:
        if reply.certificate is None or (not reply.fragments and reply.rebuilt is None):
            return None
        chain = synced.chain
        parsed = decode(Statement, reply.certificate.statement)
        statement = verify_certificate(reply.certificate, chain.at(parsed.roster))
        if statement.domain != chain.current.domain:
            raise PeerFault("the epoch is of another domain", culprits=("authority",))
        found = self._private_key(request, reply, statement, key, chain.current)
        if found is None:
            return None
        private, faulty = found
        with private:
            kept = Secret(private.to_secret_bytes())
        if form is Form.FINAL:
            with kept:
                kept = release.final_key(device_secret, kept, key)
        return Released(
            domain=chain.current.domain,
            key=key,
            form=form,
            secret=kept,
            approved_by=self._approved_by(reply, chain),
            faulty=faulty,
            made_by=statement.proposal if statement.base is None else None,
        )

    def _private_key(
        self,
        request: Request,
        reply: CollectReply,
        statement: Statement,
        key: KeyRef,
        roster: Roster,
    ) -> tuple[Secret, tuple[str, ...]] | None:
        id_ = proposal_id(request.proposal)
        with Secret(request.seed) as seed:
            private = PrivateKey(seed)
            if statement.suite.authority_deals:
                faulty = release.names_of(roster, reply.faults)
                if reply.rebuilt is None:
                    return None
                secret = release.open_rebuilt(
                    reply.rebuilt, statement, key, proposal=id_, roster=roster, private=private
                )
                return secret, faulty
            collected = release.collect(
                reply.fragments, statement, key, proposal=id_, roster=roster, private=private
            )
            try:
                release.check_enough(collected, statement, roster)
            except Refused:
                return None
            secret = release.rebuild(collected, statement, key)
            return secret, release.names_of(roster, collected.faulty)

    def _approved_by(self, reply: CollectReply, chain: Chain) -> tuple[str, ...]:
        """Who approved: from the tally, verified here."""
        tally = Tally(proposal=reply.state.proposal, approvals=reply.state.approvals)
        seen = see(reply.state, chain, self.party.kinds)
        roster = chain.for_proposal(seen.proposal)
        verified = verify_tally(tally, roster)
        return release.names_of(roster, verified.approved_by)


def _what(key: KeyRef, reason: str, form: Form) -> Hash:
    """Names what is asked for, and why: the same again goes on."""
    return tagged_hash(tags.REQUEST, key.to_bytes(), Text(reason).encode(), form.value.encode())
