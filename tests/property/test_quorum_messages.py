"""Every message of the quorum layer: the bytes of record, and there and back."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quorum_samples
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage
from tigertally.quorum import messages

pytestmark = pytest.mark.requirement("C13")

SAMPLES = quorum_samples.samples()
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "quorum_messages.json").read_text())


def test_every_message_has_a_sample():
    kinds = {
        kind
        for _, kind in inspect.getmembers(messages, inspect.isclass)
        if kind.__module__ == messages.__name__ and dataclasses.is_dataclass(kind)
    }
    assert kinds <= set(quorum_samples.KINDS)
    assert set(VECTORS["messages"]) == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_bytes_of_record(name):
    message, raw = SAMPLES[name], bytes.fromhex(VECTORS["messages"][name])
    assert encode(message) == raw
    assert decode(type(message), raw) == message


@pytest.mark.parametrize("name", SAMPLES)
def test_a_field_more_or_less_is_another_message(name):
    message = SAMPLES[name]
    raw = encode(message)
    fields = len(dataclasses.fields(message))
    if fields < 23:
        assert raw[0] == 0x80 + fields
        for other in (bytes([raw[0] + 1]) + raw[1:] + b"\x00", raw + b"\x00", raw[:-1], b""):
            with pytest.raises(MalformedMessage):
                decode(type(message), other)


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_flipped_bit_is_another_message_or_none(name, data):
    message = SAMPLES[name]
    raw = bytearray(encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = decode(type(message), bytes(raw))
    except MalformedMessage:
        return
    assert other != message
    assert encode(other) == bytes(raw)
