"""Becoming a member: the founder with the PIN, everybody else with the members' approval (C8).

Steps as in `docs/protocols/enrolment.md`. The authority's fingerprint comes out of band; until it
is checked nothing is sent. What is pending stands in the joiner's own sealed store, so the same
command again goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.base.codec import decode
from tigertally.base.errors import InvalidSignature, PeerFault, Refused
from tigertally.base.ids import Fingerprint, HolderIndex, Name, RosterHash
from tigertally.base.text import PlainText
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.quorum import messages
from tigertally.quorum.card import Role, open_card, sign_card
from tigertally.quorum.chain import Chain, found
from tigertally.quorum.changes import JOIN, REQUESTER_JOIN, join_body
from tigertally.quorum.enrolment import check_reply, found_request, found_roster
from tigertally.quorum.member.client import MemberClient, Party
from tigertally.quorum.member.memory import ROSTERS, authority_says, store_chain, take_rosters
from tigertally.quorum.member.ongoing import Ongoings
from tigertally.quorum.messages import (
    DomainInfo,
    Nothing,
    ProposalState,
    RostersRequest,
)
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.roster import Roster, open_from_holder
from tigertally.storage.table import RAW, Table, message
from tigertally.transport.channel import Channel
from tigertally.transport.door import ask

PENDING = Table("joining", RAW, message(Envelope))  # one row: the proposal that asks for us
_ROW = b"proposal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """How a holder pulls another in: where the domain is, how to recognise it, who invites."""

    url: str
    authority: Fingerprint
    roster: RosterHash
    inviter: HolderIndex
    inviter_name: Name
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """How far the enrolment is. `roster` is the newest verified one, once we are in it."""

    state: str
    proposal: bytes
    roster: Roster | None


async def fetch_domain(channel: Channel, authority: Fingerprint) -> DomainInfo:
    """Who the authority is; checked against the fingerprint that came out of band.

    Raises:
        InvalidSignature: it is another one.
    """
    info = await ask(channel, messages.DOMAIN, Nothing())
    card = open_card(info.card)
    if card.fingerprint != authority or card.role is not Role.AUTHORITY:
        raise InvalidSignature("the server is not the authority with that fingerprint")
    return info


def check_roster_hash(chain: Chain, wanted: RosterHash | None) -> None:
    """Is the roster that was given out of band part of this chain? Raises `PeerFault`."""
    if wanted is None:
        return
    try:
        chain.at(wanted)
    except Refused as error:
        raise PeerFault(
            "the domain's roster is not the one that was given out of band",
            culprits=("authority",),
        ) from error


def sign_invitation(key: SigningKey, invitation: Invitation) -> Envelope:
    """Sign an invitation as the holder who pulls somebody in."""
    return sign_message(key, tags.INVITATION, invitation)


def parse_invitation(raw: bytes, *, now: int) -> Invitation:
    """Read an invitation file. Its signature is checked once the roster is known.

    Raises:
        MalformedMessage
        Refused: it has expired.
    """
    invitation = decode(Invitation, decode(Envelope, raw).body)
    if now >= invitation.expires:
        raise Refused("the invitation has expired: ask for a new one")
    return invitation


def check_invitation(raw: bytes, roster: Roster) -> None:
    """Did the inviter, as the roster lists it, sign this invitation?

    Raises:
        MalformedMessage, InvalidSignature, Refused
    """
    open_from_holder(
        Invitation,
        tags.INVITATION,
        decode(Envelope, raw),
        roster,
        lambda said: said.inviter,
    )


class JoiningClient:
    """One device's enrolment."""

    def __init__(self, party: Party, *, name: Name, role: Role, authority: VerifyKey) -> None:
        self._member = MemberClient(party)
        self._ongoings = Ongoings(self._member, PENDING)
        self._party = party
        self._authority = authority
        self._role = role
        self._card = sign_card(party.key, party.wrapping_key.public, name=name, role=role)

    async def with_pin(self, pin: str, *, wanted: RosterHash | None = None) -> Joined:
        """The first holder: found the domain.

        Raises:
            Refused: a wrong or void PIN; or there is a founder already.
        """
        party = self._party
        info = await fetch_domain(party.channel, self._authority.fingerprint)
        roster = found_roster(
            info.card,
            open_card(self._card),
            threshold=info.threshold,
            unlock=info.unlock,
            created=party.clock.now(),
        )
        request = found_request(party.key, self._card, roster, info.card, pin)
        reply = await ask(party.channel, messages.FOUND, request)
        check_reply(pin, reply.roster, reply.proof, roster)
        chain = found(reply.roster, self._authority)
        check_roster_hash(chain, wanted)
        with party.store.transaction() as tx:
            store_chain(tx, chain)
        return Joined(state="enrolled", proposal=b"", roster=chain.current)

    async def enrolled_already(self) -> Joined | None:
        """We are in a roster that we have verified before: nothing to ask for."""
        with self._party.store.reading() as reader:
            if reader.get(ROSTERS, (1).to_bytes(4, "big")) is None:
                return None
        return Joined(state="enrolled", proposal=b"", roster=(await self.fetch()).current)

    async def ask(self, *, invited_by: str = "", wanted: RosterHash | None = None) -> Joined:
        """Ask the members to let us in, or see how our asking stands.

        Args:
            wanted: a roster hash given out of band; the chain must have it.

        Raises:
            Refused: they said no (it is forgotten, so that one may ask again).
            PeerFault: as `fetch`.
        """
        state = await self._known()
        if state is None:
            state = await self._propose(invited_by)
        id_ = proposal_id(state.proposal)
        if state.status is Status.PENDING:
            return Joined(state="waiting", proposal=id_, roster=None)
        if state.status is Status.COMPLETE:
            chain = await self.fetch(wanted=wanted)  # forgotten only once we have the rosters
            self._ongoings.forget(_ROW, state.proposal)
            return Joined(state="enrolled", proposal=id_, roster=chain.current)
        self._ongoings.forget(_ROW, state.proposal)
        raise Refused(f"the enrolment is {state.status.value}; {authority_says(state.why)}")

    async def _known(self) -> ProposalState | None:
        """The state of the proposal that we made before, if it is still worth anything."""
        proposal = self._ongoings.known(_ROW)
        if proposal is None:
            return None
        state = await self._ongoings.state_of(proposal_id(proposal))
        if state is None or state.status in (Status.EXPIRED, Status.VOID):
            self._ongoings.forget(_ROW, proposal)
            return None
        return state

    async def _propose(self, invited_by: str) -> ProposalState:
        terms = await ask(self._party.channel, messages.TERMS, Nothing())
        kind = JOIN if self._role is Role.HOLDER else REQUESTER_JOIN
        proposal = self._member.proposal_to(
            kind,
            join_body(self._card, invited_by=PlainText(invited_by)),
            domain=terms.domain,
            electorate=terms.electorate,
            predecessor=terms.roster,
        )
        self._ongoings.keep(_ROW, proposal)
        return await self._member.propose(proposal)

    async def fetch(self, *, wanted: RosterHash | None = None) -> Chain:
        """Fetch and verify the roster chain, in which we must now stand with our own keys.

        Raises:
            PeerFault: the chain does not verify, or lists us with other keys.
        """
        party = self._party
        reply = await ask(party.channel, messages.ROSTERS, RostersRequest(after=0))
        with party.store.transaction() as tx:
            chain = take_rosters(tx, reply.rosters, self._authority)
            check_roster_hash(chain, wanted)
            self._check_listed(chain.current)
        return chain

    def _check_listed(self, roster: Roster) -> None:
        mine = open_card(self._card)
        listed = roster.holder_of(mine.signing_key) or roster.requester_of(mine.signing_key)
        if listed is None or listed.wrapping_key != mine.wrapping_key or listed.name != mine.name:
            raise PeerFault(
                "the roster does not list this device as it is", culprits=("authority",)
            )
