"""Signed messages: what is refused is not remembered."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tigertally.base.errors import InvalidSignature
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto import envelope
from tigertally.crypto.envelope import open_message, sign_message
from tigertally.crypto.signatures import SigningKey

TAG = b"tigertally/test/envelope"
ALICE, MALLORY = (SigningKey.generate(SeededRandomness(name)) for name in ("alice", "mallory"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    text: bytes


@pytest.mark.parametrize("size", [10, 10_000])
def test_only_what_was_verified_is_kept(size):
    def opened(signed):
        return open_message(Note, TAG, signed, lambda _: (ALICE.public, "alice"))

    def kept(signed):
        return envelope._cache(signed.body).get((Note, signed.body)) is not None

    forged = sign_message(MALLORY, TAG, Note(text=bytes(size)))
    for _ in range(2):
        with pytest.raises(InvalidSignature):
            opened(forged)
        assert not kept(forged)
    good = sign_message(ALICE, TAG, Note(text=bytes(size)))
    assert good.body == forged.body
    assert opened(good).text == bytes(size)
    assert kept(good)
    with pytest.raises(InvalidSignature):  # that it is known makes no signature of another's valid
        opened(forged)
