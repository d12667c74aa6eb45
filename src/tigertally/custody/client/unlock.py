"""A holder unlocks the authority: steps (2) to (5) of `docs/protocols/lock-and-unlock.md`.

And tells one that was restored what this device holds, so that nothing certified is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.witness import Witness
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused, TigertallyError
from tigertally.base.ids import DomainId, HolderIndex
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.custody.client import rows
from tigertally.custody.messages import lock
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.v1 import UNLOCK_REPORT_V1, ReportRequestV1
from tigertally.custody.protocol.lock import (
    accept_only,
    answer_challenge,
    open_challenge,
    refuse_challenge,
)
from tigertally.custody.protocol.receiver import acknowledge_again
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum import messages
from tigertally.quorum.chain import Chain
from tigertally.quorum.member.client import MemberClient, Party
from tigertally.quorum.member.conviction import check_not_convicted
from tigertally.quorum.member.memory import advance, load_chain, proofs_by_size, take_rosters
from tigertally.quorum.member.versions import Before, unchanged
from tigertally.quorum.member.witness import (
    follow,
    load_witness,
    not_accepted,
    open_records,
    owes_report,
    reported,
    restoration_of,
    rolls_back,
    store_witness,
)
from tigertally.quorum.messages import Nothing, RestorationsReply
from tigertally.quorum.restoration import Acceptance, Restoration, sign_acceptance
from tigertally.storage.store import Reader, Transaction
from tigertally.transport.door import ask

_PAGE_BYTES = MAX_MESSAGE_BYTES // 4


_BEFORE: Before[lock.ReportRequest, Nothing] = Before(
    door=UNLOCK_REPORT_V1, question=ReportRequestV1.of, answer=unchanged
)


async def tell_if_restored(party: Party, me: HolderIndex) -> None:
    """Tell an authority that was restored, and that we follow since, what we hold; once."""
    with party.store.reading() as reader:
        if not owes_report(reader):
            return
    await _hand_over_rosters(party, me)
    await tell_restored(party, me)
    with party.store.transaction() as tx:
        reported(tx)
        rows.tell_again(tx)  # it may have lost our signed report too


async def _hand_over_rosters(party: Party, me: HolderIndex) -> None:
    """Bring the rosters that it has lost: else a removed holder would be one again.

    Raises:
        PeerFault: it has signed another roster of that version meanwhile.
    """
    with party.store.reading() as reader:
        chain = load_chain(reader)
    request = lock.ChallengeRequest(
        roster_version=len(chain.signed), checkpoint_size=0, wrong_passphrases=0
    )
    reply = await ask(party.channel, lock.UNLOCK_CHALLENGE, request)
    challenge = open_challenge(reply.challenge, chain.current.authority.signing_key)
    if reply.rosters or challenge.roster == chain.current.hash:
        return
    answer = refuse_challenge(
        reply.challenge,
        challenge,
        holder=me,
        roster=chain.current,
        why=f"it was restored without roster version {chain.current.version}",
        key=party.key,
    )
    sent = lock.AnswerRequest(answer=answer, rosters=chain.signed)
    # Nothing rests on what it says to that: not even a malformed word may end what goes on here.
    await party.channel.call(lock.UNLOCK_ANSWER, encode(sent))


async def tell_restored(party: Party, me: HolderIndex) -> None:
    """Send every epoch on this device, with our acknowledgement and its certificate if known.

    But no attempt to make a key in whose place we have taken a later one: it was ended, and we
    would not believe its certificate.
    """
    with party.store.reading() as reader:
        held = [one for one in rows.all_held(reader) if not _ended(reader, one)]
        claims = [_claim(reader, party, me, one) for one in held]
    for page in _pages(claims):
        await party.ask(lock.UNLOCK_REPORT, lock.ReportRequest(claims=page), _BEFORE)


def _ended(reader: Reader, held: HeldEpoch) -> bool:
    statement = held.parsed()
    if held.certificate is not None or statement.base is not None:
        return False
    others = (one.parsed() for one in rows.Held(reader).of_any(statement.keys))
    return any(one.base is None and one.order > statement.order for one in others)


def _claim(reader: Reader, party: Party, me: HolderIndex, held: HeldEpoch) -> lock.EpochClaim:
    return lock.EpochClaim(
        statement=held.statement,
        certificate=held.certificate,
        acknowledgement=acknowledge_again(held, me, key=party.key, now=party.clock.now()),
        terms=tuple(_terms(reader, ref) for ref in held.parsed().keys),
    )


def _terms(reader: Reader, ref: KeyRef) -> lock.KeyTerms:
    said = rows.TERMS.get(reader, ref)
    options = KeyOptions.of() if said is None else said.options
    return lock.KeyTerms(options=options, making=rows.MAKINGS.get(reader, ref))


def _pages(claims: list[lock.EpochClaim]) -> Iterator[tuple[lock.EpochClaim, ...]]:
    page: list[lock.EpochClaim] = []
    size = 0
    for claim in claims:
        length = len(encode(claim))
        if page and size + length > _PAGE_BYTES:
            yield tuple(page)
            page, size = [], 0
        page.append(claim)
        size += length
    if page:
        yield tuple(page)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A challenge, and what we knew when we asked for it."""

    chain: Chain
    witness: Witness
    reply: lock.ChallengeReply
    challenge: lock.Challenge


class Unlock:
    """Gives the authority its barrier key back, if it is in the state that this device knows."""

    def __init__(self, member: MemberClient) -> None:
        self.member = member
        self.party = member.party

    async def answer(
        self, *, wrong_passphrases: int, accept_rollback: bool = False
    ) -> lock.AnswerReply:
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
        request = lock.ChallengeRequest(
            roster_version=len(chain.signed),
            checkpoint_size=witness.size,
            wrong_passphrases=wrong_passphrases,
        )
        reply = await ask(party.channel, lock.UNLOCK_CHALLENGE, request)
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
    ) -> lock.AnswerReply:
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
        sent = lock.AnswerRequest(answer=answer, rosters=(), acceptance=acceptance)
        return await ask(party.channel, lock.UNLOCK_ANSWER, sent)

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
        sent = lock.AnswerRequest(answer=answer, rosters=chain.signed)
        await self.party.channel.call(lock.UNLOCK_ANSWER, encode(sent))  # what it says is its own


def _origin(challenge: lock.Challenge) -> str:
    return SignedCheckpoint.from_text(challenge.checkpoint).checkpoint.origin
