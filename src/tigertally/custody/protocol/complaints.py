"""Complaints: a receiver shows what it was sent, and anyone can see who lied (X3). No I/O.

A complaint publishes the complainer's receive key for the accused dealer. It opens what that
dealer sent to that receiver under that key, and nothing else.
"""

from __future__ import annotations

from tigertally.algebra import tags
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.dealing import Complaint, Conviction, Erased
from tigertally.custody.protocol.dealing import (
    Occasion,
    check_dealing,
    check_payloads,
    dealer_name,
    open_piece,
)
from tigertally.quorum.receive_keys import bundle_hash, open_receive_keys, private_key
from tigertally.quorum.roster import Roster, open_from_holder


def sign_complaint(key: SigningKey, complaint: Complaint) -> Envelope:
    """Sign a complaint as its complainer."""
    return sign_message(key, tags.COMPLAINT, complaint)


def open_complaint(envelope: Envelope, roster: Roster) -> Complaint:
    """Verify a complaint's signature, not its truth: that is `judge`'s question.

    Raises:
        MalformedMessage, InvalidSignature, Refused
    """
    return open_from_holder(
        Complaint, tags.COMPLAINT, envelope, roster, lambda said: said.complainer
    )


def open_erased(envelope: Envelope, roster: Roster) -> Erased:
    """Verify a notice that a receive key has been replaced. Blames nobody."""
    return open_from_holder(Erased, tags.ERASED, envelope, roster, lambda said: said.holder)


def judge(conviction: Conviction, occasion: Occasion, roster: Roster) -> int:
    """Who lied: the accused dealer, or the complainer?

    Returns:
        The culprit's dealer number or holder index. Never anybody else, and never an honest one:
        an honest dealer's piece opens and fits; an honest complainer's does not.

    Raises:
        MalformedMessage, InvalidSignature, Refused: the evidence does not hang together, so it
            proves nothing about anybody.
    """
    complaint = open_complaint(conviction.complaint, roster)
    if (complaint.domain, complaint.proposal, complaint.attempt) != (
        occasion.domain,
        occasion.proposal,
        occasion.attempt,
    ):
        raise Refused("the complaint is about another epoch")
    try:  # (1) the dealing is the accused's, signed
        dealing = check_dealing(conviction.dealing, occasion, roster)
    except PeerFault as fault:
        if fault.sure and fault.culprits == (dealer_name(roster, complaint.accused),):
            return complaint.accused
        raise
    if dealing.dealer != complaint.accused:
        raise Refused("the complaint names another dealer than the dealing")
    slot = dealing.slot_of(complaint.complainer)
    # (2) the keys are the complainer's
    keys = open_receive_keys(conviction.receive_keys, roster.domain, roster.signer)
    if keys.holder != complaint.complainer or bundle_hash(conviction.receive_keys) != slot.bundle:
        raise Refused("the receive keys are not those that the dealing used")
    if complaint.number != slot.number or len(complaint.seed) != 96:
        return complaint.complainer
    private = private_key(complaint.seed)
    if private.public != keys.for_sender(complaint.accused):
        return complaint.complainer  # (3) it publishes a key that is not its receive key
    try:  # (4) what was sent opens and fits, or not
        payloads = open_piece(dealing, conviction.piece, complaint.complainer, private)
        check_payloads(dealing, complaint.complainer, payloads)
    except PeerFault:
        return complaint.accused
    except MalformedMessage as error:
        raise Refused("the piece is not the one that the dealing names") from error
    return complaint.complainer
