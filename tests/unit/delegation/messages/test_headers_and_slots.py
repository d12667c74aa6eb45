from __future__ import annotations

import io
from dataclasses import replace

import pytest

from delegation_rig import MemoryObjects, parts, person, write
from tigertally.base.codec import encode
from tigertally.base.errors import MalformedMessage
from tigertally.base.limits import MAX_HEADER_BYTES
from tigertally.delegation.messages.headers import (
    ALL_OR_NOTHING,
    FIELD,
    FINAL,
    RECORD,
    UNSIGNED,
    Header,
    Hint,
)
from tigertally.delegation.messages.slots import Keys
from tigertally.delegation.protocol.reading import read_header


@pytest.fixture(scope="module")
def written():
    store = MemoryObjects()
    write(person("ann"), store, "a/b", b"content", seed="w")
    return parts(store, "a/b")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": 0},
        {"kind": 4},
        {"flags": 8},
        {"flags": 4},  # a file is not the last record of anything
        {"kind": FIELD, "flags": UNSIGNED},  # only a file, and only if asked for
        {"kind": RECORD, "flags": UNSIGNED},
        {"kind": FIELD, "flags": ALL_OR_NOTHING},
        {"kind": FIELD, "flags": FINAL},
        {"seq": 1},
        {"kind": FIELD, "seq": 1},
        {"hints": ()},
        {"meta": b"short"},
    ],
)
def test_headers_that_are_none(written, change):
    with pytest.raises(MalformedMessage):
        replace(written[0].fixed, **change)


def test_a_hint_stands_once(written):
    fixed = written[0].fixed
    with pytest.raises(MalformedMessage):
        replace(fixed, hints=(fixed.hints[0], fixed.hints[0]))


def test_bytes_are_exact(written):
    header, _, keys = written
    assert Header.from_bytes(header.raw) == header
    assert Keys.from_bytes(keys.to_bytes()) == keys
    for raw in (header.raw + b"\0", header.raw[:-1], b""):
        with pytest.raises(MalformedMessage):
            Header.from_bytes(raw)
    for raw in (keys.to_bytes() + b"\0", keys.to_bytes()[:-1], b""):
        with pytest.raises(MalformedMessage):
            Keys.from_bytes(raw)


def test_slots_that_are_none(written):
    (slots,) = written[2].sets
    slot = slots.slots[0]
    for change in ({"version": 0}, {"form": 1}, {"capsule": b"x" * 97}, {"proof": b""}):
        with pytest.raises(MalformedMessage):
            replace(slot, **change)
    with pytest.raises(MalformedMessage):
        replace(slots, slots=(slot, slot))
    many = [replace(slot, hint=Hint(bytes([n]) * 16)) for n in range(66)]
    replace(slots, slots=tuple(many[:65]))
    with pytest.raises(MalformedMessage, match="more key slots"):
        replace(slots, slots=tuple(many))
    with pytest.raises(MalformedMessage):
        Keys(sets=(slots, slots))
    with pytest.raises(MalformedMessage):
        Keys(sets=())


def test_no_more_is_read_than_a_header_can_have(written):
    class Careful(io.BytesIO):
        def read(self, wanted=-1):
            assert 0 <= wanted <= MAX_HEADER_BYTES
            return super().read(wanted)

    for length in (b"\xff" * 4, (MAX_HEADER_BYTES + 1).to_bytes(4, "big")):
        with pytest.raises(MalformedMessage):
            read_header(Careful(length + written[0].raw))


def test_a_slot_costs_what_the_page_says(written):
    (slots,) = written[2].sets
    assert 165 <= len(encode(slots.slots[0])) <= 175
