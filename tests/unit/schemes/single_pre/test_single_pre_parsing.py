"""Every way in which points, scalars and lengths of these messages can be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import reference_secp256k1 as plain
from rotation_rig import FACTORY, LABEL, OWNER, B, R, capsules, rotated
from tigertally.algebra.secp256k1 import ORDER
from tigertally.base import codec
from tigertally.base.errors import MalformedMessage, PeerFault
from tigertally.base.limits import MAX_ROTATION_BATCH
from tigertally.schemes.single_pre import (
    Place,
    ReencryptionKey,
    ReencryptionProof,
    RotatedBatch,
    RotatedCapsule,
    RotatedSet,
    Rotation,
    SharedCapsule,
    SharedKey,
    reencrypt_shared,
    share,
)

CAPSULES, _ = capsules(3)
MADE = rotated(Rotation.first(FACTORY, LABEL, OWNER, randomness=R), CAPSULES)
PLACE = MADE.verified.place(1, 0)
SHARED = share(OWNER, B, randomness=R)
ANSWER = reencrypt_shared(CAPSULES[0], SHARED, randomness=R)

BAD_POINTS = {
    "zeros": bytes(33),
    "x without y": b"\x02" + (5).to_bytes(32, "big"),
    "x is p": b"\x02" + plain.P.to_bytes(32, "big"),
    "x is p + 1": b"\x03" + (plain.P + 1).to_bytes(32, "big"),
    "all ones": b"\x03" + b"\xff" * 32,
    "form 0": b"\x00" + plain.G[0].to_bytes(32, "big"),
    "form 4": b"\x04" + plain.G[0].to_bytes(32, "big"),
    "form 6": b"\x06" + plain.G[0].to_bytes(32, "big"),
}
BAD_SCALARS = {
    "zero": bytes(32),
    "n": ORDER.to_bytes(32, "big"),
    "n + 1": (ORDER + 1).to_bytes(32, "big"),
    "all ones": b"\xff" * 32,
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """How a message is parsed, and where its points and scalars begin."""

    parse: Any
    raw: bytes
    points: tuple[int, ...] = ()
    scalars: tuple[int, ...] = ()


MESSAGES = {
    "re-encryption key": Message(
        parse=ReencryptionKey.from_secret_bytes, raw=SHARED.key.to_secret_bytes(), scalars=(0,)
    ),
    "shared key": Message(
        parse=SharedKey.from_secret_bytes, raw=SHARED.to_secret_bytes(), scalars=(0,)
    ),
    "shared capsule": Message(
        parse=SharedCapsule.from_bytes,
        raw=ANSWER.to_bytes(),
        points=(0, 33, 66, 99),
        scalars=(132,),
    ),
    "proof": Message(
        parse=ReencryptionProof.from_bytes,
        raw=MADE.batch.proof.to_bytes(),
        points=(0, 33),
        scalars=(66,),
    ),
    "rotated batch": Message(
        parse=RotatedBatch.from_bytes,
        raw=MADE.batch.to_bytes(),
        points=(0, 33, 98, 131, 230, 263),
        scalars=(66,),
    ),
    "member": Message(
        parse=lambda raw: RotatedCapsule.from_bytes(raw, PLACE, MADE.set),
        raw=MADE.members[0].to_bytes(),
        points=(0, 33),
        scalars=(66, 98),
    ),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_only_points_and_scalars_are_taken(message):
    assert message.parse(message.raw) is not None
    bad = [(at, raw) for at in message.points for raw in BAD_POINTS.values()]
    bad += [(at, raw) for at in message.scalars for raw in BAD_SCALARS.values()]
    for at, raw in bad:
        with pytest.raises(MalformedMessage):
            message.parse(message.raw[:at] + raw + message.raw[at + len(raw) :])


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_only_one_length_is_taken(message):
    raw = message.raw
    for wrong in (b"", raw[:-1], raw[1:], raw + b"\0", b"\0" + raw, raw + raw):
        with pytest.raises(MalformedMessage):
            message.parse(wrong)


def test_a_member_whose_seed_would_be_infinity_is_none():
    raw = bytearray(MADE.members[0].to_bytes())
    raw[33:66] = bytes([raw[0] ^ 1]) + raw[1:33]
    with pytest.raises(MalformedMessage, match="infinity"):
        RotatedCapsule.from_bytes(bytes(raw), PLACE, MADE.set)
    raw[33] ^= 1  # E = V is none either, but of this tree
    with pytest.raises(PeerFault):
        RotatedCapsule.from_bytes(bytes(raw), PLACE, MADE.set)


def test_a_batch_has_at_least_one_and_not_too_many():
    raw = MADE.batch.to_bytes()
    pair = raw[98:164]
    for wrong in (raw[:98], raw[:98] + pair * (MAX_ROTATION_BATCH + 1), raw[:97]):
        with pytest.raises(MalformedMessage):
            RotatedBatch.from_bytes(wrong)


ROOT = bytes(32)
BAD_SETS = {
    "batch 0": [ROOT, 0, 1, ROOT],
    "count 0": [ROOT, 1, 0, ROOT],
    "too many": [ROOT, 1, MAX_ROTATION_BATCH + 1, ROOT],
    "negative": [ROOT, -1, 1, ROOT],
    "a short id": [ROOT[1:], 1, 1, ROOT],
    "a long root": [ROOT, 1, 1, ROOT + b"\0"],
    "a field less": [ROOT, 1, 1],
    "a field more": [ROOT, 1, 1, ROOT, 1],
    "a map": {"batch": 1},
}


@pytest.mark.parametrize("value", BAD_SETS.values(), ids=BAD_SETS)
def test_no_set(value):
    with pytest.raises(MalformedMessage):
        RotatedSet.from_verified_bytes(codec.dumps(value))
    with pytest.raises(MalformedMessage):
        RotatedSet.from_verified_bytes(codec.dumps([ROOT, 1, 1, ROOT]) + b"\0")


@pytest.mark.parametrize(
    "value", [[0, 0], [1, -1, []], [1, 0, [ROOT[1:]]], [1, 0, ROOT], [1, 0, [], 0]]
)
def test_no_place(value):
    with pytest.raises(MalformedMessage):
        Place.from_bytes(codec.dumps(value))


def test_a_set_and_a_place_have_one_form():
    longer = codec.dumps([ROOT, 1, 1, ROOT]).replace(b"\x01\x01", b"\x18\x01\x01")
    with pytest.raises(MalformedMessage):
        RotatedSet.from_verified_bytes(longer)
    assert RotatedSet.from_verified_bytes(MADE.set.to_bytes()) == MADE.set
    assert Place.from_bytes(PLACE.to_bytes()) == PLACE
