from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from tigertally.audit.entry import AuditEntry
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Name, Text
from tigertally.base.limits import MAX_AUDIT_DETAIL_BYTES

ENTRY = AuditEntry(
    index=7,
    time=1_800_000_000,
    kind=Name("custody.release"),
    actor=Text("app"),
    summary=Text("payroll for: restore test"),
    detail=b"\x01\x02",
)
# The bytes are for ever: an entry written today must hash alike in every later version.
SNAPSHOT = (
    "86071a6b49d2006f637573746f64792e72656c6561736563617070"
    "7819706179726f6c6c20666f723a20726573746f72652074657374420102"
)


def test_the_bytes_are_as_they_always_were():
    assert ENTRY.to_bytes().hex() == SNAPSHOT
    assert AuditEntry.from_bytes(bytes.fromhex(SNAPSHOT)) == ENTRY


def test_the_leaf_is_the_hash_of_the_bytes():
    assert ENTRY.leaf == hashlib.sha256(b"\x00" + bytes.fromhex(SNAPSHOT)).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"index": 8},
        {"time": 0},
        {"kind": Name("custody.create")},
        {"actor": Text("ap")},
        {"summary": Text("")},
        {"detail": b""},
    ],
)
def test_every_field_counts(change):
    assert replace(ENTRY, **change).leaf != ENTRY.leaf


@pytest.mark.parametrize(
    "change",
    [
        {"index": -1},
        {"index": 2**64},
        {"time": -1},
        {"time": 2**64},
        {"detail": bytes(MAX_AUDIT_DETAIL_BYTES + 1)},
    ],
)
def test_fields_out_of_range(change):
    with pytest.raises(MalformedMessage):
        replace(ENTRY, **change)


@pytest.mark.parametrize("kind", ["", "Custody", "two words", "-x"])
def test_a_kind_is_a_name(kind):
    raw = bytes.fromhex(SNAPSHOT).replace(
        b"\x6fcustody.release", bytes([0x60 + len(kind)]) + kind.encode()
    )
    with pytest.raises(MalformedMessage):
        AuditEntry.from_bytes(raw)


def test_a_summary_is_one_line():
    raw = bytes.fromhex(SNAPSHOT).replace(b"for: ", b"for:\n")
    with pytest.raises(MalformedMessage):
        AuditEntry.from_bytes(raw)


def test_left_over_and_missing_bytes():
    for raw in (bytes.fromhex(SNAPSHOT) + b"\x00", bytes.fromhex(SNAPSHOT)[:-1], b""):
        with pytest.raises(MalformedMessage):
            AuditEntry.from_bytes(raw)


def test_the_largest_detail_travels():
    large = replace(ENTRY, detail=bytes(MAX_AUDIT_DETAIL_BYTES))
    assert AuditEntry.from_bytes(large.to_bytes()) == large
