"""A device tells a restored authority what it holds, so that nothing certified is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from tigertally.base.codec import encode
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.custody.client import rows
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.lock import (
    UNLOCK_ANSWER,
    UNLOCK_CHALLENGE,
    UNLOCK_REPORT,
    AnswerRequest,
    ChallengeRequest,
    EpochClaim,
    KeyTerms,
    ReportRequest,
)
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.v1 import UNLOCK_REPORT_V1, ReportRequestV1
from tigertally.custody.protocol.lock import open_challenge, refuse_challenge
from tigertally.custody.protocol.receiver import acknowledge_again
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.member.client import Party
from tigertally.quorum.member.memory import load_chain
from tigertally.quorum.member.versions import Before, unchanged
from tigertally.quorum.member.witness import owes_report, reported
from tigertally.quorum.messages import Nothing
from tigertally.storage.store import Reader
from tigertally.transport.door import ask

_PAGE_BYTES = MAX_MESSAGE_BYTES // 4


_BEFORE: Before[ReportRequest, Nothing] = Before(
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
    request = ChallengeRequest(
        roster_version=len(chain.signed), checkpoint_size=0, wrong_passphrases=0
    )
    reply = await ask(party.channel, UNLOCK_CHALLENGE, request)
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
    await ask(party.channel, UNLOCK_ANSWER, AnswerRequest(answer=answer, rosters=chain.signed))


async def tell_restored(party: Party, me: HolderIndex) -> None:
    """Send every epoch on this device, with our acknowledgement and its certificate if known.

    But no attempt to make a key in whose place we have taken a later one: it was ended, and we
    would not believe its certificate.
    """
    with party.store.reading() as reader:
        held = [one for one in rows.all_held(reader) if not _ended(reader, one)]
        claims = [_claim(reader, party, me, one) for one in held]
    for page in _pages(claims):
        await party.ask(UNLOCK_REPORT, ReportRequest(claims=page), _BEFORE)


def _ended(reader: Reader, held: HeldEpoch) -> bool:
    statement = held.parsed()
    if held.certificate is not None or statement.base is not None:
        return False
    others = (one.parsed() for one in rows.Held(reader).of_any(statement.keys))
    return any(one.base is None and one.order > statement.order for one in others)


def _claim(reader: Reader, party: Party, me: HolderIndex, held: HeldEpoch) -> EpochClaim:
    return EpochClaim(
        statement=held.statement,
        certificate=held.certificate,
        acknowledgement=acknowledge_again(held, me, key=party.key, now=party.clock.now()),
        terms=tuple(_terms(reader, ref) for ref in held.parsed().keys),
    )


def _terms(reader: Reader, ref: KeyRef) -> KeyTerms:
    said = rows.TERMS.get(reader, ref)
    options = KeyOptions.of() if said is None else said.options
    return KeyTerms(options=options, making=rows.MAKINGS.get(reader, ref))


def _pages(claims: list[EpochClaim]) -> Iterator[tuple[EpochClaim, ...]]:
    page: list[EpochClaim] = []
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
