"""Fixed MessagePack forms: written as expected, and nothing else is read."""

from __future__ import annotations

import pytest

from tigertally.base.errors import MalformedMessage
from tigertally.schemes.umbral.wire import BOOLEAN, Layout

LAYOUT = Layout("thing", ((2,), 1, BOOLEAN, (1, BOOLEAN)))
RAW = bytes.fromhex("94 91c402 0a0d c401 25 c3 92 c401 5c c2")


def test_the_form():
    assert LAYOUT.pack(b"\n\r", b"%", True, b"\\", False) == RAW
    assert LAYOUT.unpack(RAW) == (b"\n\r", b"%", True, b"\\", False)


@pytest.mark.parametrize("at", range(len(RAW)))
def test_every_byte_of_the_form_counts(at):
    free = (4, 5, 8, 13)  # values
    other = RAW[:at] + bytes([RAW[at] ^ 8]) + RAW[at + 1 :]
    if at in free:
        assert LAYOUT.pack(*LAYOUT.unpack(other)) == other
    else:
        with pytest.raises(MalformedMessage, match="not a thing"):
            LAYOUT.unpack(other)


@pytest.mark.parametrize("raw", [b"", RAW[:-1], RAW + b"\n", RAW + b"\x00", b"\n" + RAW])
def test_another_length_is_refused(raw):
    with pytest.raises(MalformedMessage):
        LAYOUT.unpack(raw)
