"""A holder's side of an epoch: check everything, store, acknowledge; or say who lied. No I/O.

Steps numbered as in `docs/protocols/custody-create.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.base.codec import encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.dealing import (
    AUTHORITY,
    Acknowledgement,
    Complaint,
    Dealing,
    Erased,
    Opening,
    Statement,
)
from tigertally.custody.messages.kinds import MAKING, KeyRef, Making, parse_making
from tigertally.custody.messages.sync import DealRequest
from tigertally.custody.policy import check_acks, some_of
from tigertally.custody.protocol.complaints import judge, open_complaint, sign_complaint
from tigertally.custody.protocol.dealing import (
    Occasion,
    check_payloads,
    check_shown,
    dealer_name,
    open_piece,
)
from tigertally.custody.protocol.epochs import statement_shown
from tigertally.custody.protocol.relayed import shown_by_authority
from tigertally.custody.protocol.reshare import check_reshare_opening, same_key
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.chain import Chain
from tigertally.quorum.receive_keys import private_key
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import VerifiedTally, verify_tally

SeedFor = Callable[[Hash, int], bytes | None]
"""(bundle hash, sender) -> the private receive key's seed, or None once it is erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The fragment is good: store `held`, then send `acknowledgement`."""

    held: HeldEpoch
    acknowledgement: Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Complained:
    """A dealer lied: send `complaint`, which opens what it sent."""

    complaint: Envelope
    culprit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGone:
    """The receive key has been replaced: send `notice`; the dealing is made again."""

    notice: Envelope


Outcome = Stored | Complained | KeyGone


def occasion_of_making(id_: ProposalId, body: Making, roster: Roster, attempt: int) -> Occasion:
    """What a dealing for a new key, or a new version of one, must be for."""
    return Occasion(
        domain=roster.domain,
        proposal=id_,
        attempt=attempt,
        suite=body.suite,
        threshold=roster.threshold,
        base=None,
        keys=(body.ref,),
        receivers=tuple(holder.index for holder in roster.holders),
    )


def expected_dealers(
    tally: VerifiedTally, body: Making, convicted: frozenset[int]
) -> tuple[int, ...]:
    """Who deals: the authority alone, or exactly the approvers, less those proven to have lied."""
    if body.suite.authority_deals:
        return (AUTHORITY,)
    return tuple(index for index in tally.approved_by if index not in convicted)


def check_opening(opening: Opening, chain: Chain) -> tuple[Statement, Occasion, list[Dealing]]:
    """Everything about an epoch that does not need our own pieces.

    Raises:
        MalformedMessage, InvalidSignature, Refused
        PeerFault: a dealer signed nonsense (named, sure), or the authority put together dealings
            that the tally does not bear out.
    """
    roster = chain.at(opening.roster)
    with shown_by_authority():
        tally = verify_tally(opening.tally, roster)  # (1) a quorum of these holders approved
        if tally.proposal.kind not in MAKING:
            raise Refused(f"{tally.proposal.kind} opens no epoch")
        body = parse_making(tally.proposal)
        check_acks(body.acks, roster)
        occasion = occasion_of_making(tally.id, body, roster, opening.attempt)
        convicted = check_convictions(opening, body, tally, roster)  # (2) who is left out, and why
        pairs = [(e, check_shown(e, occasion, roster)) for e in opening.dealings]  # (3) signed, apt
    dealers = tuple(dealing.dealer for _, dealing in pairs)
    if dealers != expected_dealers(tally, body, convicted):  # (4) the dealers are the approvers
        raise PeerFault(
            "the authority opened an epoch that was not dealt by its approvers",
            culprits=("authority",),
        )
    statement = statement_shown(occasion, pairs, roster=roster, acks=body.acks)
    return statement, occasion, [dealing for _, dealing in pairs]


def check_made_once(
    keys: Sequence[KeyRef],
    proposal: ProposalId,
    attempt: int,
    held: Iterable[HeldEpoch],
    *,
    roster_version: int,
) -> None:
    """May this device still take (or deal for) this attempt to make these keys?

    Two attempts make two different keys. So a device takes a later attempt (or, after holders have
    changed, another proposal) only while it has no certificate of an earlier one; and once it has
    taken the later one it never takes a certificate of the earlier one (`check_certifiable`). Then
    an authority that goes on although it could have certified can destroy nothing: m devices that
    have used a key keep it.

    Args:
        held: every epoch of these keys on this device.

    Raises:
        Refused: a later attempt is here already (a slow answer came in late).
        PeerFault: the key exists; an honest authority makes it only once.
    """
    for one in held:
        has = one.parsed()
        names = some_of([key for key in keys if key in has.keys])
        same = has.proposal == proposal
        if not names:
            continue
        if has.attempt >= attempt if same else has.roster_version > roster_version:
            raise Refused(f"this device has taken a later epoch of {names} already")
        given_up = not same and has.roster_version < roster_version
        if one.certificate is not None or not (same or given_up):
            raise PeerFault(
                f"this device holds a fragment of {names}, which the authority now makes again",
                culprits=("authority",),
            )


def check_certifiable(
    statement: Statement, answered: Hash | None, held: Iterable[HeldEpoch]
) -> None:
    """May a certificate of this epoch count on this device? See `check_made_once`.

    Args:
        answered: the statement that this device acknowledged for that attempt, if any.
        held: every epoch of these keys on this device.

    Raises:
        PeerFault: the authority made two statements for one attempt, or certified an attempt to
            make a key after it had opened a later one.
    """
    if answered is not None and answered != statement.hash:
        raise PeerFault(
            "the authority certified another epoch than the one it showed this device",
            culprits=("authority",),
        )
    for one in held:
        has = one.parsed()
        later = statement.base is None and has.order > statement.order
        if later and not all(same_key(has, statement, ref) for ref in _common(has, statement)):
            raise PeerFault(
                "the authority certified an attempt that it had ended", culprits=("authority",)
            )


def _common(one: Statement, other: Statement) -> list[KeyRef]:
    return [ref for ref in one.keys if ref in other.keys]


def check_deal_request(asked: DealRequest, chain: Chain, me: HolderIndex) -> Occasion:
    """May we be asked to deal for this attempt? What our dealing must be for.

    Raises:
        MalformedMessage, InvalidSignature, PeerFault
        Refused: no quorum approved it, or we are not among its dealers.
    """
    roster = chain.at(asked.roster)
    with shown_by_authority():
        tally = verify_tally(asked.tally, roster)
        if tally.proposal.kind not in MAKING or asked.attempt < 2:
            raise Refused("nothing is to be dealt for this proposal")
        body = parse_making(tally.proposal)
        convicted = check_convictions(asked, body, tally, roster)
    if me not in expected_dealers(tally, body, convicted):
        raise Refused("this device is not a dealer of that epoch")
    return occasion_of_making(tally.id, body, roster, asked.attempt)


def check_convictions(
    opening: Opening | DealRequest, body: Making, tally: VerifiedTally, roster: Roster
) -> frozenset[int]:
    """Judge each conviction ourselves: nobody is left out on the authority's word.

    Raises:
        PeerFault: a conviction proves nothing (culprit: the authority).
    """
    convicted: set[int] = set()
    for conviction in opening.convictions:
        try:
            complaint = open_complaint(conviction.complaint, roster)
            if complaint.attempt >= opening.attempt:
                raise MalformedMessage("a conviction comes from an earlier attempt")
            occasion = occasion_of_making(tally.id, body, roster, complaint.attempt)
            convicted.add(judge(conviction, occasion, roster))
        except (MalformedMessage, Refused) as error:
            raise PeerFault(
                f"the authority shows a conviction that proves nothing: {error}",
                culprits=("authority",),
            ) from error
    return frozenset(convicted)


def receive_opening(
    opening: Opening,
    chain: Chain,
    me: HolderIndex,
    *,
    seed_for: SeedFor,
    known: Callable[[KeyRef], Sequence[HeldEpoch]],
    key: SigningKey,
    now: int,
) -> Outcome:
    """Take our fragments of a new epoch.

    Raises:
        MalformedMessage, InvalidSignature, PeerFault, Refused: as `check_opening`; then nothing
            was taken and nothing is to be sent.
    """
    statement, occasion, dealings = check_any_opening(opening, chain, known)
    roster = chain.at(opening.roster)
    received: list[tuple[Secret, ...]] = []
    for dealing, piece in zip(dealings, opening.pieces, strict=True):
        seed = seed_for(dealing.slot_of(me).bundle, dealing.dealer)
        if seed is None:  # (5) our key for it is gone: blame nobody
            return KeyGone(notice=_sign_erased(occasion, dealing, me, key))
        try:  # (6) the piece opens
            received.append(open_piece(dealing, piece, me, private_key(seed)))
        except PeerFault:
            return _complain(occasion, dealing, me, seed=seed, roster=roster, key=key)
    sums = _sums(occasion, me, [dealing.dealer for dealing in dealings], received)
    if not _fits(statement, occasion, me, sums):  # (7) the sum fits; single dealers only if not
        return _find_liar(
            occasion, dealings, received, me, seed_for=seed_for, roster=roster, key=key
        )
    held = HeldEpoch(
        statement=encode(statement),
        payloads=tuple(payload.to_secret_bytes() for payload in sums),
        certificate=None,
    )
    ack = Acknowledgement(domain=roster.domain, epoch=statement.hash, holder=me, time=now)
    return Stored(held=held, acknowledgement=sign_message(key, tags.ACKNOWLEDGEMENT, ack))


def acknowledge_again(held: HeldEpoch, me: HolderIndex, *, key: SigningKey, now: int) -> Envelope:
    """Acknowledge an epoch that we hold (the first acknowledgement was lost)."""
    statement = held.parsed()
    ack = Acknowledgement(domain=statement.domain, epoch=statement.hash, holder=me, time=now)
    return sign_message(key, tags.ACKNOWLEDGEMENT, ack)


def check_any_opening(
    opening: Opening, chain: Chain, known: Callable[[KeyRef], Sequence[HeldEpoch]]
) -> tuple[Statement, Occasion, list[Dealing]]:
    """Keys that are made (`check_opening`), or shared anew (`check_reshare_opening`)?"""
    if opening.base:
        return check_reshare_opening(opening, chain, known)
    return check_opening(opening, chain)


def _sums(
    occasion: Occasion,
    me: HolderIndex,
    dealers: Sequence[int],
    received: Sequence[tuple[Secret, ...]],
) -> tuple[Secret, ...]:
    rules = SUITES[occasion.suite]
    sums = []
    for place in range(len(occasion.keys)):
        parts = [payloads[place] for payloads in received]
        if occasion.base is None:
            sums.append(rules.sum_payloads(me, parts))
        else:
            sums.append(rules.join_payloads(me, dict(zip(dealers, parts, strict=True))))
    return tuple(sums)


def _fits(
    statement: Statement, occasion: Occasion, me: HolderIndex, sums: Sequence[Secret]
) -> bool:
    rules = SUITES[occasion.suite]
    try:
        for commitments, payload in zip(statement.commitments, sums, strict=True):
            rules.check(commitments, threshold=occasion.threshold, index=me, payload=payload)
    except (PeerFault, MalformedMessage):
        return False
    return True


def _find_liar(
    occasion: Occasion,
    dealings: Sequence[Dealing],
    received: Sequence[tuple[Secret, ...]],
    me: HolderIndex,
    *,
    seed_for: SeedFor,
    roster: Roster,
    key: SigningKey,
) -> Complained:
    for dealing, payloads in zip(dealings, received, strict=True):
        try:
            check_payloads(dealing, me, payloads)
        except PeerFault:
            seed = seed_for(dealing.slot_of(me).bundle, dealing.dealer)
            if seed is not None:
                return _complain(occasion, dealing, me, seed=seed, roster=roster, key=key)
    raise PeerFault("the sum of good pieces does not fit the sum of their commitments")


def _complain(
    occasion: Occasion,
    dealing: Dealing,
    me: HolderIndex,
    *,
    seed: bytes,
    roster: Roster,
    key: SigningKey,
) -> Complained:
    complaint = Complaint(
        domain=occasion.domain,
        proposal=occasion.proposal,
        attempt=occasion.attempt,
        complainer=me,
        accused=dealing.dealer,
        number=dealing.slot_of(me).number,
        seed=seed,
    )
    culprit = dealer_name(roster, dealing.dealer)
    return Complained(complaint=sign_complaint(key, complaint), culprit=culprit)


def _sign_erased(
    occasion: Occasion, dealing: Dealing, me: HolderIndex, key: SigningKey
) -> Envelope:
    notice = Erased(
        domain=occasion.domain,
        proposal=occasion.proposal,
        attempt=occasion.attempt,
        holder=me,
        dealer=dealing.dealer,
        number=dealing.slot_of(me).number,
    )
    return sign_message(key, tags.ERASED, notice)
