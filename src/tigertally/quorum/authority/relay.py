"""The authority's reading side: rosters, open proposals, tallies and the audit log, to members.

C13: nobody but a member reads the roster; what strangers may know is `DomainInfo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from tigertally.base.codec import encode
from tigertally.base.ids import Hash
from tigertally.crypto.envelope import parse_message
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, cosigned_sizes
from tigertally.quorum.authority import restore, rows
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.proposals import QuorumService, state_of
from tigertally.quorum.proposal import Proposal, open_proposal

_MOST_ROWS = 1000  # in one answer


Shown = Callable[[Proposal], bool]
"""Is whoever asks shown this proposal?"""


def _everything(_: Proposal) -> bool:
    return True


class RelayService:
    """Answers what members ask about the state of their domain.

    Args:
        known_to_v1: would the program of version 1 understand this proposal? It stops at one that
            it does not.
    """

    def __init__(self, quorum: QuorumService, known_to_v1: Shown) -> None:
        self._quorum = quorum
        self._known_to_v1 = known_to_v1

    def sync(
        self, desk: DomainDesk, request: messages.SyncRequest, peer: VerifyKey
    ) -> messages.SyncReply:
        """What is new for this member since its last sync."""
        return self._sync(desk, request, peer, _everything)

    def sync_v1(
        self, desk: DomainDesk, request: messages.SyncRequest, peer: VerifyKey
    ) -> messages.SyncReply:
        """The same without the proposals that version 1 does not understand."""
        return self._sync(desk, request, peer, self._known_to_v1)

    def _sync(
        self, desk: DomainDesk, request: messages.SyncRequest, peer: VerifyKey, shown: Shown
    ) -> messages.SyncReply:
        desk.member(peer)
        holder = desk.roster.holder_of(peer) is not None
        states = tuple(
            state
            for state in self._quorum.open_states(desk, None if holder else peer)
            if shown(parse_message(Proposal, state.proposal.body))
        )
        checkpoint = desk.log.checkpoint(desk.plain)
        sizes = {request.checkpoint_size, *_cosigned_sizes(states)}
        return messages.SyncReply(
            rosters=desk.known_chain.after(request.roster_version),
            checkpoint=checkpoint.to_text(),
            proofs=_proofs(desk, sizes, checkpoint.checkpoint.size),
            proposals=states,
        )

    def rosters(
        self, desk: DomainDesk, request: messages.RostersRequest, peer: VerifyKey
    ) -> messages.RostersReply:
        """The roster chain, for members; works while locked."""
        desk.member(peer)
        return messages.RostersReply(rosters=desk.known_chain.after(request.after))

    def tallies(
        self, desk: DomainDesk, request: messages.TalliesRequest, peer: VerifyKey
    ) -> messages.TalliesReply:
        """Proposals with their verdicts, for holders, and each requester's own."""
        return self._tallies(desk, request, peer, _everything)

    def tallies_v1(
        self, desk: DomainDesk, request: messages.TalliesRequest, peer: VerifyKey
    ) -> messages.TalliesReply:
        """The same without the proposals that version 1 does not understand."""
        return self._tallies(desk, request, peer, self._known_to_v1)

    def _tallies(
        self, desk: DomainDesk, request: messages.TalliesRequest, peer: VerifyKey, shown: Shown
    ) -> messages.TalliesReply:
        desk.member(peer)
        mine = None if desk.roster.holder_of(peer) else peer
        theirs = (
            state_of(pending.refreshed(desk.roster, now=desk.now))
            for pending in rows.since(desk.sealed, request.since)
            if mine is None or open_proposal(pending.proposal).proposer == mine
            if shown(parse_message(Proposal, pending.proposal.body))
        )
        found = islice(theirs, min(request.limit, _MOST_ROWS))
        return messages.TalliesReply(proposals=tuple(found))

    def restorations(
        self, desk: DomainDesk, _: messages.Nothing, peer: VerifyKey
    ) -> messages.RestorationsReply:
        """Every restore with its acceptances, for members; works while locked."""
        desk.member(peer)
        return messages.RestorationsReply(records=restore.records(desk.plain))

    def audit(
        self, desk: DomainDesk, request: messages.AuditRequest, peer: VerifyKey
    ) -> messages.AuditReply:
        """Audit entries, the newest checkpoint, proofs; for members; works while locked."""
        desk.member(peer)
        checkpoint = desk.log.checkpoint(desk.plain)
        entries = desk.log.entries(desk.plain, request.since, min(request.limit, _MOST_ROWS))
        return messages.AuditReply(
            entries=tuple(encode(entry) for entry in entries),
            checkpoint=checkpoint.to_text(),
            proofs=_proofs(desk, request.prove, checkpoint.checkpoint.size),
        )


def _proofs(
    desk: DomainDesk, sizes: Iterable[int], newest: int
) -> tuple[messages.CheckpointProof, ...]:
    """Consistency proofs from each size that our log ever had."""
    wanted = sorted({size for size in sizes if 0 < size <= newest})
    return tuple(
        messages.CheckpointProof(size=size, proof=_proof(desk, size, newest))
        for size in wanted[:_MOST_ROWS]
    )


def _proof(desk: DomainDesk, size: int, newest: int) -> tuple[Hash, ...]:
    return tuple(desk.log.consistency_proof(desk.plain, size, newest))


def _cosigned_sizes(states: Iterable[messages.ProposalState]) -> tuple[int, ...]:
    return cosigned_sizes(
        [
            parse_message(Approval, envelope.body)
            for state in states
            for envelope in (*state.approvals, *state.rejections)
        ]
    )
