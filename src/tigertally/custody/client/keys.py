"""A holder proposes to make, rotate or destroy a key; the same command again goes on with it."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, Name, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client import rows
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.known import check_not_given_up, fetch_keys, newest_usable
from tigertally.custody.messages.kinds import (
    CREATE,
    DESTROY,
    ROTATE,
    Create,
    Destroy,
    Making,
    Rotate,
    parse_destroy,
    parse_making,
)
from tigertally.custody.messages.sync import KeyInfo
from tigertally.quorum.member.client import Synced
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import open_proposal, parsed_body, proposal_id
from tigertally.quorum.roster import Roster

ASKED = "holder-asked"  # what was asked for -> proposal id

Wanted = Making | Destroy


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for a key, and the proposal that asks for it."""

    id: ProposalId
    body: Wanted
    what: Hash


class KeyProposals:
    """A holder's proposals of keys, of versions, and of the end of keys.

    `propose_or_resume` (or `rotate_or_resume`); `state_of` until it is done; then `forget`.
    """

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.member = holder.member
        self.party = holder.party

    async def propose_or_resume(self, body: Create | Destroy, synced: Synced) -> Asked:
        """Propose this, or find the proposal that this device made for the very same.

        Raises:
            Refused: the holders said no (it is forgotten, so that one may ask again).
        """
        kind = DESTROY if isinstance(body, Destroy) else CREATE
        what = tagged_hash(tags.REQUEST, kind.encode(), body.to_body())
        return await self._resumed(what) or await self._propose(body, what, synced)

    async def rotate_or_resume(self, name: Name, acks: int | None, synced: Synced) -> Asked:
        """Propose the next version of a key on the terms of the last, or go on with that.

        Args:
            acks: other than before; all holders where the number before does not fit any more.

        Raises:
            Refused: no version is active, the holders said no, or other acks are asked for already.
        """
        what = tagged_hash(tags.REQUEST, ROTATE.encode(), name.encode())
        known = await self._resumed(what)
        if known is None:
            body = await self._next_version(name, acks, synced.roster)
            return await self._propose(body, what, synced)
        if isinstance(known.body, Rotate) and acks not in (None, known.body.acks):
            raise Refused(f"a rotation of {name} with --acks {known.body.acks} is under way")
        return known

    async def _next_version(self, name: Name, acks: int | None, roster: Roster) -> Rotate:
        known = await fetch_keys(self.party, name)
        before = newest_usable(known, name)
        fits = roster.threshold <= before.acks <= len(roster.holders)
        return Rotate(
            key=name,
            version=known[-1].ref.version + 1,
            suite=before.known_suite(),
            acks=acks or (before.acks if fits else len(roster.holders)),
            options=before.options,
        )

    async def _resumed(self, what: Hash) -> Asked | None:
        with self.party.store.reading() as reader:
            row = reader.get(ASKED, what)
        if row is None:
            return None
        state = await self._state_if_known(ProposalId(row))
        if state is not None and state.status in (Status.PENDING, Status.COMPLETE):
            return Asked(id=ProposalId(row), body=_body_of(state.proposal), what=what)
        self._drop_asked(what, ProposalId(row))
        if state is not None and state.status is Status.REJECTED:
            raise Refused(f"the holders rejected this; {self.member.why_ended(state)}")
        return None

    async def _state_if_known(self, id_: ProposalId) -> ProposalState | None:
        """None where the authority never got the proposal: this device was cut off before."""
        try:
            return await self.member.proposal(id_)
        except Refused:
            return None

    async def _propose(self, body: Wanted, what: Hash, synced: Synced) -> Asked:
        """Remember the proposal, then hand it in: whatever happens between, it is found again."""
        proposal = self.member.new_proposal(_kind_of(body), body.to_body(), synced.roster)
        asked = Asked(id=proposal_id(proposal), body=body, what=what)
        with self.party.store.transaction() as tx:
            tx.put(ASKED, what, asked.id)
        try:
            if isinstance(body, Destroy):
                await self.member.propose_with_yes(proposal, synced)
            else:
                await self.holder.dealings.create_key(body, synced, proposal=proposal)
        except Refused:
            self.forget(asked)
            raise
        return asked

    def forget(self, asked: Asked) -> None:
        """It is done: the same command again asks for another."""
        self._drop_asked(asked.what, asked.id)

    def _drop_asked(self, what: Hash, id_: ProposalId) -> None:
        with self.party.store.transaction() as tx:
            tx.delete(ASKED, what)
            rows.drop_dealt(tx, id_)

    async def state_of(self, asked: Asked) -> str:
        """`waiting` for approvals, then the state of the key.

        Raises:
            Refused: the proposal was rejected, expired, or has become impossible; or the key was
                given up. It is forgotten, so that one may ask again.
        """
        state = await self.member.proposal(asked.id)
        if state.status is Status.PENDING:
            return "waiting"
        if state.status is not Status.COMPLETE:
            self.forget(asked)
            raise Refused(f"the proposal is {state.status.value}; {self.member.why_ended(state)}")
        found = await self.concerned(asked)
        if found:
            return found[-1].state
        if not isinstance(asked.body, Destroy):
            try:
                check_not_given_up(state.proposal, self.member.chain())
            except Refused:
                self.forget(asked)
                raise
        return "pending"

    async def concerned(self, asked: Asked) -> list[KeyInfo]:
        """The versions that are made or destroyed."""
        known = await fetch_keys(self.party, asked.body.key)
        if isinstance(asked.body, Destroy):
            return [info for info in known if asked.body.covers(info.ref)]
        return [info for info in known if info.ref == asked.body.ref]


def _kind_of(body: Wanted) -> Name:
    if isinstance(body, Destroy):
        return DESTROY
    return ROTATE if isinstance(body, Rotate) else CREATE


def _body_of(envelope: Envelope) -> Wanted:
    proposal = open_proposal(envelope)
    if proposal.kind == DESTROY:
        body: Destroy = parsed_body(parse_destroy, proposal)
        return body
    return parse_making(proposal)
