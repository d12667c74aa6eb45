"""Any files, any number of rotations, files written in between: all of them are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delegation_rig import MemoryObjects, parts, person, read, write
from rotated_rig import FOLDER, Recipient, folder, only_slot, put_slot, rotate, slot_of
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.delegation.messages.slots import Keys

NAMES = st.lists(st.sampled_from(["a", "b", "c/d", "c/e/f", "g"]), min_size=1, unique=True)
ANN, STORE = folder("laws")
rotate(ANN, STORE)
PATH = "team/plans/a"
only_slot(ANN, STORE, PATH)
RAW = parts(STORE, PATH)[2].to_bytes()
SLOT = slot_of(ANN, STORE, PATH)
READER = Recipient(ANN)

pytestmark = pytest.mark.requirement("D16")


@settings(max_examples=15)
@given(names=NAMES, generations=st.integers(1, 3), late=st.booleans(), content=st.binary())
def test_everything_is_read_after_any_rotations(names, generations, late, content):
    owner, store = person("any"), MemoryObjects()
    paths = [f"team/plans/{name}" for name in names]
    for path in paths:
        write(owner, store, path, content)
    owner.raise_version(FOLDER)
    for generation in range(1, generations + 1):
        assert rotate(owner, store, generation) == len(paths)
    if late:
        write(owner, store, "team/plans/late", content)
        owner.raise_version(FOLDER)
        assert rotate(owner, store, 1, version=2) == 1
        assert read(Recipient(owner, 1, 2), store, "team/plans/late")[0] == content
    reader = Recipient(owner, generations)
    for path in paths:
        only_slot(owner, store, path)
        assert read(owner, store, path)[0] == read(reader, store, path)[0] == content


@settings(max_examples=60)
@given(bit=st.integers(0, 8 * len(RAW) - 1))
def test_no_bit_of_the_slots_can_be_flipped(bit):
    raw = bytearray(RAW)
    raw[bit // 8] ^= 1 << (bit % 8)
    try:
        keys = Keys.from_bytes(bytes(raw))
    except MalformedMessage:
        return
    assert keys.to_bytes() == raw
    if keys.sets[0].file_id != Keys.from_bytes(RAW).sets[0].file_id:
        return  # slots of another write: a reader looks again, and again
    held = dict(STORE.objects)
    STORE.objects["team", "plans", "a.keys"] = bytes(raw)
    try:
        for one in (ANN, READER):
            with pytest.raises((MalformedMessage, InvalidSignature, Refused)):
                read(one, STORE, PATH)
    finally:
        STORE.objects = held


@settings(max_examples=40)
@given(
    at=st.integers(0, len(SLOT.proof or b"")), noise=st.binary(max_size=4), cut=st.integers(0, 9)
)
def test_places_are_exact(at, noise, cut):
    proof = SLOT.proof or b""
    raw = proof[:at] + noise + proof[at + cut :]
    if raw == proof:
        return
    try:
        put_slot(STORE, PATH, replace(SLOT, proof=raw))
    except MalformedMessage:
        return
    with pytest.raises((InvalidSignature, Refused)):
        read(READER, STORE, PATH)
    put_slot(STORE, PATH, SLOT)
