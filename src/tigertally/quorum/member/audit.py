"""A member audits: the whole log, against everything that it and other holders were ever shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.entry import AuditEntry
from tigertally.audit.witness import verify_entries
from tigertally.base.errors import Unavailable
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, cosigned_sizes
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.member.memory import (
    advance,
    blaming_the_authority,
    compare_cosigned,
    newest_witness,
    proofs_by_size,
)
from tigertally.quorum.member.witness import load_lines, load_witness, store_witness
from tigertally.quorum.messages import AuditReply, AuditRequest
from tigertally.quorum.proof import make_proof
from tigertally.transport.door import ask

_AUDIT_PAGE = 500  # entries
_PROVEN_AT_ONCE = 500  # checkpoints; the authority proves up to 1,000 in one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """A log that has been verified from its first entry on."""

    entries: tuple[AuditEntry, ...]
    checkpoint: SignedCheckpoint
    cosigned_by: tuple[str, ...]


class Audit:
    """A member verifies the whole audit log."""

    def __init__(self, member: MemberClient) -> None:
        self.member = member

    async def report(self) -> AuditReport:
        """Fetch the whole log and verify it against all that we and other holders have seen.

        Raises:
            PeerFault: it was rewritten, truncated or forked.
        """
        await self.member.follow((await self._audit_page(0, (), limit=0)).checkpoint)
        with self.member.party.store.reading() as reader:
            chain = self.member.load(reader)
            witness = load_witness(reader, chain.current)
        entries: list[AuditEntry] = []
        while True:
            reply = await self._audit_page(len(entries), (witness.size,))
            entries += [AuditEntry.from_bytes(raw) for raw in reply.entries]
            signed = SignedCheckpoint.from_text(reply.checkpoint)
            if len(entries) >= signed.checkpoint.size or not reply.entries:
                break
        with self.member.taking(reply.checkpoint.encode()):
            advanced = advance(witness, reply.checkpoint, proofs_by_size(reply.proofs))
        with blaming_the_authority():
            verify_entries(entries[: signed.checkpoint.size], signed.checkpoint)
        with self.member.taking(reply.checkpoint.encode()) as tx:
            latest = load_witness(tx, chain.current)
            store_witness(tx, newest_witness(latest, witness, advanced))
        return AuditReport(
            entries=tuple(entries[: signed.checkpoint.size]),
            checkpoint=signed,
            cosigned_by=await self._cosigners(),
        )

    async def prove(self, first: int, count: int) -> bytes:
        """Audit the whole log, then write some of its entries as a file for third parties.

        Raises:
            PeerFault: as `report`.
            Refused: there are no such entries, or they do not fit into a file.
        """
        report = await self.report()
        try:
            seen = await self.member.tallies(0)
        except Unavailable:
            seen = ()  # locked: then without the holders' verdicts
        verdicts = [e for one in seen for e in (*one.state.approvals, *one.state.rejections)]
        return make_proof(
            self.member.chain(),
            report.entries,
            report.checkpoint,
            verdicts,
            first=first,
            count=count,
        )

    async def _audit_page(
        self, since: int, prove: tuple[int, ...], *, limit: int = _AUDIT_PAGE
    ) -> AuditReply:
        request = AuditRequest(since=since, limit=limit, prove=prove)
        return await ask(self.member.party.channel, messages.AUDIT, request)

    async def _cosigners(self) -> tuple[str, ...]:
        """Compare every checkpoint cosigned in an approval; the names of those holders."""
        try:
            seen = await self.member.tallies(0)
        except Unavailable:
            return ()  # a locked authority shows its log, but not the tallies behind the barrier
        verdicts = [a for one in seen for a in (*one.approvals, *one.rejections) if a.checkpoint]
        verdicts.sort(key=lambda verdict: cosigned_sizes([verdict]))
        vouching: list[Approval] = []
        for start in range(0, len(verdicts), _PROVEN_AT_ONCE):
            vouching += await self._compare(verdicts[start : start + _PROVEN_AT_ONCE])
        with self.member.party.store.reading() as reader:
            chain = self.member.load(reader)
        put_to = {one.id: chain.for_proposal(one.proposal) for one in seen}
        names = {str(put_to[one.proposal].holder(one.holder).name) for one in vouching}
        return tuple(sorted(names))

    async def _compare(self, verdicts: Sequence[Approval]) -> list[Approval]:
        """Some checkpoints that other holders were shown, each with a proof, with our own.

        Returns the verdicts that vouch for our log.
        """
        with self.member.party.store.reading() as reader:
            chain = self.member.load(reader)
            size = load_witness(reader, chain.current).size
        reply = await self._audit_page(0, (size, *cosigned_sizes(verdicts)), limit=0)
        with self.member.taking(reply.checkpoint.encode()) as tx:
            proofs = proofs_by_size(reply.proofs)
            witness = advance(load_witness(tx, chain.current), reply.checkpoint, proofs)
            lines = load_lines(tx)
            vouching = compare_cosigned(witness, verdicts, proofs, lines, chain.current.domain)
            store_witness(tx, witness)
        return vouching
