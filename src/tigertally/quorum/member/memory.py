"""What a member remembers and believes: rosters, the audit checkpoint, its own votes.

Functions on the member's own store, inside one transaction of whoever calls; what comes from the
authority is verified first. No network here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.witness import Witness
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    NewerVersion,
    PeerFault,
    Refused,
    Unavailable,
)
from tigertally.base.ids import DomainId, Hash, HolderIndex, ProposalId
from tigertally.base.limits import CLOCK_SKEW, MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum.approval import Approval, Verdict, open_approval
from tigertally.quorum.chain import Chain, found
from tigertally.quorum.kinds import (
    Kinds,
    check_formed,
    check_shows,
    kind_of,
    proposer_name,
    words_of,
)
from tigertally.quorum.messages import CheckpointProof, ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import Proposal, open_proposal, parsed_body, proposal_id
from tigertally.quorum.restoration import Lines, Place, place_of
from tigertally.quorum.roster import Roster, SignedRoster
from tigertally.quorum.tally import (
    Tally,
    check_approval,
    check_electorate,
    check_given,
    check_put_to,
    needed,
    voters,
)
from tigertally.quorum.words import Quote
from tigertally.storage.store import Reader, Transaction

ROSTERS = "member-roster"  # version -> SignedRoster
VOTES = "member-vote"  # roster hash -> Vote, for kinds that change the roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """This holder's vote for a successor of one roster."""

    proposal: ProposalId
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenProposal:
    """A proposal as this member has verified it.

    Attributes:
        words: facts, in one line; nobody else's text is in it.
        quotes: what its proposer says in its own words.
        refusals: why holders said no, in their own words.
    """

    id: ProposalId
    proposal: Proposal
    words: str
    proposer: str
    state: ProposalState
    approvals: tuple[Approval, ...]
    rejections: tuple[Approval, ...]
    needed: int
    quotes: tuple[Quote, ...] = ()
    refusals: tuple[Quote, ...] = ()

    def voted(self, index: HolderIndex) -> bool:
        """Has this holder given a verdict?"""
        return self.answer_of(index) is not None

    def answer_of(self, index: HolderIndex) -> Verdict | None:
        """Return this holder's verdict, or None."""
        return _answer_of((*self.approvals, *self.rejections), index)

    def tally(self) -> Tally:
        """The proposal with its approvals, for `verify_tally`."""
        return Tally(proposal=self.state.proposal, approvals=self.state.approvals)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownProposal:
    """A proposal that this program does not understand, verified as far as it can be.

    Who must agree is not known, nor is whether these verdicts are enough. It can be listed, passed
    on and rejected, never approved.

    Attributes:
        words: the facts that a person reads: in our words alone.
        detail: what is not understood, with names of kinds or options that its proposer chose.

    **Security:** a name of forty characters can be a sentence. What its proposer chose is quoted.
    """

    id: ProposalId
    proposal: Proposal
    words: str
    detail: str
    proposer: str
    state: ProposalState
    approvals: tuple[Approval, ...]
    rejections: tuple[Approval, ...]
    refusals: tuple[Quote, ...] = ()

    @property
    def needed(self) -> None:
        """How many must agree: only who knows the kind knows it."""

    @property
    def quotes(self) -> tuple[Quote, ...]:
        """What is not understood: it may say whatever its proposer likes."""
        by = f"the proposal of {self.proposer}"
        return (Quote(by=by, what="not understood", text=self.detail),)

    def answer_of(self, index: HolderIndex) -> Verdict | None:
        """Return this holder's verdict, or None."""
        return _answer_of((*self.approvals, *self.rejections), index)

    def refusal(self) -> NewerVersion:
        """Why this device does not act on it, and what to do."""
        return NewerVersion(f"{self.words} before that is upgraded")


Seen = SeenProposal | UnknownProposal


def _answer_of(verdicts: Sequence[Approval], index: HolderIndex) -> Verdict | None:
    return next((one.verdict for one in verdicts if one.holder == index), None)


def load_chain(reader: Reader, known: Chain | None = None) -> Chain:
    """Our own copy of the rosters; they were verified when they were stored.

    Args:
        known: what was loaded from this store before; only later versions are read then.

    Raises:
        Unavailable: this profile has not enrolled yet.
        Corrupt: a version is missing.
    """
    known = known or Chain((), ())
    after = _version_key(len(known.signed)) if known.signed else None
    signed = tuple(decode(SignedRoster, row) for _, row in reader.scan(ROSTERS, after=after))
    if not signed and known.signed:
        return known
    if not signed:
        raise Unavailable(
            "this profile is not a member yet",
            advice="finish as you began, with `tally holder enrol` or `tally requester enrol`",
        )
    rosters = (*known.rosters, *(one.parse() for one in signed))
    if [roster.version for roster in rosters] != list(range(1, len(rosters) + 1)):
        raise Corrupt("a roster version is missing in this profile")
    return Chain(rosters, (*known.signed, *signed))


def _version_key(version: int) -> bytes:
    return version.to_bytes(4, "big")


def store_chain(tx: Transaction, chain: Chain, *, known: int = 0) -> None:
    """Keep the rosters after version `known`."""
    for version, signed in enumerate(chain.signed[known:], start=known + 1):
        tx.put(ROSTERS, _version_key(version), encode(signed))


def take_rosters(
    tx: Transaction,
    rosters: Sequence[SignedRoster],
    authority: VerifyKey,
    known: Chain | None = None,
) -> Chain:
    """Verify newer rosters and keep them; the first ones under the authority's pinned key.

    Args:
        known: as for `load_chain`.

    Raises:
        MalformedMessage, InvalidSignature, Refused, PeerFault: as `Chain.extended`.
        Unavailable: there is none at all.
    """
    if tx.get(ROSTERS, _version_key(1)) is not None:
        chain = load_chain(tx, known)
        longer = chain.extended(rosters)
        store_chain(tx, longer, known=len(chain.signed))
        return longer
    if not rosters:
        raise Unavailable("the domain has no roster yet")
    chain = found(rosters[0], authority).extended(rosters[1:])
    store_chain(tx, chain)
    return chain


def proofs_by_size(proofs: Sequence[CheckpointProof]) -> Mapping[int, tuple[Hash, ...]]:
    """Consistency proofs to the newest checkpoint, by the size they begin at."""
    return {proof.size: proof.proof for proof in proofs}


@contextmanager
def blaming_the_authority() -> Iterator[None]:
    """A fault in the log is the authority's: name it as people know it, not by the log's name."""
    try:
        yield
    except PeerFault as error:
        raise type(error)(str(error), culprits=("authority",), sure=error.sure) from error


def advance(witness: Witness, checkpoint: str, proofs: Mapping[int, tuple[Hash, ...]]) -> Witness:
    """Move on to a newer checkpoint.

    Raises:
        MalformedMessage, InvalidSignature
        PeerFault: the log was rewritten, truncated or forked.
    """
    signed = SignedCheckpoint.from_text(checkpoint)
    with blaming_the_authority():
        return witness.advance(signed, proofs.get(witness.size, ()))


def newest_witness(stored: Witness, before: Witness, advanced: Witness) -> Witness:
    """What to keep when another sync of ours may have stored something since we asked.

    `advanced` goes on from `before`. If more has been stored meanwhile, that stays: nothing here
    shows that `advanced` goes on from it, and the next sync will.

    Raises:
        PeerFault: the two answers are two histories.
    """
    if stored.newest == before.newest:
        return advanced
    if stored.size == advanced.size and advanced.newest is not None:
        stored.compare(advanced.newest)
    return stored


def compare_cosigned(
    witness: Witness,
    approvals: Sequence[Approval],
    proofs: Mapping[int, tuple[Hash, ...]],
    lines: Lines,
    domain: DomainId,
) -> list[Approval]:
    """Compare the checkpoints that other holders were shown with our own.

    A checkpoint that the authority did not sign proves nothing and is passed over: the holder who
    sent it may have made it up. So is one from behind an accepted restore: that log is lost.

    Args:
        lines: the restorations that this device has followed.

    Returns:
        The verdicts that vouch for our log: those passed over do not.

    Raises:
        PeerFault: the authority signed two histories, or keeps a log that we know nothing of.
    """
    vouching = []
    for approval in approvals:
        if not approval.checkpoint:
            continue
        try:
            signed = SignedCheckpoint.from_text(approval.checkpoint)
            shown = signed.verify(witness.key)
        except (MalformedMessage, InvalidSignature):
            continue
        place = place_of(lines, domain, witness.origin, shown.origin, shown.size)
        if place is Place.UNKNOWN:
            raise _lie(f"holder {approval.holder} was shown another log: {shown.origin}")
        if place is Place.INSIDE:
            with blaming_the_authority():
                same = replace(witness, origin=shown.origin)
                same.compare(signed, proofs.get(shown.size, ()))
            vouching.append(approval)
    return vouching


def see(state: ProposalState, chain: Chain, kinds: Kinds) -> Seen:
    """Verify a proposal and every verdict on it that counts.

    One that this program does not understand ends nothing: it is `UnknownProposal`.

    Raises:
        MalformedMessage, InvalidSignature, Refused
    """
    proposal = open_proposal(state.proposal)
    roster = chain.for_proposal(proposal)
    proposer = proposer_name(chain, proposal)
    try:
        words = words_of(kinds, proposal, roster, by=proposer)
    except NewerVersion as error:
        facts = _unread(kinds, proposal, "made by a newer version of the program")
        return _unknown(state, chain, roster, facts, str(error))
    except MalformedMessage as error:  # its authority takes what we do not: an older, a newer one
        facts = _unread(kinds, proposal, "not readable here")
        return _unknown(state, chain, roster, facts, str(error))
    check_electorate(roster, proposal)
    id_ = proposal_id(state.proposal)
    approvals, rejections = _counted(
        state, roster, lambda said: check_approval(said, proposal, id_, roster)
    )
    want = needed(roster, proposal)
    if state.status is Status.COMPLETE and len(approvals) != want:
        raise _lie(f"the authority calls {len(approvals)} of {want} approvals a tally")
    if state.status is Status.REJECTED and not _rejected(roster, proposal, len(rejections)):
        raise _lie("the authority calls a proposal rejected that may still be approved")
    return SeenProposal(
        id=id_,
        proposal=proposal,
        words=words.facts,
        quotes=words.quotes,
        refusals=_refusals(rejections, roster),
        proposer=proposer,
        state=state,
        approvals=approvals,
        rejections=rejections,
        needed=want,
    )


def _unread(kinds: Kinds, proposal: Proposal, why: str) -> str:
    """What we say of it ourselves. Its kind is a fact only if it is one of ours."""
    what = proposal.kind if proposal.kind in kinds else "a proposal of an unknown kind"
    return f"{what}, {why}: it cannot be approved on this device"


def _unknown(
    state: ProposalState, chain: Chain, roster: Roster, facts: str, detail: str
) -> UnknownProposal:
    """Verify what can be: who proposed it to whom, and who answered."""
    proposal = open_proposal(state.proposal)
    check_put_to(roster, proposal)
    id_ = proposal_id(state.proposal)
    approvals, rejections = _counted(state, roster, lambda said: check_given(said, proposal, id_))
    return UnknownProposal(
        id=id_,
        proposal=proposal,
        words=facts,
        detail=detail,
        proposer=chain.current.name_of(proposal.proposer),
        state=state,
        approvals=approvals,
        rejections=rejections,
        refusals=_refusals(rejections, roster),
    )


def _lie(text: str) -> PeerFault:
    """The authority relayed what its holders did not say. Not sure: nobody signed the relaying."""
    return PeerFault(text, culprits=("authority",))


_Check = Callable[[Approval], None]


def _counted(
    state: ProposalState, roster: Roster, check: _Check
) -> tuple[tuple[Approval, ...], tuple[Approval, ...]]:
    """Approvals and rejections, verified, of each holder one at most."""
    approvals = _verdicts(state.approvals, Verdict.APPROVE, roster, check)
    rejections = _verdicts(state.rejections, Verdict.REJECT, roster, check)
    if len({one.holder for one in (*approvals, *rejections)}) != len(approvals + rejections):
        raise _lie("the authority counted a holder twice")
    return approvals, rejections


def _verdicts(
    envelopes: Sequence[Envelope], verdict: Verdict, roster: Roster, check: _Check
) -> tuple[Approval, ...]:
    """Verdicts of one sort, verified. A holder is not blamed for what the authority shows."""
    try:
        opened = tuple(open_approval(envelope, roster) for envelope in envelopes)
        for approval in opened:
            check(approval)
    except InvalidSignature as error:
        raise InvalidSignature(
            f"a verdict was not signed by its holder: {error}", culprits=("authority",)
        ) from error
    except Refused as error:
        raise _lie(f"the authority counts a verdict that does not count: {error}") from error
    if any(approval.verdict is not verdict for approval in opened):
        raise _lie("the authority mixed approvals with rejections")
    return opened


def _refusals(rejections: Sequence[Approval], roster: Roster) -> tuple[Quote, ...]:
    """Why these holders said no, where they said why."""
    return tuple(
        Quote(by=str(roster.holder(one.holder).name), what="reason to reject", text=one.reason)
        for one in rejections
        if one.reason
    )


def why_ended(state: ProposalState, chain: Chain) -> str:
    """Return why a proposal was said no to, quoted, for an error's line.

    Holders' reasons as their signatures show them; else what the authority says.
    """
    try:
        proposal = open_proposal(state.proposal)
        roster = chain.for_proposal(proposal)
        id_ = proposal_id(state.proposal)
        _, rejections = _counted(state, roster, lambda one: check_given(one, proposal, id_))
        said = _refusals(rejections, roster)
    except (MalformedMessage, PeerFault, Refused):  # it ended all the same
        said = ()
    return "; ".join(map(str, said)) or str(authority_says(state.why))


def authority_says(why: str) -> Quote:
    """Return why the authority says that a proposal ended: its word, signed by nobody."""
    return Quote(by="the authority", what="why", text=why)


def check_cast(seen: Seen, chain: Chain) -> None:
    """Did all who voted see a roster that we know? For states fetched together with the chain.

    Raises:
        PeerFault: a holder was shown rosters that we were not shown. Not sure: that holder may
            have named a roster that does not exist.
    """
    for approval in (*seen.approvals, *seen.rejections):
        try:
            chain.check_cast(approval, seen.proposal)
        except Refused as error:
            raise _lie(f"holder {approval.holder} was shown another roster: {error}") from error


def _rejected(roster: Roster, proposal: Proposal, rejections: int) -> bool:
    """Can the quorum not be reached any more?"""
    return voters(roster, proposal) - rejections < needed(roster, proposal)


def check_may_vote_on(proposal: Proposal, roster: Roster, kinds: Kinds) -> None:
    """Is this put to the holders as they are now, by somebody who may propose it, to be read?

    The authority checks it too, but a holder signs nothing on the authority's word.

    Raises:
        MalformedMessage
        Unavailable: the domain is forming, and this must wait until it is not.
        Refused: an older electorate or roster, a proposer without the right, or a text in which
            something does not show.
    """
    check_electorate(roster, proposal)
    kind = kind_of(kinds, proposal)
    check_formed(kind, roster)
    kind.may_propose(roster, proposal, parsed_body(kind.parse, proposal))
    check_shows(kinds, proposal)


def check_vote_free(reader: Reader, proposal: Proposal, id_: ProposalId, *, now: int) -> None:
    """May we vote for this successor of the roster? One vote a roster, until it is free again.

    A vote that seems to end later than any can was given by a clock that was ahead: it is free.

    Raises:
        Refused: we have voted for another successor that is still alive.
    """
    if proposal.predecessor is None:
        return
    row = reader.get(VOTES, proposal.predecessor)
    if row is None:
        return
    vote = decode(Vote, row)
    if vote.proposal != id_ and now < vote.expires <= now + MAX_PROPOSAL_LIFETIME + CLOCK_SKEW:
        raise Refused(
            f"this device has approved another change of this roster ({vote.proposal})",
            advice="that one must be done, expire, or be rejected by others "
            "(`tally holder reject`) first",
        )


def vote_given(reader: Reader, roster: Roster) -> ProposalId | None:
    """The successor of this roster that we have voted for, if any."""
    row = reader.get(VOTES, roster.hash)
    return None if row is None else decode(Vote, row).proposal


def remember_vote(tx: Transaction, proposal: Proposal, id_: ProposalId, *, now: int) -> None:
    """Keep our vote for a successor; it ends by our own clock, whatever the proposal says."""
    if proposal.predecessor is not None:
        ends = min(proposal.expires, now + MAX_PROPOSAL_LIFETIME)
        vote = Vote(proposal=id_, expires=ends)
        tx.put(VOTES, proposal.predecessor, encode(vote))


def free_vote(tx: Transaction, seen: SeenProposal, roster: Roster) -> bool:
    """Give a vote back once enough signed rejections have ended its proposal."""
    proposal = seen.proposal
    if proposal.predecessor is None or not _rejected(roster, proposal, len(seen.rejections)):
        return False
    row = tx.get(VOTES, proposal.predecessor)
    if row is None or decode(Vote, row).proposal != seen.id:
        return False
    tx.delete(VOTES, proposal.predecessor)
    return True
