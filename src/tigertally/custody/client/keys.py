"""The domain's keys, and how a holder proposes to make, rotate or destroy one.

What the authority tells of them is its word: nothing secret rests on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, Name, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client import rows
from tigertally.custody.client.holder import Holder
from tigertally.custody.messages import kinds
from tigertally.custody.messages.sync import KEYS, KeyInfo, KeysReply, KeysRequest
from tigertally.custody.messages.v1 import KEYS_V1, KeysReplyV1
from tigertally.custody.state.authority import KeyState, not_usable
from tigertally.quorum.chain import Chain
from tigertally.quorum.member.client import Party, Synced
from tigertally.quorum.member.ongoing import Ongoings
from tigertally.quorum.member.versions import Before, unchanged
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import open_proposal, parsed_body, proposal_id
from tigertally.quorum.roster import Roster
from tigertally.storage.table import Table, fixed

_USABLE = frozenset(state.value for state in KeyState if state.usable)
_BEFORE: Before[KeysRequest, KeysReply] = Before(
    door=KEYS_V1, question=unchanged, answer=KeysReplyV1.today
)


async def fetch_keys(party: Party, name: Name | None = None) -> tuple[KeyInfo, ...]:
    """All keys, or all versions of one, in order.

    Raises:
        Damaged: the authority cannot read a version of the one asked for.
    """
    return (await ask_keys(party, name)).keys


async def ask_keys(party: Party, name: Name | None = None) -> KeysReply:
    """The same, and how many the authority cannot read."""
    reply, _ = await party.ask(KEYS, KeysRequest(name=name), _BEFORE)
    return reply


def check_not_given_up(making: Envelope, chain: Chain) -> None:
    """Of a key that was approved and is not there: is it still to come?

    A key is there from its approval on, until it is made or given up.

    Raises:
        Refused: the holders have changed, and it could not be finished for those of before.
    """
    if chain.changed_since(open_proposal(making).electorate):
        raise Refused(
            "the holders or the quorum changed before the key was made, and it was given up",
            advice="the same command again proposes it to today's holders",
        )


def is_usable(info: KeyInfo) -> bool:
    """Say whether a key may be released; one in a state that only newer programs know may not."""
    return info.state in _USABLE


def newest_usable(known: Sequence[KeyInfo], name: Name) -> KeyInfo:
    """The newest version that can be released.

    Raises:
        Refused: there is no such key, or none of its versions is active.
    """
    usable = [info for info in known if is_usable(info)]
    if usable:
        return usable[-1]
    if not known:
        raise Refused(f"there is no key {name} (yet)", advice="see `tally key list`")
    raise not_usable(known[-1].ref, known[-1].state)


ASKED = Table("holder-asked", fixed(Hash), fixed(ProposalId))  # what was asked for -> its id

Wanted = kinds.Making | kinds.Destroy


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
        self.ongoings = Ongoings(self.member, ASKED, besides=rows.drop_dealt)

    async def propose_or_resume(self, body: kinds.Create | kinds.Destroy, synced: Synced) -> Asked:
        """Propose this, or find the proposal that this device made for the very same.

        Raises:
            Refused: the holders said no (it is forgotten, so that one may ask again).
        """
        kind = kinds.DESTROY if isinstance(body, kinds.Destroy) else kinds.CREATE
        what = tagged_hash(tags.REQUEST, kind.encode(), body.to_body())
        return await self._resumed(what) or await self._propose(body, what, synced)

    async def rotate_or_resume(self, name: Name, acks: int | None, synced: Synced) -> Asked:
        """Propose the next version of a key on the terms of the last, or go on with that.

        Args:
            acks: other than before; all holders where the number before does not fit any more.

        Raises:
            Refused: no version is active, the holders said no, or other acks are asked for already.
        """
        what = tagged_hash(tags.REQUEST, kinds.ROTATE.encode(), name.encode())
        known = await self._resumed(what)
        if known is None:
            body = await self._next_version(name, acks, synced.roster)
            return await self._propose(body, what, synced)
        if isinstance(known.body, kinds.Rotate) and acks not in (None, known.body.acks):
            raise Refused(f"a rotation of {name} with --acks {known.body.acks} is under way")
        return known

    async def _next_version(self, name: Name, acks: int | None, roster: Roster) -> kinds.Rotate:
        known = await fetch_keys(self.party, name)
        before = newest_usable(known, name)
        fits = roster.threshold <= before.acks <= len(roster.holders)
        return kinds.Rotate(
            key=name,
            version=known[-1].ref.version + 1,
            suite=before.known_suite(),
            acks=acks or (before.acks if fits else len(roster.holders)),
            options=before.options,
        )

    async def _resumed(self, what: Hash) -> Asked | None:
        known = await self.ongoings.resume(
            what, self.ongoings.state_of, rejected="the holders rejected this"
        )
        return None if known is None else _asked(what, known[1])

    async def _propose(self, body: Wanted, what: Hash, synced: Synced) -> Asked:
        proposal = self.member.new_proposal(_kind_of(body), body.to_body(), synced.roster)

        async def hand_in() -> ProposalState:
            if isinstance(body, kinds.Destroy):
                return await self.member.propose_with_yes(proposal, synced)
            return await self.holder.dealings.create_key(body, synced, proposal=proposal)

        return _asked(what, await self.ongoings.begin(what, proposal_id(proposal), hand_in))

    def forget(self, asked: Asked) -> None:
        """It is done: the same command again asks for another."""
        self.ongoings.forget(asked.what, asked.id)

    async def state_of(self, asked: Asked) -> str:
        """`waiting` for approvals, then the state of the key.

        Raises:
            Refused: the proposal was rejected, expired, or has become impossible; or the key was
                given up. It is forgotten, so that one may ask again.
        """
        state = await self.member.proposal(asked.id)
        if state.status is Status.PENDING:
            return "waiting"
        self.ongoings.check_alive(asked.what, asked.id, state, "the proposal")
        found = await self.concerned(asked)
        if found:
            return found[-1].state
        if not isinstance(asked.body, kinds.Destroy):
            try:
                check_not_given_up(state.proposal, self.member.chain())
            except Refused:
                self.forget(asked)
                raise
        return "pending"

    async def concerned(self, asked: Asked) -> list[KeyInfo]:
        """The versions that are made or destroyed."""
        known = await fetch_keys(self.party, asked.body.key)
        if isinstance(asked.body, kinds.Destroy):
            return [info for info in known if asked.body.covers(info.ref)]
        return [info for info in known if info.ref == asked.body.ref]


def _kind_of(body: Wanted) -> Name:
    if isinstance(body, kinds.Destroy):
        return kinds.DESTROY
    return kinds.ROTATE if isinstance(body, kinds.Rotate) else kinds.CREATE


def _asked(what: Hash, state: ProposalState) -> Asked:
    proposal = open_proposal(state.proposal)
    is_end = proposal.kind == kinds.DESTROY
    body: Wanted = (
        parsed_body(kinds.parse_destroy, proposal) if is_end else kinds.parse_making(proposal)
    )
    return Asked(id=proposal_id(state.proposal), body=body, what=what)
