"""A holder proposes a key; the same command again finds its proposal and goes on."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, Name, ProposalId
from tigertally.custody.client import rows
from tigertally.custody.client.holder import HolderClient
from tigertally.custody.messages.bodies import CREATE, Create
from tigertally.custody.messages.sync import KEYS, KeysReply, KeysRequest
from tigertally.quorum.client import Synced
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id

ASKED = "holder-asked"  # what was asked for -> proposal id


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A key that was asked for, and the proposal that asks for it."""

    id: ProposalId
    body: Create
    what: Hash


class CreatingClient(HolderClient):
    """Proposing keys."""

    async def propose_or_resume(self, body: Create, synced: Synced) -> Asked:
        """Propose a key, or find the proposal that this device made for the very same one.

        Raises:
            Refused: the holders said no (it is forgotten, so that one may ask again).
        """
        what = tagged_hash(tags.REQUEST, CREATE.encode(), body.to_body())
        with self.party.store.reading() as reader:
            row = reader.get(ASKED, what)
        if row is not None:
            known = Asked(id=ProposalId(row), body=body, what=what)
            state = await self._state_if_known(known)
            if state is not None and state.status in (Status.PENDING, Status.COMPLETE):
                return known
            self.forget(known)
            if state is not None and state.status is Status.REJECTED:
                raise Refused(f"the holders rejected this key: {state.why}")
        return await self._propose(body, what, synced)

    async def _state_if_known(self, asked: Asked) -> ProposalState | None:
        """None where the authority never got the proposal: this device was cut off before."""
        try:
            return await self.proposal(asked.id)
        except Refused:
            return None

    async def _propose(self, body: Create, what: Hash, synced: Synced) -> Asked:
        """Remember the proposal, then hand it in: whatever happens between, it is found again."""
        proposal = self.new_proposal(Name(CREATE), body.to_body(), synced.roster)
        asked = Asked(id=proposal_id(proposal), body=body, what=what)
        self._keep(ASKED, what, asked.id)
        try:
            await self.create_key(body, synced, proposal=proposal)
        except Refused:
            self.forget(asked)
            raise
        return asked

    def forget(self, asked: Asked) -> None:
        """The key is there: the same command again asks for another."""
        with self.party.store.transaction() as tx:
            tx.delete(ASKED, asked.what)
            rows.drop_dealt(tx, asked.id)

    async def state_of(self, asked: Asked) -> str:
        """`waiting` for approvals, then the key's own state.

        Raises:
            Refused: the proposal was rejected, expired, or has become impossible.
        """
        state = await self.proposal(asked.id)
        if state.status is Status.PENDING:
            return "waiting"
        if state.status is not Status.COMPLETE:
            self.forget(asked)
            raise Refused(f"the proposal is {state.status.value}: {state.why}")
        raw = await self.party.channel.call(KEYS, encode(KeysRequest(name=asked.body.key)))
        found = [info for info in decode(KeysReply, raw).keys if info.ref == asked.body.ref]
        return found[0].state if found else "pending"
