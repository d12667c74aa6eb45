"""Any bytes give a checkpoint (an entry) that writes the same bytes, or `MalformedMessage`."""

from __future__ import annotations

import base64

from hypothesis import example, given
from hypothesis import strategies as st

from note_vectors import NOTES
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.entry import AuditEntry
from tigertally.base import codec
from tigertally.base.errors import MalformedMessage

TEXTS = [case["text"].encode() for case in NOTES["checkpoints"]]
LINES = st.sampled_from(
    ["", " ", "origin", "0", "5", "05", "\u2014 log " + base64.b64encode(bytes(68)).decode()]
) | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode())
ROOT = base64.b64encode(bytes(32)).decode()


def accepted(parser, raw):
    """Whether it parses; nothing but our error may come out, and nothing may be lost."""
    try:
        parsed = parser.from_bytes(raw)
    except MalformedMessage:
        return False
    assert parsed.to_bytes() == raw
    return True


@st.composite
def mutated(draw, originals):
    raw = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        cut = draw(st.integers(0, 3))
        raw[at : at + cut] = draw(st.binary(max_size=3) | st.sampled_from([b"\n", b"\n\n", b" "]))
    return bytes(raw)


@given(st.binary(max_size=300))
@example(b"")
@example(b"\n\n")
def test_any_bytes_as_a_checkpoint(raw):
    accepted(SignedCheckpoint, raw)


@given(mutated(TEXTS))
def test_changed_checkpoints(raw):
    accepted(SignedCheckpoint, raw)


@given(st.lists(LINES | st.just(ROOT), max_size=8))
def test_lines_that_look_like_a_checkpoint(lines):
    accepted(SignedCheckpoint, "".join(f"{line}\n" for line in lines).encode())


def test_the_originals_are_accepted():
    assert all(accepted(SignedCheckpoint, text) for text in TEXTS)


PARTS = [7, 1_800_000_000, "custody.release", "app", "a summary", b"detail"]
VALUES = st.none() | st.integers(-5, 2**65) | st.text(max_size=5) | st.binary(max_size=5)


@given(st.binary(max_size=100))
@example(b"")
def test_any_bytes_as_an_entry(raw):
    accepted(AuditEntry, raw)


@given(mutated([codec.dumps(PARTS)]))
def test_changed_entries(raw):
    accepted(AuditEntry, raw)


@given(at=st.integers(0, 5), value=VALUES | st.lists(VALUES, max_size=2))
def test_fields_of_other_types(at, value):
    parts = list(PARTS)
    parts[at] = value
    raw = codec.dumps(parts)
    if accepted(AuditEntry, raw):
        assert type(value) is type(PARTS[at])


def test_the_original_is_accepted():
    assert accepted(AuditEntry, codec.dumps(PARTS))
