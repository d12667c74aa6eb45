"""A holder unlocks the authority: steps (2) to (5) of `docs/protocols/lock-and-unlock.md`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.witness import Witness
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused, TigertallyError
from tigertally.base.ids import DomainId
from tigertally.custody.client.restored import tell_restored
from tigertally.custody.messages.lock import (
    UNLOCK_ANSWER,
    UNLOCK_CHALLENGE,
    AnswerReply,
    AnswerRequest,
    Challenge,
    ChallengeReply,
    ChallengeRequest,
)
from tigertally.custody.protocol.lock import (
    accept_only,
    answer_challenge,
    open_challenge,
    refuse_challenge,
)
from tigertally.quorum import messages
from tigertally.quorum.chain import Chain
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.member.conviction import check_not_convicted
from tigertally.quorum.member.memory import advance, load_chain, proofs_by_size, take_rosters
from tigertally.quorum.member.witness import (
    follow,
    load_witness,
    not_accepted,
    open_records,
    restoration_of,
    rolls_back,
    store_witness,
)
from tigertally.quorum.messages import RestorationsReply
from tigertally.quorum.restoration import Acceptance, Restoration, sign_acceptance
from tigertally.storage.store import Transaction
from tigertally.transport.door import ask


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A challenge, and what we knew when we asked for it."""

    chain: Chain
    witness: Witness
    reply: ChallengeReply
    challenge: Challenge


class Unlock:
    """Gives the authority its barrier key back, if it is in the state that this device knows."""

    def __init__(self, member: MemberClient) -> None:
        self.member = member
        self.party = member.party

    async def answer(self, *, wrong_passphrases: int, accept_rollback: bool = False) -> AnswerReply:
        """Answer one unlock challenge.

        Args:
            wrong_passphrases: how often this device was tried with a wrong one; goes to the audit.
            accept_rollback: the person accepts a restored state that is older than what this
                device has seen of the log. Never accepts an older roster.

        Raises:
            Refused: the authority does not let this device unlock, or shows an older roster than
                this device knows (it is told so, and adopts the newer chain).
            PeerFault: the authority forked its rosters, or its audit log was cut or rewritten, or
                it was restored and `accept_rollback` is missing.
        """
        asked = await self._ask(wrong_passphrases)
        shown = await self._restorations(asked)
        if shown and self._follow(asked, shown):
            asked, shown = await self._ask(0), b""
        chain, restoration = asked.chain, None
        try:
            chain = self._checked_rosters(asked)
            if shown:
                restoration = self._checked_restore(asked, shown, accept_rollback=accept_rollback)
            else:
                self._checked_log(asked)
        except TigertallyError as error:
            await self._refuse(asked, chain, error)
            raise
        return await self._answer(asked, chain, restoration)

    async def _ask(self, wrong_passphrases: int) -> _Asked:
        party = self.party
        with party.store.reading() as reader:
            check_not_convicted(reader)
            chain = load_chain(reader)
            witness = load_witness(reader, chain.current)
        request = ChallengeRequest(
            roster_version=len(chain.signed),
            checkpoint_size=witness.size,
            wrong_passphrases=wrong_passphrases,
        )
        reply = await ask(party.channel, UNLOCK_CHALLENGE, request)
        authority = chain.current.authority.signing_key
        challenge = open_challenge(reply.challenge, authority)  # (2) the authority asks
        return _Asked(chain=chain, witness=witness, reply=reply, challenge=challenge)

    async def _restorations(self, asked: _Asked) -> bytes:
        """If the challenge shows another log than ours: what the authority says about restores."""
        if _origin(asked.challenge) == asked.witness.origin:
            return b""
        return await self.party.channel.call(messages.RESTORATIONS, encode(messages.Nothing()))

    def _follow(self, asked: _Asked, shown: bytes) -> bool:
        """Have enough others accepted already? Then follow; nothing is left to accept."""
        records = decode(RestorationsReply, shown).records
        try:
            with self.party.store.transaction() as tx:
                chain = self._taken(tx, asked)
                known = len(asked.chain.signed)
                follow(tx, records, _origin(asked.challenge), chain, known_version=known)
        except TigertallyError:
            return False  # what is wrong with it comes out when it is judged
        return True

    def _taken(self, tx: Transaction, asked: _Asked) -> Chain:
        authority = asked.chain.current.authority.signing_key
        return take_rosters(tx, asked.reply.rosters, authority)

    def _checked_rosters(self, asked: _Asked) -> Chain:
        """(3) The newest roster that we know, or a successor."""
        challenge = asked.challenge
        with self.member.taking(encode(asked.reply)) as tx:
            chain = self._taken(tx, asked)
            if challenge.domain != chain.current.domain:
                raise PeerFault("the challenge is of another domain", culprits=("authority",))
            if challenge.roster != chain.current.hash:
                raise Refused(
                    f"the authority shows an older roster than version {chain.current.version}, "
                    "which this device knows: was it restored from an old back-up?"
                )
        return chain

    def _checked_log(self, asked: _Asked) -> None:
        """(4) A log that goes on from ours."""
        with self.member.taking(encode(asked.reply)) as tx:
            chain = load_chain(tx)
            witness = load_witness(tx, chain.current)
            witness = advance(
                witness, asked.challenge.checkpoint, proofs_by_size(asked.reply.proofs)
            )
            store_witness(tx, witness)

    def _checked_restore(
        self, asked: _Asked, shown: bytes, *, accept_rollback: bool
    ) -> Restoration:
        """(4') The log of a restored authority. We follow to it only when enough have accepted."""
        origin = _origin(asked.challenge)
        witness = asked.witness
        with self.member.taking(shown):
            opened = open_records(decode(RestorationsReply, shown).records, witness.key)
            restoration, _ = restoration_of(opened, origin)
            domain = DomainId(asked.chain.current.domain)
            back = rolls_back(witness, opened, origin, domain)
            if back and not accept_rollback:
                raise not_accepted(restoration, witness, back=True)
            from_here = restoration.checkpoint if back else witness.newest
            if from_here is None or from_here.checkpoint.size:
                going_on = replace(witness, origin=origin, newest=from_here)
                advance(going_on, asked.challenge.checkpoint, proofs_by_size(asked.reply.proofs))
        return restoration

    async def _answer(
        self, asked: _Asked, chain: Chain, restoration: Restoration | None
    ) -> AnswerReply:
        """(5) Our part of the barrier key; to a restored authority also what we hold and accept."""
        party = self.party
        me = self.member.me(chain.current).index
        acceptance = None
        if restoration is not None:
            await tell_restored(party, me)
            newest = asked.witness.newest
            acceptance = sign_acceptance(
                party.key,
                Acceptance(
                    domain=restoration.domain,
                    restoration=restoration.hash,
                    holder=me,
                    roster=chain.current.hash,
                    seen="" if newest is None else newest.to_text(),
                    time=party.clock.now(),
                ),
            )
        challenge, envelope = asked.challenge, asked.reply.challenge
        if restoration is not None and not asked.reply.sealed:
            answer = accept_only(envelope, challenge, holder=me, key=party.key)
        else:
            answer = answer_challenge(
                envelope,
                challenge,
                sealed=asked.reply.sealed,
                electorate=asked.reply.electorate,
                holder=me,
                long_term=party.wrapping_key,
                key=party.key,
            )
        sent = AnswerRequest(answer=answer, rosters=(), acceptance=acceptance)
        return await ask(party.channel, UNLOCK_ANSWER, sent)

    async def _refuse(self, asked: _Asked, chain: Chain, error: TigertallyError) -> None:
        """(5') Say why not, and bring the newer rosters, so that the authority can adopt them."""
        answer = refuse_challenge(
            asked.reply.challenge,
            asked.challenge,
            holder=self.member.me(chain.current).index,
            roster=chain.current,
            why=str(error),
            key=self.party.key,
        )
        sent = AnswerRequest(answer=answer, rosters=chain.signed)
        await ask(self.party.channel, UNLOCK_ANSWER, sent)


def _origin(challenge: Challenge) -> str:
    return SignedCheckpoint.from_text(challenge.checkpoint).checkpoint.origin
