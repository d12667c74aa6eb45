"""A holder unlocks the authority: steps (2) to (5) of `docs/protocols/lock-and-unlock.md`."""

from __future__ import annotations

from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused, TigertallyError
from tigertally.crypto.envelope import Envelope
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
    answer_challenge,
    open_challenge,
    refuse_challenge,
)
from tigertally.quorum.chain import Chain
from tigertally.quorum.client import MemberClient
from tigertally.quorum.conviction import check_not_convicted
from tigertally.quorum.member import (
    advance,
    load_chain,
    load_witness,
    proofs_by_size,
    store_witness,
    take_rosters,
)


class UnlockingClient(MemberClient):
    """Gives the authority its barrier key back, if it is in the state that this device knows."""

    async def unlock(self, *, wrong_passphrases: int) -> AnswerReply:
        """Answer one unlock challenge.

        Args:
            wrong_passphrases: how often this device was tried with a wrong one; goes to the audit.

        Raises:
            Refused: the authority does not let this device unlock, or shows an older roster than
                this device knows (it is told so, and adopts the newer chain).
            PeerFault: the authority forked its rosters, or its audit log was cut or rewritten.
        """
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
        raw = await party.channel.call(UNLOCK_CHALLENGE, encode(request))
        reply = decode(ChallengeReply, raw)
        authority = chain.current.authority.signing_key
        challenge = open_challenge(reply.challenge, authority)  # (2) the authority asks
        try:
            chain = self._checked(challenge, reply)
        except TigertallyError as error:
            await self._refuse(reply.challenge, challenge, chain, error)
            raise
        answer = answer_challenge(
            reply.challenge,
            challenge,
            sealed=reply.sealed,
            electorate=reply.electorate,
            holder=self.me(chain.current).index,
            long_term=party.wrapping_key,
            key=party.key,
        )
        sent = AnswerRequest(answer=answer, rosters=())
        return decode(AnswerReply, await party.channel.call(UNLOCK_ANSWER, encode(sent)))

    def _checked(self, challenge: Challenge, reply: ChallengeReply) -> Chain:
        """(3) the newest roster that we know or a successor; (4) a log that goes on from ours."""
        with self.taking(encode(reply)) as tx:
            chain = load_chain(tx)
            chain = take_rosters(tx, reply.rosters, chain.current.authority.signing_key)
            if challenge.domain != chain.current.domain:
                raise PeerFault("the challenge is of another domain", culprits=("authority",))
            if challenge.roster != chain.current.hash:
                raise Refused(
                    f"the authority shows an older roster than version {chain.current.version}, "
                    "which this device knows: was it restored from an old back-up?"
                )
            witness = load_witness(tx, chain.current)
            witness = advance(witness, challenge.checkpoint, proofs_by_size(reply.proofs))
            store_witness(tx, witness)
        return chain

    async def _refuse(
        self, envelope: Envelope, challenge: Challenge, chain: Chain, error: TigertallyError
    ) -> None:
        """(5') Say why not, and bring the newer rosters, so that the authority can adopt them."""
        answer = refuse_challenge(
            envelope,
            challenge,
            holder=self.me(chain.current).index,
            roster=chain.current,
            why=str(error),
            key=self.party.key,
        )
        sent = AnswerRequest(answer=answer, rosters=chain.signed)
        await self.party.channel.call(UNLOCK_ANSWER, encode(sent))
