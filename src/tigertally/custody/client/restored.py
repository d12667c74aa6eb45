"""A device tells a restored authority what it holds, so that nothing certified is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from tigertally.base.codec import encode
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.custody.client import rows
from tigertally.custody.messages.bodies import KeyRef
from tigertally.custody.messages.lock import UNLOCK_REPORT, EpochClaim, KeyTerms, ReportRequest
from tigertally.custody.protocol.holding import acknowledge_again
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.client import Party
from tigertally.quorum.following import owes_report, reported
from tigertally.storage.store import Reader

_PAGE_BYTES = MAX_MESSAGE_BYTES // 4


async def tell_if_restored(party: Party, me: HolderIndex) -> None:
    """Tell an authority that was restored, and that we follow since, what we hold; once."""
    with party.store.reading() as reader:
        if not owes_report(reader):
            return
    await tell_restored(party, me)
    with party.store.transaction() as tx:
        reported(tx)
        rows.tell_again(tx)  # it may have lost our signed report too


async def tell_restored(party: Party, me: HolderIndex) -> None:
    """Send every epoch on this device, with our acknowledgement and its certificate if known."""
    with party.store.reading() as reader:
        claims = [_claim(reader, party, me, held) for held in rows.all_held(reader)]
    for page in _pages(claims):
        await party.channel.call(UNLOCK_REPORT, encode(ReportRequest(claims=page)))


def _claim(reader: Reader, party: Party, me: HolderIndex, held: HeldEpoch) -> EpochClaim:
    return EpochClaim(
        statement=held.statement,
        certificate=held.certificate,
        acknowledgement=acknowledge_again(held, me, key=party.key, now=party.clock.now()),
        terms=tuple(_terms(reader, ref) for ref in held.parsed().keys),
    )


def _terms(reader: Reader, ref: KeyRef) -> KeyTerms:
    said = rows.terms_of(reader, ref)
    return KeyTerms(
        requesters=() if said is None else said.requesters,
        unattended=said is not None and said.unattended,
        making=rows.making_of(reader, ref),
    )


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
