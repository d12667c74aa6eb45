"""Any bytes at the doors of `crypto` give a value or one of the errors the docstring names."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead, passphrase
from tigertally.crypto.certificates import certificate_of, public_key_of
from tigertally.crypto.hpke import PrivateKey, PublicKey
from tigertally.crypto.passphrase import FOR_TESTS_ONLY, Parameters
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.crypto.stream import MAGIC, StreamReader, decrypt_stream

SIGNER = SigningKey.generate(SeededRandomness("signer"))
RECEIVER = PrivateKey.generate(SeededRandomness("receiver"))
KEY = Secret(bytes(32))
CERTIFICATE = certificate_of(SIGNER.public)
LATTICE_PART = bytes(RECEIVER.public)[:1184]


@given(st.binary(max_size=40) | st.binary(min_size=32, max_size=32))
def test_any_bytes_are_a_verify_key_or_malformed(raw: bytes) -> None:
    try:
        key = VerifyKey(raw)
    except MalformedMessage:
        return
    assert bytes(key) == raw
    assert public_key_of(certificate_of(key)) == key


@given(
    st.binary(max_size=40)
    | st.binary(min_size=1216, max_size=1216)
    | st.binary(min_size=32, max_size=32).map(lambda curve: LATTICE_PART + curve)
)
def test_any_bytes_are_an_encryption_key_that_seals_or_malformed(raw: bytes) -> None:
    try:
        key = PublicKey(raw)
    except MalformedMessage:
        return
    assert len(key.seal(b"", info=b"")) == 1136


@given(st.binary(max_size=500), st.integers(0, len(CERTIFICATE)), st.integers(0, 500))
def test_any_bytes_are_a_certificate_or_malformed(raw: bytes, at: int, keep: int) -> None:
    for der in (raw, CERTIFICATE[:at] + raw + CERTIFICATE[at + keep :]):
        try:
            key = public_key_of(der)
        except MalformedMessage:
            continue
        assert certificate_of(key) == der


@given(st.binary(max_size=1400) | st.binary(min_size=1136, max_size=1200))
def test_no_bytes_open_by_chance(raw: bytes) -> None:
    for attempt in (
        lambda: RECEIVER.open(raw, info=b""),
        lambda: aead.open(KEY, raw, aad=b""),
        lambda: decrypt_stream(KEY, io.BytesIO(raw), io.BytesIO(), context=b""),
        lambda: decrypt_stream(KEY, io.BytesIO(MAGIC + raw), io.BytesIO(), context=b""),
        lambda: StreamReader(KEY, io.BytesIO(MAGIC + raw), context=b""),
    ):
        try:
            attempt()
        except InvalidSignature:
            continue
        raise AssertionError("random bytes opened")


@given(st.binary(max_size=200))
def test_no_bytes_open_under_a_passphrase_by_chance(raw: bytes) -> None:
    cheap = b"\x01" + FOR_TESTS_ONLY.to_bytes() + raw
    for sealed in (raw[:1], b"\x02" + raw, cheap):
        try:
            passphrase.open(Secret(b"pw"), sealed, aad=b"")
        except (Refused, MalformedMessage):
            continue
        raise AssertionError("random bytes opened")


@given(st.binary(max_size=12) | st.binary(min_size=9, max_size=9))
def test_any_bytes_are_a_bounded_cost_or_malformed(raw: bytes) -> None:
    try:
        cost = Parameters.from_bytes(raw)
    except MalformedMessage:
        return
    assert cost.to_bytes() == raw
    assert cost.memory_kib * cost.passes <= 2 * 1024 * 1024
