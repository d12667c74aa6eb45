"""Laws of the sealing formats, for all contents, contexts and kinds of damage."""

from __future__ import annotations

import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tigertally.base.errors import InvalidSignature
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.crypto.stream import (
    CHUNK_BYTES,
    HEADER_BYTES,
    StreamReader,
    decrypt_stream,
    encrypt_stream,
)

KEYS = st.binary(min_size=32, max_size=32)
SIGNER = SigningKey.generate(SeededRandomness("signer"))
RECEIVER = PrivateKey.generate(SeededRandomness("receiver"))

PLAIN = SeededRandomness("plain").bytes(5 * CHUNK_BYTES + 1234)


def _encrypted(key: bytes, plain: bytes, context: bytes) -> bytes:
    sink, randomness = io.BytesIO(), SeededRandomness("salt")
    encrypt_stream(Secret(key), io.BytesIO(plain), sink, context=context, randomness=randomness)
    return sink.getvalue()


SEALED = _encrypted(bytes(32), PLAIN, b"c")


@given(st.binary(max_size=200), st.binary(max_size=40), st.binary(max_size=40))
def test_a_secret_gives_back_what_went_in(raw: bytes, other: bytes, third: bytes) -> None:
    secrets = [Secret(value) for value in (raw, other, third)]
    assert [s.to_secret_bytes() for s in secrets] == [raw, other, third]
    assert secrets[1].matches(secrets[2]) == (other == third)


@given(KEYS, KEYS, st.binary(max_size=100), st.binary(max_size=20), st.binary(max_size=20))
def test_aead_opens_under_its_key_and_context_only(
    key: bytes, other: bytes, plain: bytes, aad: bytes, elsewhere: bytes
) -> None:
    sealed = aead.seal(Secret(key), plain, aad=aad)
    assert aead.open(Secret(key), sealed, aad=aad).matches(plain)
    assume((key, aad) != (other, elsewhere))
    with pytest.raises(InvalidSignature):
        aead.open(Secret(other), sealed, aad=elsewhere)


@given(st.binary(max_size=100), st.binary(max_size=20), st.binary(max_size=20))
def test_hpke_opens_under_its_info_only(plain: bytes, info: bytes, elsewhere: bytes) -> None:
    sealed = RECEIVER.public.seal(plain, info=info)
    assert RECEIVER.open(sealed, info=info).matches(plain)
    assume(info != elsewhere)
    with pytest.raises(InvalidSignature):
        RECEIVER.open(sealed, info=elsewhere)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_signature_is_for_one_body(body: bytes, other: bytes) -> None:
    signature = SIGNER.sign(b"tag\0", body)
    SIGNER.public.verify(b"tag\0", body, signature)
    assume(body != other)
    with pytest.raises(InvalidSignature):
        SIGNER.public.verify(b"tag\0", other, signature)


@given(KEYS, st.binary(max_size=2000), st.binary(max_size=40))
def test_a_stream_comes_back(key: bytes, plain: bytes, context: bytes) -> None:
    sealed, sink = _encrypted(key, plain, context), io.BytesIO()
    assert decrypt_stream(Secret(key), io.BytesIO(sealed), sink, context=context) == len(plain)
    assert sink.getvalue() == plain


@given(st.integers(0, len(PLAIN) + 10), st.integers(0, 3 * CHUNK_BYTES))
def test_random_access_agrees_with_slicing(offset: int, size: int) -> None:
    reader = StreamReader(Secret(bytes(32)), io.BytesIO(SEALED), context=b"c")
    assert reader.read_at(offset, size) == PLAIN[offset : offset + size]


@given(st.integers(0, len(SEALED) - 1), st.integers(0, len(SEALED)), st.binary(max_size=40))
def test_replacing_any_span_of_a_stream_is_noticed(start: int, end: int, put: bytes) -> None:
    damaged = SEALED[:start] + put + SEALED[max(start, end) :]
    assume(damaged != SEALED)
    with pytest.raises(InvalidSignature):
        decrypt_stream(Secret(bytes(32)), io.BytesIO(damaged), io.BytesIO(), context=b"c")


@given(KEYS, st.binary(max_size=10))
def test_no_other_key_or_context_opens_a_stream(key: bytes, context: bytes) -> None:
    assume(key != bytes(32) or context != b"c")
    sink = io.BytesIO()
    with pytest.raises(InvalidSignature):
        decrypt_stream(Secret(key), io.BytesIO(SEALED), sink, context=context)
    assert sink.getvalue() == b""
    assert HEADER_BYTES == 104
