"""Any bytes at the doors of delegation give a value or one of the errors the docstring names."""

from __future__ import annotations

import base64
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delegation_rig import NOW, MemoryObjects, label, parts, person, put, read, write
from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.delegation.client.channels import write_stream
from tigertally.delegation.client.documents import open_field
from tigertally.delegation.messages.headers import Header
from tigertally.delegation.messages.slots import Keys
from tigertally.delegation.messages.units import Unit
from tigertally.delegation.protocol import fields, markup, reading, records

ANN = person("ann")
STORE = MemoryObjects()
write(ANN, STORE, "a/b", bytes(100))
write_stream(ANN, STORE, label("c"), [b"x"], clock=lambda: NOW)
WHOLE = parts(STORE, "a/b")
RECORD = STORE.objects["c", "0" * 16]
REFUSALS = (InvalidSignature, MalformedMessage, Refused)
NOISE = st.binary(max_size=200)

pytestmark = pytest.mark.requirement("D1")


def changed(raw: bytes) -> st.SearchStrategy[bytes]:
    """These bytes with some in the middle replaced, left out or put in."""
    ends = st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)), st.binary(max_size=8))
    return ends.map(lambda e: raw[: e[0]] + e[2] + raw[e[1] :]).filter(lambda new: new != raw)


@given(NOISE | changed(WHOLE[0].raw))
def test_headers(raw):
    try:
        header = Header.from_bytes(raw)
    except MalformedMessage:
        return
    assert encode(header.fixed) == raw


@given(NOISE | changed(WHOLE[2].to_bytes()))
def test_key_slots(raw):
    try:
        keys = Keys.from_bytes(raw)
    except MalformedMessage:
        return
    assert keys.to_bytes() == raw


@given(NOISE | changed(WHOLE[1]))
def test_bodies(body):
    store = MemoryObjects()
    put(store, "a/b", WHOLE[0], body, WHOLE[2])
    with pytest.raises(REFUSALS):
        read(ANN, store, "a/b")


@given(NOISE | changed(RECORD))
def test_heads_of_records_and_files(raw):
    for door in (records.read_head, reading.read_header):
        try:
            door(io.BytesIO(raw))
        except MalformedMessage:
            continue


@given(st.text(max_size=50) | NOISE.map(lambda raw: base64.b64encode(raw).decode()))
def test_units(text):
    with pytest.raises(REFUSALS):
        open_field(text, label("a/b"), ANN)


@given(changed(STORE.objects["a", "b"]))
def test_units_of_changed_objects(data):
    unit = Unit(data=data, slots=WHOLE[2].sets[0])
    with pytest.raises(REFUSALS):
        open_field(base64.b64encode(encode(unit)).decode(), label("a/b"), ANN)


@given(NOISE)
def test_contents_of_fields(raw):
    try:
        value = fields.unpadded(raw)
    except MalformedMessage:
        return
    assert fields.padded(value) == raw


@given(st.text(max_size=60) | st.text("ab:-[]{}&*!<>|'\"#%@,? \n0123.~", max_size=40))
def test_markup(text):
    for parse, dump in (
        (markup.parse_yaml, markup.dump_yaml),
        (markup.parse_json, markup.dump_json),
    ):
        try:
            value = parse(text)
        except MalformedMessage:
            continue
        assert parse(dump(value)) == value
