from __future__ import annotations

import hashlib

import pytest

from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import (
    DomainId,
    Fingerprint,
    FixedBytes,
    Hash,
    HolderIndex,
    Name,
    Nonce,
    ProposalId,
    RosterHash,
    Signature,
    Text,
)

FIXED = [Hash, DomainId, ProposalId, RosterHash, Nonce, Fingerprint, Signature]


@pytest.mark.parametrize("kind", FIXED)
def test_fixed_bytes_have_exactly_their_size(kind: type[FixedBytes]) -> None:
    value = kind(bytes(range(kind.SIZE)))
    assert isinstance(value, bytes)
    assert value == bytes(range(kind.SIZE))
    for wrong in (b"", bytes(kind.SIZE - 1), bytes(kind.SIZE + 1)):
        with pytest.raises(MalformedMessage):
            kind(wrong)
    for wrong_type in ("a" * kind.SIZE, kind.SIZE, bytearray(kind.SIZE), None):
        with pytest.raises(MalformedMessage):
            kind(wrong_type)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", FIXED)
def test_fixed_bytes_come_back_from_their_text(kind: type[FixedBytes]) -> None:
    value = kind(hashlib.sha512(b"x").digest()[: kind.SIZE])
    assert kind.from_text(str(value)) == value
    for wrong in ("", "zz", str(value)[:-1], str(value) + "a0", "é" * 64):
        with pytest.raises(MalformedMessage):
            kind.from_text(wrong)


def test_a_fingerprint_reads_as_grouped_base32() -> None:
    fingerprint = Fingerprint(hashlib.sha256(b"").digest())
    text = "4oym-iquy-7qob-jgx3-6tej-s35z-eqt2-4qpe-msnz-gtfe-swmr-w6cs-xbkq"
    assert str(fingerprint) == text
    spoken = str(fingerprint).upper().replace("-", " ")
    assert Fingerprint.from_text(spoken) == fingerprint


def test_a_fingerprint_with_stray_bits_is_refused() -> None:
    text = str(Fingerprint(bytes(32)))
    assert text.endswith("a")
    with pytest.raises(MalformedMessage):
        Fingerprint.from_text(text[:-1] + "b")


def test_holder_indices_are_1_to_255() -> None:
    assert [HolderIndex(1), HolderIndex(255)] == [1, 255]
    for wrong in (0, -1, 256, True, False, 2**70):
        with pytest.raises(MalformedMessage):
            HolderIndex(wrong)


@pytest.mark.parametrize("text", ["a", "0", "alice", "a.b_c-d9", "x" * 64])
def test_names(text: str) -> None:
    assert Name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "alice ",
        " alice",
        "-a",
        "a-",
        ".a",
        "a_",
        "ä",
        "a/b",
        "a\n",
        "x" * 65,
        "..",
        "a\0b",
    ],
)
def test_no_names(text: str) -> None:
    with pytest.raises(MalformedMessage):
        Name(text)


@pytest.mark.parametrize("text", ["", "Quarterly audit, 虎符", "x" * 500, "naïve"])
def test_texts(text: str) -> None:
    assert Text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "x" * 501,
        "two\nlines",
        "bell\x07",
        "\x1b[31mred",
        "right to left \u202e",
        "zero\u200bwidth",
        "nai\u0308ve",  # not in normal form C
        "\ud800",
    ],
)
def test_no_texts(text: str) -> None:
    with pytest.raises(MalformedMessage):
        Text(text)


def test_a_text_that_is_refused_says_why():
    for text, why in (("x" * 501, "has 501"), ("ab\x1b[31m", "U\\+001B at character 3")):
        with pytest.raises(MalformedMessage, match=why):
            Text(text)
