"""How many items a message may have: the largest honest one fits exactly, and none has no bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import roster
from tigertally.base.codec import Wire, decode, dumps, encode, loads, most_items, to_wire
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import DomainId, Hash, HolderIndex, Name, ProposalId, RosterHash, Signature
from tigertally.base.limits import (
    MAX_HOLDERS,
    MAX_KEYS_TOGETHER,
    MAX_LABEL_DEPTH,
    MAX_WRITERS,
    UNCOUNTED_ITEMS,
)
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.dealing import (
    Acknowledgement,
    Certificate,
    Complaint,
    DealerRef,
    Dealing,
    DealingPackage,
    Erased,
    Slot,
    Statement,
)
from tigertally.custody.messages.destroy import Erasure
from tigertally.custody.messages.imports import Imported
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.lock import Answer
from tigertally.custody.messages.release import Contribution, FragmentDelivery, WrappedFragment
from tigertally.custody.messages.reports import HeldReport
from tigertally.custody.protocol.suite_shamir import FragmentHash, ShamirCommitments
from tigertally.delegation.messages.cards import LabelCard
from tigertally.delegation.messages.headers import Fixed, Meta
from tigertally.delegation.messages.slots import Keys
from tigertally.quorum.approval import Approval
from tigertally.quorum.card import Card
from tigertally.quorum.proposal import Proposal
from tigertally.quorum.receive_keys import ReceiveKeys
from tigertally.quorum.restoration import Acceptance, RestorationRecord
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import Tally
from tigertally.schemes.single_pre import Place

pytestmark = pytest.mark.requirement("X5")

HASH = Hash(bytes(32))
ENVELOPE = Envelope(body=b"", signature=Signature(bytes(64)))
EVERYBODY = tuple(HolderIndex(index) for index in range(1, MAX_HOLDERS + 1))
KEYS = tuple(KeyRef(name=Name(f"k{i:06}"), version=1) for i in range(MAX_KEYS_TOGETHER))
DEALING = Dealing(
    domain=DomainId(bytes(32)),
    proposal=ProposalId(bytes(32)),
    attempt=1,
    dealer=1,
    suite=Suite.PEDERSEN_ED25519,
    threshold=2,
    base=HASH,
    keys=KEYS,
    commitments=(b"",) * len(KEYS),
    slots=tuple(Slot(receiver=i, number=1, bundle=HASH, piece=HASH) for i in EVERYBODY),
)
STATEMENT = Statement(
    domain=DomainId(bytes(32)),
    proposal=ProposalId(bytes(32)),
    attempt=1,
    roster=RosterHash(bytes(32)),
    roster_version=1,
    suite=Suite.PEDERSEN_ED25519,
    threshold=2,
    acks=2,
    base=HASH,
    keys=KEYS,
    commitments=(b"",) * len(KEYS),
    dealers=tuple(DealerRef(dealer=i, dealing=HASH) for i in range(MAX_HOLDERS + 1)),
    holders=EVERYBODY,
)
WRAPPED = WrappedFragment(delivery=ENVELOPE, wrapped=b"")
LARGEST = (
    DEALING,
    STATEMENT,
    DealingPackage(dealing=ENVELOPE, pieces=(b"",) * MAX_HOLDERS),
    Certificate(statement=b"", acknowledgements=(ENVELOPE,) * MAX_HOLDERS),
    Tally(proposal=ENVELOPE, approvals=(ENVELOPE,) * MAX_HOLDERS),
    RestorationRecord(restoration=ENVELOPE, acceptances=(ENVELOPE,) * MAX_HOLDERS),
    ShamirCommitments(
        threshold=2,
        fragments=tuple(FragmentHash(index=index, hash=HASH) for index in EVERYBODY),
        key_check=HASH,
    ),
    Contribution(
        proposal=ProposalId(bytes(32)), attempt=1, fragments=(WRAPPED,) * MAX_KEYS_TOGETHER
    ),
)
# All that one party signs and another parses, or that lies where anybody may write.
SIGNED = (
    Acceptance,
    Acknowledgement,
    Answer,
    Approval,
    Card,
    Complaint,
    Erased,
    Erasure,
    Fixed,
    FragmentDelivery,
    HeldReport,
    Imported,
    Keys,
    LabelCard,
    Meta,
    Place,
    Proposal,
    ReceiveKeys,
    Roster,
    *(type(message) for message in LARGEST),
)


def items(value: Wire) -> int:
    """How many items a plain value has, itself included."""
    return 1 + sum(map(items, value)) if isinstance(value, list) else 1


@pytest.mark.parametrize("message", LARGEST, ids=lambda message: type(message).__name__)
def test_the_largest_fits_exactly(message):
    assert items(to_wire(message)) == most_items(type(message))
    assert decode(type(message), encode(message)) == message


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.__name__)
def test_a_flood_of_items_is_refused_by_its_number(kind):
    assert most_items(kind) <= 128 * 1024
    with pytest.raises(MalformedMessage, match="items"):
        decode(kind, dumps([{}] * (most_items(kind) + UNCOUNTED_ITEMS)))


def test_the_numbers_of_what_has_parts_of_its_own():
    """Receive keys have one a possible sender, a card its levels and writers."""
    assert most_items(ReceiveKeys) == 1 + 4 + 1 + 3 * (1 + MAX_HOLDERS)
    levels = 1 + 4 * (1 + MAX_LABEL_DEPTH)
    assert most_items(LabelCard) == 1 + 2 + (1 + MAX_LABEL_DEPTH) + levels + (1 + MAX_WRITERS)


def test_a_roster_has_room_for_many_requesters():
    one = roster(holders=3, requesters=("app",))
    raw = encode(replace(one, requesters=()))
    per_requester = items(loads(encode(one))) - items(loads(raw))
    assert per_requester == 4
    assert most_items(Roster) > 5 * MAX_HOLDERS + 3000 * per_requester
