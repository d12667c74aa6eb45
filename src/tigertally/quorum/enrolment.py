"""The first holder: enrolment under a one-time PIN (C8). Steps as in `docs/protocols/enrolment.md`.

The PIN has 80 random bits, so a recorded proof cannot be searched. It binds both keys and the
whole first roster, in both directions. Five wrong tries void it.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, replace

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash, tagged_mac
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, Refused
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import PIN_TRIES
from tigertally.base.randomness import Randomness
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.signatures import SigningKey
from tigertally.quorum.card import Card, Role, domain_of, open_card
from tigertally.quorum.messages import FoundRequest
from tigertally.quorum.roster import Holder, Roster, SignedRoster, verify_founding

FRESH_PIN = "`tally authority pin` on the authority's machine makes a fresh one"
_PIN_BYTES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PinState:
    """What the authority keeps of the PIN. `key` is empty once the PIN is used up or void."""

    key: bytes
    tries_left: int


def make_pin(randomness: Randomness) -> str:
    """A fresh PIN: 80 bits as four groups of four base32 characters."""
    text = base64.b32encode(randomness.bytes(_PIN_BYTES)).decode().lower()
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))


def pin_key(pin: str) -> bytes:
    """The MAC key of a PIN; dashes, spaces and case do not matter."""
    plain = "".join(c for c in pin.lower() if c.isalnum())
    return bytes(tagged_hash(tags.JOIN_PIN, plain.encode()))


def new_pin_state(pin: str) -> PinState:
    """What the authority stores when it prints a PIN."""
    return PinState(key=pin_key(pin), tries_left=PIN_TRIES)


def found_roster(
    authority: Envelope,
    founder: Card,
    *,
    threshold: int,
    unlock: int,
    created: int,
) -> Roster:
    """Roster version 1. The founder makes it, so that it knows what it signs."""
    holder = Holder(
        index=HolderIndex(1),
        name=founder.name,
        signing_key=founder.signing_key,
        wrapping_key=founder.wrapping_key,
    )
    return Roster(
        domain=domain_of(authority),
        version=1,
        previous=None,
        threshold=threshold,
        unlock=unlock,
        authority=open_card(authority),
        holders=(holder,),
        requesters=(),
        next_index=2,
        created=created,
    )


def found_request(
    key: SigningKey, card: Envelope, roster: Roster, authority: Envelope, pin: str
) -> FoundRequest:
    """The founder's message: the roster it signs, and proof that it was told the PIN."""
    signed = sign_message(key, tags.ROSTER, roster)
    proof = tagged_mac(pin_key(pin), tags.JOIN_PIN, authority.body, card.body, signed.body)
    return FoundRequest(roster=signed, card=card, proof=proof)


def check_pin(state: PinState, request: FoundRequest, authority: Envelope) -> PinState:
    """Count this try.

    Returns:
        The state to store before anything else is answered: used up, or with one try fewer.

    Raises:
        Refused: there is no PIN to try.
    """
    if not state.key or state.tries_left < 1:
        raise Refused(f"the PIN is void: {FRESH_PIN}")
    proof = tagged_mac(
        state.key, tags.JOIN_PIN, authority.body, request.card.body, request.roster.body
    )
    if hmac.compare_digest(proof, request.proof):
        return PinState(key=b"", tries_left=state.tries_left)
    left = state.tries_left - 1
    return PinState(key=state.key if left else b"", tries_left=left)


def check_founding(request: FoundRequest, authority: Envelope, expected: Roster) -> None:
    """Is this the first roster that this authority was set up for?

    Raises:
        MalformedMessage, Refused, InvalidSignature
    """
    card = open_card(request.card)
    if card.role is not Role.HOLDER:
        raise MalformedMessage("the founder of a domain is a holder")
    roster = decode(Roster, request.roster.body)
    if roster != expected:
        raise Refused("the roster is not the one this authority was set up for")
    card.signing_key.verify(
        tags.ROSTER, request.roster.body, request.roster.signature, signer=str(card.name)
    )
    if roster.holders[0].wrapping_key != card.wrapping_key:
        raise MalformedMessage("the roster names another key than the card")


def reply_proof(pin_key_: bytes, signed: SignedRoster) -> bytes:
    """The authority's proof, over the countersigned roster, that it knows the PIN."""
    return tagged_mac(pin_key_, tags.JOIN_PIN_REPLY, encode(signed))


def check_reply(pin: str, signed: SignedRoster, proof: bytes, roster: Roster) -> None:
    """The founder's last check: the authority knew the PIN and countersigned what we signed.

    Where the first answer was lost, what we signed then comes back: only its date differs.

    Raises:
        Refused, MalformedMessage, InvalidSignature, PeerFault
    """
    if not hmac.compare_digest(reply_proof(pin_key(pin), signed), proof):
        raise Refused("the server does not know the PIN: it is not the authority you were told of")
    founded = verify_founding(signed, roster.authority.signing_key)
    if replace(founded, created=roster.created) != roster:
        raise Refused("the authority countersigned another roster")
