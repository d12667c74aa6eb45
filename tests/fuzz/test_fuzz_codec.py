"""Any bytes give a value that encodes to the same bytes, or `MalformedMessage`; nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tigertally.base import codec
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import (
    DomainId,
    Fingerprint,
    Hash,
    HolderIndex,
    Name,
    Nonce,
    Signature,
    Text,
)
from tigertally.crypto.signatures import VerifyKey


class Verdict(Enum):
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    index: HolderIndex
    name: Name
    reason: Text
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    digest: Hash
    nonce: Nonce | None
    items: tuple[Item, ...]
    size: int
    flag: bool
    body: bytes
    pair: tuple[str, int]


SAMPLE = Message(
    digest=Hash(bytes(32)),
    nonce=None,
    items=tuple(
        Item(index=HolderIndex(i), name=Name("bob"), reason=Text("audit"), verdict=Verdict.NO)
        for i in (1, 2)
    ),
    size=70_000,
    flag=False,
    body=b"body",
    pair=("x", 3),
)
KINDS = [Message, Item, Hash, HolderIndex, Name, Text, Verdict, VerifyKey, bool, int, bytes, str]
WIRE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


def _holds(kind: type, raw: bytes) -> bool:
    try:
        value = codec.decode(kind, raw)
    except MalformedMessage:
        return False
    assert codec.encode(value) == raw
    return True


@given(st.sampled_from(KINDS), st.binary(max_size=300))
def test_any_bytes(kind: type, raw: bytes) -> None:
    _holds(kind, raw)


@given(st.sampled_from(KINDS), WIRE)
def test_any_plain_value(kind: type, value: object) -> None:
    try:
        raw = codec.dumps(value)
    except UnicodeEncodeError:
        return
    _holds(kind, raw)


@given(st.binary(max_size=300))
def test_any_bytes_as_a_plain_value(raw: bytes) -> None:
    try:
        value = codec.loads(raw)
    except MalformedMessage:
        return
    assert codec.dumps(value) == raw


def test_ten_thousand_mutations_of_a_real_message() -> None:
    rng = random.Random(20261120)
    raw = codec.encode(SAMPLE)
    assert _holds(Message, raw)
    accepted = sum(_holds(Message, _mutated(rng, raw)) for _ in range(10_000))
    assert 0 < accepted < 9_000  # some only change content; the fuzz reaches past the shape


def _mutated(rng: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        action = rng.randrange(4)
        if action == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif action == 1:
            data[at:at] = rng.randbytes(rng.randint(1, 9))
        elif action == 2:
            del data[at : at + rng.randint(1, 9)]
        elif at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        data = data or bytearray(1)
    return bytes(data)


@pytest.mark.parametrize("kind", [Hash, DomainId, Signature, Fingerprint])
@given(text=st.text(max_size=80) | st.text("0123456789abcdefABCDEF -234567", max_size=140))
def test_any_text_is_an_identifier_or_malformed(kind: type[Hash], text: str) -> None:
    try:
        value = kind.from_text(text)
    except MalformedMessage:
        return
    assert kind.from_text(str(value)) == value


@given(st.text(max_size=80), st.integers())
def test_any_text_or_number_is_a_name_an_index_or_malformed(text: str, number: int) -> None:
    for kind, value in [(Name, text), (Text, text), (HolderIndex, number)]:
        try:
            assert kind(value) == value  # type: ignore[operator]
        except MalformedMessage:
            continue
