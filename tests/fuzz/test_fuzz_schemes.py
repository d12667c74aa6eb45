"""Any bytes give a value that encodes to those bytes, or `MalformedMessage`, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tigertally.algebra import secp256k1
from tigertally.algebra.ed25519 import Element, Point, Scalar
from tigertally.base.errors import MalformedMessage, PeerFault
from tigertally.base.ids import Hash, HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.ecdsa import EcdsaSignature
from tigertally.schemes import pedersen, single_pre, umbral
from tigertally.schemes.pedersen import Commitments, Fragment, SharedSecret

DEALT = pedersen.deal(
    threshold=3,
    receivers=[HolderIndex(i) for i in (1, 2, 3)],
    randomness=SeededRandomness("fuzz"),
)
KEY = umbral.SecretKey.random(SeededRandomness("fuzz"))
CAPSULE, _ = umbral.encapsulate(KEY.public_key(), randomness=SeededRandomness("fuzz capsule"))
(KFRAG,) = umbral.generate_key_fragments(
    KEY, KEY.public_key(), umbral.Signer(KEY), 1, 1, randomness=SeededRandomness("fuzz kfrag")
)
CFRAG = umbral.reencrypt(CAPSULE, KFRAG, randomness=SeededRandomness("fuzz cfrag"))
SHARED = single_pre.share(KEY, KEY.public_key(), randomness=SeededRandomness("fuzz share"))
ANSWER = single_pre.reencrypt_shared(CAPSULE, SHARED, randomness=SeededRandomness("fuzz answer"))
ROTATION = single_pre.Rotation.first(
    umbral.SecretKeyFactory.random(SeededRandomness("fuzz factory")), Hash(bytes(32)), KEY
)
INPUTS = [CAPSULE] * 3
BATCH = single_pre.prove_batch(
    ROTATION.task.id, INPUTS, ROTATION.key, randomness=SeededRandomness("fuzz batch")
)
CHECKED = single_pre.verify_batch(ROTATION.task, INPUTS, BATCH)
ROTATED_SET = CHECKED.rotated_set(1)
GOOD = [
    SHARED.to_secret_bytes(),
    ANSWER.to_bytes(),
    BATCH.to_bytes(),
    BATCH.proof.to_bytes(),
    CHECKED.members[0],
    CHECKED.place(1, 0).to_bytes(),
    ROTATED_SET.to_bytes(),
    CAPSULE.to_bytes(),
    CAPSULE.to_bytes_simple(),
    KFRAG.to_bytes(),
    CFRAG.to_bytes(),
    CFRAG.to_bytes_simple(),
    KEY.public_key().to_bytes(),
    umbral.Signer(KEY).sign(b"fuzz"),
    DEALT.commitments.to_bytes(),
    DEALT.commitments.to_bytes()[:32],
    DEALT.fragments[0].to_secret_bytes(),
    DEALT.fragments[0].to_secret_bytes()[:32],
    b"\x01" + bytes(31),
]


def _member(raw: bytes) -> single_pre.RotatedCapsule:
    """A member by its bytes; what parses and is none is as good as what does not parse."""
    try:
        return single_pre.RotatedCapsule.from_bytes(raw, CHECKED.place(1, 0), ROTATED_SET)
    except PeerFault as error:
        raise MalformedMessage("no member") from error


PARSERS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "point": (Point, bytes),
    "element": (Element, bytes),
    "scalar": (Scalar.from_secret_bytes, Scalar.to_secret_bytes),
    "commitments": (Commitments.from_bytes, Commitments.to_bytes),
    "fragment": (
        lambda raw: Fragment.from_secret_bytes(HolderIndex(1), raw),
        Fragment.to_secret_bytes,
    ),
    "secp256k1 point": (secp256k1.Point.from_bytes, secp256k1.Point.to_bytes),
    "secp256k1 scalar": (
        secp256k1.Scalar.from_secret_bytes,
        secp256k1.Scalar.to_secret_bytes,
    ),
    "public scalar": (secp256k1.PublicScalar, bytes),
    "ECDSA signature": (EcdsaSignature, bytes),
    "public key": (umbral.PublicKey.from_bytes, umbral.PublicKey.to_bytes),
    "capsule": (umbral.Capsule.from_bytes, umbral.Capsule.to_bytes),
    "simple capsule": (umbral.Capsule.from_bytes_simple, umbral.Capsule.to_bytes_simple),
    "kfrag": (umbral.KeyFragment.from_bytes, umbral.KeyFragment.to_bytes),
    "cfrag": (umbral.CapsuleFragment.from_bytes, umbral.CapsuleFragment.to_bytes),
    "simple cfrag": (
        umbral.CapsuleFragment.from_bytes_simple,
        umbral.CapsuleFragment.to_bytes_simple,
    ),
    "re-encryption key": (
        single_pre.ReencryptionKey.from_secret_bytes,
        single_pre.ReencryptionKey.to_secret_bytes,
    ),
    "shared key": (single_pre.SharedKey.from_secret_bytes, single_pre.SharedKey.to_secret_bytes),
    "shared capsule": (single_pre.SharedCapsule.from_bytes, single_pre.SharedCapsule.to_bytes),
    "re-encryption proof": (
        single_pre.ReencryptionProof.from_bytes,
        single_pre.ReencryptionProof.to_bytes,
    ),
    "rotated batch": (single_pre.RotatedBatch.from_bytes, single_pre.RotatedBatch.to_bytes),
    "place": (single_pre.Place.from_bytes, single_pre.Place.to_bytes),
    "rotated set": (single_pre.RotatedSet.from_verified_bytes, single_pre.RotatedSet.to_bytes),
    "rotated capsule": (_member, single_pre.RotatedCapsule.to_bytes),
    "secret pair": (SharedSecret.from_secret_bytes, SharedSecret.to_secret_bytes),
}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Good bytes with a few changed, cut or appended."""
    raw = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 3))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(raw)))
    return bytes(raw[:cut] if draw(st.booleans()) else raw + draw(st.binary(max_size=3)))


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=300, deadline=None)
@given(raw=st.one_of(damaged(), st.binary(max_size=400), st.sampled_from(GOOD)))
def test_any_bytes(name: str, raw: bytes) -> None:
    parse, write = PARSERS[name]
    try:
        value = parse(raw)
    except MalformedMessage:
        return
    assert write(value) == raw


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_takes_something(name: str) -> None:
    parse, write = PARSERS[name]
    accepted = 0
    for raw in GOOD:
        try:
            accepted += write(parse(raw)) == raw
        except MalformedMessage:
            continue
    assert accepted
