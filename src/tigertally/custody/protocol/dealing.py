"""Dealings: one dealer's sharing for all holders, made, checked, opened. No I/O.

Steps numbered as in `docs/protocols/custody-create.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed
from tigertally.base.codec import encode
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    Unavailable,
)
from tigertally.base.ids import DomainId, Hash, HolderIndex, ProposalId
from tigertally.base.limits import MAX_HOLDERS
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.messages.dealing import AUTHORITY, Dealing, DealingPackage, Slot, piece_hash
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.protocol.relayed import shown_by_authority
from tigertally.custody.protocol.suites import SUITES
from tigertally.quorum.receive_keys import PublishedKeys
from tigertally.quorum.roster import Roster

SPARE_SENDERS = 2  # holders that may join before our next sync and deal at once


def possible_senders(roster: Roster) -> tuple[int, ...]:
    """Return who may deal: the authority, every holder, and the next indices to be given out."""
    last = min(roster.next_index + SPARE_SENDERS, MAX_HOLDERS + 1)
    spare = range(roster.next_index, last)
    return (AUTHORITY, *(holder.index for holder in roster.holders), *spare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What a dealing is for: everything that is fixed before a dealer draws anything."""

    domain: DomainId
    proposal: ProposalId
    attempt: int
    suite: Suite
    threshold: int
    base: Hash | None
    keys: tuple[KeyRef, ...]
    receivers: tuple[HolderIndex, ...]


class NotPublished(Unavailable):
    """A receiver has published no receive key for this dealer yet: it must sync first."""

    def __init__(self, receiver: HolderIndex, dealer: int) -> None:
        super().__init__(
            f"holder {receiver} has published no receive key for dealer {dealer} yet: it must sync "
            "first"
        )
        self.receiver = receiver


def dealer_name(roster: Roster, dealer: int) -> str:
    """A dealer's name for errors and screens."""
    return "authority" if dealer == AUTHORITY else str(roster.holder(dealer).name)


def dealer_key(roster: Roster, dealer: int) -> VerifyKey:
    """The key under which a dealer signs."""
    if dealer == AUTHORITY:
        return roster.authority.signing_key
    return roster.holder(dealer).signing_key


def make_dealing(
    occasion: Occasion,
    *,
    dealer: int,
    receive_keys: Mapping[HolderIndex, PublishedKeys],
    key: SigningKey,
    randomness: Randomness,
) -> DealingPackage:
    """Deal a fresh random sharing of every key of the occasion, and sign it.

    Raises:
        NotPublished: by a receiver; its next sync mends it.
    """
    commitments, payloads = draw_sharing(occasion, randomness)
    return sign_sharing(
        occasion,
        (commitments, payloads),
        dealer=dealer,
        receive_keys=receive_keys,
        key=key,
    )


Sharing = tuple[tuple[bytes, ...], dict[HolderIndex, Secret]]
"""Commitments by key, and each receiver's payloads end to end."""


def sign_sharing(
    occasion: Occasion,
    sharing: Sharing,
    *,
    dealer: int,
    receive_keys: Mapping[HolderIndex, PublishedKeys],
    key: SigningKey,
) -> DealingPackage:
    """Wrap a sharing to its receivers and sign it. Raises `NotPublished` as `make_dealing`."""
    commitments, payloads = sharing
    pieces, slots = wrap_pieces(occasion, dealer, commitments, payloads, receive_keys)
    dealing = dealing_of(occasion, dealer, commitments, slots)
    return DealingPackage(dealing=sign_message(key, tags.DEALING, dealing), pieces=pieces)


def draw_sharing(occasion: Occasion, randomness: Randomness) -> Sharing:
    """Draw one random sharing a key."""
    rules = SUITES[occasion.suite]
    return join_sharings(
        occasion,
        (
            rules.deal(
                threshold=occasion.threshold, receivers=occasion.receivers, randomness=randomness
            )
            for _ in occasion.keys
        ),
    )


def join_sharings(
    occasion: Occasion, sharings: Iterable[tuple[bytes, Mapping[HolderIndex, Secret]]]
) -> Sharing:
    """One sharing a key, as one: a receiver's payloads stand end to end. Wipes the parts."""
    commitments: list[bytes] = []
    joined: dict[HolderIndex, bytearray] = {index: bytearray() for index in occasion.receivers}
    for public, payloads in sharings:
        commitments.append(public)
        for index, payload in payloads.items():
            with payload as one, one.exposed() as raw:
                joined[index] += raw
    return tuple(commitments), {index: Secret(raw) for index, raw in joined.items()}


def wrap_pieces(
    occasion: Occasion,
    dealer: int,
    commitments: tuple[bytes, ...],
    payloads: Mapping[HolderIndex, Secret],
    receive_keys: Mapping[HolderIndex, PublishedKeys],
) -> tuple[tuple[bytes, ...], tuple[Slot, ...]]:
    """Encrypt each receiver's payloads to its receive key for this dealer; wipes them."""
    pieces: list[bytes] = []
    slots: list[Slot] = []
    for receiver in occasion.receivers:
        published = receive_keys.get(receiver)
        public = published.keys.for_sender(dealer) if published else None
        if published is None or public is None:
            raise NotPublished(receiver, dealer)
        number = published.keys.number
        info = _piece_info(occasion, dealer, receiver, number, commitments)
        with payloads[receiver] as payload:
            piece = public.seal(payload, info=info)
        pieces.append(piece)
        slots.append(
            Slot(receiver=receiver, number=number, bundle=published.bundle, piece=piece_hash(piece))
        )
    return tuple(pieces), tuple(slots)


def dealing_of(
    occasion: Occasion, dealer: int, commitments: tuple[bytes, ...], slots: tuple[Slot, ...]
) -> Dealing:
    """The public part of a dealing, ready to be signed."""
    return Dealing(
        domain=occasion.domain,
        proposal=occasion.proposal,
        attempt=occasion.attempt,
        dealer=dealer,
        suite=occasion.suite,
        threshold=occasion.threshold,
        base=occasion.base,
        keys=occasion.keys,
        commitments=commitments,
        slots=slots,
    )


def check_dealing(
    envelope: Envelope, occasion: Occasion, roster: Roster, *, points: bool = True
) -> Dealing:
    """Verify a dealing's signature and form (not the pieces: those only their receivers can).

    Args:
        points: check each point of the commitments; False where their sum will be checked.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: it is another attempt's or proposal's. That proves nothing about its dealer, who
            may have dealt honestly there: whoever shows it here is to be asked.
        PeerFault: for this very attempt its dealer signed other terms or malformed commitments
            (sure): everything in them follows from the proposal and its electorate.
    """

    def signer(dealing: Dealing) -> tuple[VerifyKey, str]:
        return dealer_key(roster, dealing.dealer), dealer_name(roster, dealing.dealer)

    dealing = open_message(Dealing, tags.DEALING, envelope, signer)  # (1) signed by its dealer
    name = dealer_name(roster, dealing.dealer)
    said = (dealing.domain, dealing.proposal, dealing.attempt, dealing.base)
    if said != (occasion.domain, occasion.proposal, occasion.attempt, occasion.base):
        raise Refused(  # (2) for this attempt, from these epochs
            f"the dealing of {name} is for another proposal or attempt"
        )
    if _occasion_of(dealing) != occasion:  # (3) on its terms
        raise PeerFault(f"{name} dealt on other terms", culprits=(name,), sure=True)
    check_form(dealing, name, points=points)  # (4) commitments of the right form
    return dealing


def check_form(dealing: Dealing, name: str, *, points: bool) -> None:
    """Are a dealing's commitments of the right form, each point included or not?

    Raises:
        PeerFault: they are not; its dealer signed them (sure).
    """
    rules = SUITES[dealing.suite]
    check = rules.check_commitments if points else rules.check_form
    receivers = tuple(slot.receiver for slot in dealing.slots)
    try:
        for commitments in dealing.commitments:
            check(commitments, threshold=dealing.threshold, receivers=receivers)
    except MalformedMessage as error:
        raise PeerFault(
            f"{name} dealt with malformed commitments", culprits=(name,), sure=True
        ) from error


def check_shown(envelope: Envelope, occasion: Occasion, roster: Roster) -> Dealing:
    """`check_dealing` of what the authority shows: one that is for something else is its fault.

    The sum comes first, single dealers only if it fails: `statement_of` checks the points.
    """
    try:
        with shown_by_authority():
            return check_dealing(envelope, occasion, roster, points=False)
    except Refused as error:
        raise PeerFault(
            f"the authority opened an epoch with something else: {error}", culprits=("authority",)
        ) from error


def check_package(package: DealingPackage, occasion: Occasion, roster: Roster) -> Dealing:
    """Check a dealing as it is handed in: also that the pieces are the ones it names.

    Raises:
        MalformedMessage, InvalidSignature, PeerFault
    """
    dealing = check_dealing(package.dealing, occasion, roster)
    if [piece_hash(piece) for piece in package.pieces] != [slot.piece for slot in dealing.slots]:
        raise MalformedMessage("the pieces are not the ones that the dealing names")
    return dealing


def open_piece(
    dealing: Dealing, piece: bytes, receiver: HolderIndex, key: PrivateKey
) -> tuple[Secret, ...]:
    """Decrypt one receiver's piece and cut it into one payload a key.

    Raises:
        MalformedMessage: it is not the piece that the dealing names (the relay's doing).
        PeerFault: it does not open, or has another size (the dealer's doing).
    """
    slot = dealing.slot_of(receiver)
    if piece_hash(piece) != slot.piece:
        raise MalformedMessage("this is not the piece that the dealing names")
    occasion = _occasion_of(dealing)
    info = _piece_info(occasion, dealing.dealer, receiver, slot.number, dealing.commitments)
    try:
        opened = key.open(piece, info=info)
    except InvalidSignature as error:
        raise PeerFault("a piece does not open") from error
    size = SUITES[dealing.suite].payload_bytes
    with opened as secret, secret.exposed() as raw:
        if len(raw) != size * len(dealing.keys):
            raise PeerFault("a piece has the wrong size")
        return tuple(Secret(raw[i : i + size]) for i in range(0, len(raw), size))


def check_payloads(dealing: Dealing, receiver: HolderIndex, payloads: Sequence[Secret]) -> None:
    """Do one dealer's payloads fit its commitments? Raises `PeerFault` (naming nobody)."""
    for commitments, payload in zip(dealing.commitments, payloads, strict=True):
        try:
            SUITES[dealing.suite].check(
                commitments, threshold=dealing.threshold, index=receiver, payload=payload
            )
        except MalformedMessage as error:
            raise PeerFault("a piece holds no fragment") from error


def _occasion_of(dealing: Dealing) -> Occasion:
    return Occasion(
        domain=dealing.domain,
        proposal=dealing.proposal,
        attempt=dealing.attempt,
        suite=dealing.suite,
        threshold=dealing.threshold,
        base=dealing.base,
        keys=dealing.keys,
        receivers=tuple(slot.receiver for slot in dealing.slots),
    )


def _piece_info(
    occasion: Occasion,
    dealer: int,
    receiver: HolderIndex,
    number: int,
    commitments: tuple[bytes, ...],
) -> bytes:
    """HPKE `info`: a piece opens only where it was meant to, for what it was meant."""
    place = bytes([dealer, receiver]) + number.to_bytes(8, "big")
    return tags.PIECE + framed(encode(occasion), place, *commitments)
