"""A member's side over the network: sync, propose, vote, wait, audit.

Everything that comes back is verified here before anybody acts on it. State is kept in the
member's sealed store, and changed only in transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.witness import Witness
from tigertally.base.clock import Clock
from tigertally.base.codec import decode, encode
from tigertally.base.errors import NewerVersion, PeerFault, Refused, TigertallyError, Unavailable
from tigertally.base.ids import DomainId, Hash, HolderIndex, Name, Nonce, ProposalId, RosterHash
from tigertally.base.limits import LONG_POLL_SECONDS, PROPOSAL_LIFETIME
from tigertally.base.randomness import Randomness
from tigertally.base.text import PlainText
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, Verdict, attachment_hash, sign_approval
from tigertally.quorum.chain import Chain
from tigertally.quorum.changes import KINDS as ROSTER_KINDS
from tigertally.quorum.changes import apply_change
from tigertally.quorum.kinds import Kinds
from tigertally.quorum.member.conviction import check_not_convicted, keep_conviction
from tigertally.quorum.member.memory import (
    Seen,
    SeenProposal,
    UnknownProposal,
    advance,
    check_cast,
    check_may_vote_on,
    check_vote_free,
    compare_cosigned,
    free_vote,
    load_chain,
    newest_witness,
    proofs_by_size,
    remember_vote,
    see,
    take_rosters,
    vote_given,
    why_ended,
)
from tigertally.quorum.member.versions import Before, Call, Lacking, ask_newest, unchanged
from tigertally.quorum.member.witness import (
    follow,
    load_lines,
    load_witness,
    notice_held_back,
    store_witness,
)
from tigertally.quorum.messages import (
    NewsRequest,
    ProposalRequest,
    ProposalState,
    ProposeRequest,
    SyncReply,
    SyncRequest,
    TalliesReply,
    TalliesRequest,
    VoteRequest,
)
from tigertally.quorum.proposal import Proposal, proposal_id, sign_proposal
from tigertally.quorum.roster import Holder, Roster, SignedRoster
from tigertally.quorum.tally import THIS_DEVICE, check_dated, check_unexpired, may_vote
from tigertally.storage.erasure import pay
from tigertally.storage.sealed import SealedStore
from tigertally.storage.store import Reader, Transaction
from tigertally.transport.channel import Channel
from tigertally.transport.door import Door, ask

_TALLY_PAGE = 50  # more would not fit one message where 255 holders have approved each
_WAIT_MARGIN = 10.0  # seconds beyond a long poll

Q = TypeVar("Q")
A = TypeVar("A")


_SYNC_BEFORE: Before[SyncRequest, SyncReply] = Before(
    door=messages.SYNC_V1, question=unchanged, answer=unchanged
)
_TALLIES_BEFORE: Before[TalliesRequest, TalliesReply] = Before(
    door=messages.TALLIES_V1, question=unchanged, answer=unchanged
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One member: its keys, its sealed store, its way to the authority."""

    key: SigningKey
    wrapping_key: PrivateKey
    store: SealedStore
    channel: Channel
    clock: Clock
    randomness: Randomness
    kinds: Kinds
    lacking: Lacking = field(default_factory=Lacking)

    async def ask(
        self, door: Door[Q, A], question: Q, before: Before[Q, A], *, call: Call | None = None
    ) -> tuple[A, bytes]:
        """Ask the authority at the newest door that it has; the answer, and its bytes.

        Args:
            call: how it is asked, if not straight over the channel.
        """
        return await ask_newest(
            call or self.channel.call,
            door,
            question,
            before,
            lacking=self.lacking,
            now=self.clock.now(),
        )

    async def call(self, path: str, body: bytes) -> bytes:
        """Ask the authority. Its word alone names no culprit: what it claims stays its claim."""
        try:
            return await self.channel.call(path, body)
        except PeerFault as error:
            raise PeerFault(f"the authority says: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The domain as this member now knows it.

    `unknown` are open proposals that this program does not understand.
    """

    chain: Chain
    checkpoint: str
    proposals: tuple[SeenProposal, ...]
    unknown: tuple[UnknownProposal, ...] = ()

    @property
    def open(self) -> tuple[Seen, ...]:
        """All open proposals."""
        return (*self.proposals, *self.unknown)

    @property
    def roster(self) -> Roster:
        """The newest roster."""
        return self.chain.current


class MemberClient:
    """What holders and requesters have in common."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self._news = 0
        self._loaded: Chain | None = None  # as the store had it when it was read, never as staged
        self._unkept: tuple[PeerFault, bytes] | None = None  # proof that no disk has taken yet

    def chain(self) -> Chain:
        """The rosters that this member has verified; `Unavailable` before it has enrolled."""
        with self.party.store.reading() as reader:
            return self.load(reader)

    def load(self, reader: Reader) -> Chain:
        """Return the stored rosters; what was read once is not read again."""
        self._loaded = load_chain(reader, self._loaded)
        return self._loaded

    def me(self, roster: Roster) -> Holder:
        """This holder as the roster lists it; `Refused` if it does not (any more)."""
        holder = roster.holder_of(self.party.key.public)
        if holder is None:
            raise Refused("this device is not (or no longer) a holder of the domain")
        return holder

    def scrub(self) -> bool:
        """Let no file keep what was erased; False if that is still owed (it is tried again).

        What was decided stands: nothing here makes a step fail that is done.
        """
        try:
            return pay(self.party.store) is None
        except TigertallyError:
            return False

    async def sync(self) -> Synced:
        """Fetch and verify what is new.

        Raises:
            MalformedMessage, InvalidSignature
            PeerFault: the authority forked the rosters or its audit log.
            Locked, Unavailable
        """
        reply, raw, witness = await self._ask_sync()
        if await self.follow(reply.checkpoint, reply.rosters):
            reply, raw, witness = await self._ask_sync()  # with proofs from where we stand now
        synced = self._synced(reply, witness, raw)
        await self._look_after_vote(synced)
        return synced

    async def _ask_sync(self) -> tuple[SyncReply, bytes, Witness]:
        if self._unkept is not None:
            fault, shown = self._unkept
            self._keep_proof(fault, shown)
            raise fault
        with self.party.store.reading() as reader:
            check_not_convicted(reader)
            chain = self.load(reader)
            witness = load_witness(reader, chain.current)
        request = SyncRequest(roster_version=len(chain.signed), checkpoint_size=witness.size)
        reply, raw = await self.party.ask(messages.SYNC, request, _SYNC_BEFORE)
        return reply, raw, witness

    async def follow(self, checkpoint: str, rosters: Sequence[SignedRoster] = ()) -> bool:
        """Follow to the log of a restored authority, if it shows one that holders accepted.

        Args:
            checkpoint: what it shows.
            rosters: newer ones that it shows with it.

        Returns:
            Whether the log is another than before.

        Raises:
            PeerFault: it was restored and too few holders have accepted that; nothing is taken.
        """
        origin = SignedCheckpoint.from_text(checkpoint).checkpoint.origin
        with self.party.store.reading() as reader:
            chain = self.load(reader)
            if origin == load_witness(reader, chain.current).origin:
                return False
        shown = await self.party.channel.call(messages.RESTORATIONS, encode(messages.Nothing()))
        records = decode(messages.RestorationsReply, shown).records
        with self.taking(shown) as tx:
            known = len(chain.signed)
            longer = take_rosters(tx, rosters, chain.current.authority.signing_key)
            follow(tx, records, origin, longer, known_version=known)
        return True

    @contextmanager
    def taking(self, shown: bytes) -> Iterator[Transaction]:
        """A transaction that takes what the authority has shown.

        What is wrong is rolled back; proof that the authority signed two histories is kept, and
        from then on this member stops.
        """
        try:
            with self.party.store.transaction() as tx:
                yield tx
        except PeerFault as fault:
            if fault.sure:
                self._keep_proof(fault, shown)
            raise

    def _keep_proof(self, fault: PeerFault, shown: bytes) -> None:
        """Store what convicts the authority; where the disk is full, stop all the same."""
        self._unkept = fault, shown
        try:
            with self.party.store.transaction() as tx:
                keep_conviction(tx, fault, shown)
        except Unavailable as full:
            fault.add_note(f"this device could not store the proof ({full}): free some space")
        else:
            self._unkept = None

    def _synced(self, reply: SyncReply, before: Witness, shown: bytes) -> Synced:
        """Verify and keep an answer. `before` is what we had seen of the log when we asked."""
        party = self.party
        with self.taking(shown) as tx:
            known = load_chain(tx, self._loaded)
            authority = known.current.authority.signing_key
            chain = take_rosters(tx, reply.rosters, authority, known)
            proofs = proofs_by_size(reply.proofs)
            witness = advance(before, reply.checkpoint, proofs)
            lines = load_lines(tx)
            seen = tuple(see(state, chain, party.kinds) for state in reply.proposals)
            for one in seen:
                verdicts = (*one.approvals, *one.rejections)
                compare_cosigned(witness, verdicts, proofs, lines, chain.current.domain)
                check_cast(one, chain)
            witness = newest_witness(load_witness(tx, chain.current), before, witness)
            store_witness(tx, witness)
            notice_held_back(tx, chain, len(known.signed), now=party.clock.now())
        checkpoint = "" if witness.newest is None else witness.newest.to_text()
        return Synced(
            chain=chain,
            checkpoint=checkpoint,
            proposals=tuple(one for one in seen if isinstance(one, SeenProposal)),
            unknown=tuple(one for one in seen if isinstance(one, UnknownProposal)),
        )

    async def _look_after_vote(self, synced: Synced) -> None:
        """Is the change of the roster that we voted for rejected by now? Then vote freely."""
        with self.party.store.reading() as reader:
            voted = vote_given(reader, synced.roster)
        if voted is None or any(one.id == voted for one in synced.open):
            return
        with suppress(Refused):  # our vote never arrived, or the authority has forgotten it
            state = await self.proposal(voted)
            self.give_vote_back(see(state, synced.chain, self.party.kinds), synced.roster)

    def new_proposal(
        self, kind: Name, body: bytes, roster: Roster, *, lifetime: int = PROPOSAL_LIFETIME
    ) -> Envelope:
        """A fresh, signed proposal to the holders of this roster."""
        return self.proposal_to(
            kind,
            body,
            domain=roster.domain,
            electorate=roster.electorate,
            predecessor=roster.hash,
            lifetime=lifetime,
        )

    def proposal_to(
        self,
        kind: Name,
        body: bytes,
        *,
        domain: DomainId,
        electorate: Hash,
        predecessor: RosterHash,
        lifetime: int = PROPOSAL_LIFETIME,
    ) -> Envelope:
        """A fresh, signed proposal; `predecessor` goes only into kinds that change the roster."""
        now = self.party.clock.now()
        proposal = Proposal(
            kind=kind,
            body=body,
            domain=domain,
            electorate=electorate,
            predecessor=predecessor if kind in ROSTER_KINDS else None,
            nonce=Nonce(self.party.randomness.bytes(32)),
            proposer=self.party.key.public,
            created=now,
            expires=now + lifetime,
        )
        return sign_proposal(self.party.key, proposal)

    def new_verdict(
        self,
        proposal: Envelope,
        synced: Synced,
        verdict: Verdict,
        *,
        attachment: bytes = b"",
        reason: str = "",
    ) -> Envelope:
        """Our signed verdict; for a successor of the roster, our one vote.

        A no needs no understanding; a yes does.

        Raises:
            MalformedMessage: something in the reason does not show.
            Refused: our vote for a successor is given already, we are no holder, we are the one
                to be removed, or this is put to older holders, by somebody who may not propose, or
                with a text in which something does not show.
            NewerVersion: a yes to what this program does not understand.
            PeerFault: we have proof against the authority and stopped.
        """
        id_ = proposal_id(proposal)
        opened = decode(Proposal, proposal.body)
        now = self.party.clock.now()
        check_unexpired(opened, now=now, clock=THIS_DEVICE)
        with self.party.store.reading() as reader:
            check_not_convicted(reader)
        me = self.me(synced.roster)
        if not _has_vote(synced.roster, opened, me.index):  # before the vote counts as given
            raise Refused(f"{me.name} has no vote on its own removal: another holder proposes it")
        if verdict is Verdict.APPROVE:
            check_dated(opened, now=now, clock=THIS_DEVICE)
            check_may_vote_on(opened, synced.roster, self.party.kinds)
            if opened.predecessor is not None:
                synced.chain.check_new_names(apply_change(synced.roster, opened, created=now))
                with self.party.store.transaction() as tx:
                    check_vote_free(tx, opened, id_, now=now)
                    remember_vote(tx, opened, id_, now=now)
        approval = Approval(
            proposal=id_,
            verdict=verdict,
            roster=synced.roster.hash,
            holder=me.index,
            checkpoint=synced.checkpoint,
            attachment=attachment_hash(attachment) if attachment else None,
            reason=PlainText(reason),
            time=now,
        )
        return sign_approval(self.party.key, approval)

    async def propose(
        self, proposal: Envelope, *, approval: Envelope | None = None, attachment: bytes = b""
    ) -> ProposalState:
        """Hand in a proposal, with our own approval if we are a holder."""
        request = ProposeRequest(proposal=proposal, approval=approval, attachment=attachment)
        return self._same(await ask(self.party.channel, messages.PROPOSE, request), proposal)

    async def propose_with_yes(self, proposal: Envelope, synced: Synced) -> ProposalState:
        """Hand in a holder's own proposal: its approval is in it."""
        verdict = self.new_verdict(proposal, synced, Verdict.APPROVE)
        return await self.propose(proposal, approval=verdict)

    async def vote(
        self, seen: ProposalState, verdict: Envelope, *, attachment: bytes = b""
    ) -> ProposalState:
        """Hand in a verdict."""
        request = VoteRequest(verdict=verdict, attachment=attachment)
        return self._same(await ask(self.party.channel, messages.VOTE, request), seen.proposal)

    def _same(self, state: ProposalState, proposal: Envelope) -> ProposalState:
        if state.proposal.body != proposal.body:
            raise PeerFault(
                "the authority answered about another proposal", culprits=("authority",)
            )
        return state

    async def proposal(self, id_: ProposalId) -> ProposalState:
        """How a proposal stands, as the authority says: verify the tally before acting on it."""
        state = await ask(self.party.channel, messages.PROPOSAL, ProposalRequest(id=id_))
        if proposal_id(state.proposal) != id_:
            raise PeerFault(
                "the authority answered about another proposal", culprits=("authority",)
            )
        return state

    async def find(self, id_: ProposalId, synced: Synced) -> Seen:
        """The proposal with exactly this id, open or not, verified.

        Raises:
            Refused: the authority knows none.
            PeerFault: it shows another.
        """
        return see(await self.proposal(id_), synced.chain, self.party.kinds)

    def why_ended(self, state: ProposalState) -> str:
        """Return why a proposal was said no to, quoted, for an error's line."""
        return why_ended(state, self.chain())

    def give_vote_back(self, seen: Seen, roster: Roster) -> None:
        """After enough rejections, our vote for a successor is free again."""
        if isinstance(seen, UnknownProposal):
            return  # we never voted for what we do not understand
        with self.party.store.transaction() as tx:
            free_vote(tx, seen, roster)

    async def news(self, wait: float) -> None:
        """Return when the authority has something new for us, or after `wait` seconds."""
        seconds = max(1, min(int(wait), LONG_POLL_SECONDS))
        request = NewsRequest(seen=self._news, wait=seconds)
        wait = seconds + _WAIT_MARGIN
        self._news = (await ask(self.party.channel, messages.NEWS, request, wait=wait)).seen

    async def tallies(self, since: int) -> tuple[Seen, ...]:
        """All proposals made at or after `since` (Unix seconds), past and open, oldest first.

        Each is verified against the roster it was put to.
        """
        synced = await self.sync()
        found: dict[ProposalId, Seen] = {}
        limit = _TALLY_PAGE
        while True:
            request = TalliesRequest(since=since, limit=limit)
            reply, _ = await self.party.ask(messages.TALLIES, request, _TALLIES_BEFORE)
            states = reply.proposals
            page = {one.id: one for one in (see(s, synced.chain, self.party.kinds) for s in states)}
            more = len(states) >= limit
            if page.keys() <= found.keys():
                limit *= 2  # a page full of one second
            found |= page
            if not more:
                return tuple(found.values())
            since = found[proposal_id(states[-1].proposal)].proposal.created


def _has_vote(roster: Roster, proposal: Proposal, index: HolderIndex) -> bool:
    """As far as this program understands the proposal; who counts the vote knows better."""
    try:
        return may_vote(roster, proposal, index)
    except NewerVersion:
        return True
