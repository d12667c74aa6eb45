"""A label's slots are made anew for its newest key: the remedy after a theft."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from delegation_rig import MemoryObjects, label, parts, person, put, read
from rotated_rig import FILES, FOLDER, Recipient, folder, only_slot, put_slot, rotate, slot_of
from tigertally.base.errors import InvalidSignature, Refused
from tigertally.delegation.client import channels
from tigertally.delegation.client.rekeying import rekey
from tigertally.delegation.messages.slots import ORIGINAL
from tigertally.delegation.protocol import records

pytestmark = [pytest.mark.requirement("D12"), pytest.mark.requirement("D16")]


@pytest.mark.parametrize("generations", [0, 1, 2])
def test_originals_and_rotated_slots_get_the_newest_key(generations):
    owner, store = folder()
    for generation in range(1, generations + 1):
        rotate(owner, store, generation)
    before = {path: parts(store, path)[2].sets[0].slots for path in FILES}
    data = {path: store.objects[label(path)] for path in FILES}
    assert rekey(owner, store, FOLDER) == len(FILES)
    assert {path: store.objects[label(path)] for path in FILES} == data
    for path in FILES:
        slot = slot_of(owner, store, path)
        assert (slot.version, slot.form) == (2, ORIGINAL)
        after = parts(store, path)[2].sets[0].slots
        others = [one.hint for one in after if one.hint != slot.hint]
        kept = [one for one in before[path] if one.hint in others]
        assert [one for one in after if one.hint in others] == kept, "other labels' slots stay"
        only_slot(owner, store, path)
        assert read(owner, store, path)[0] == path.encode()
        if generations:
            with pytest.raises(Refused):
                read(Recipient(owner, generations), store, path)
    assert rekey(owner, store, FOLDER) == 0, "there is nothing left to do"
    owner.raise_version(FOLDER)
    assert rotate(owner, store, 1, version=2) == len(FILES)
    assert read(Recipient(owner, 1, 2), store, FILES[0])[0] == FILES[0].encode()


def test_a_moved_file_is_not_addressed_anew():
    owner, store = folder()
    put(store, "team/plans/x", *parts(store, FILES[0]))
    before = dict(store.objects)
    with pytest.raises(InvalidSignature, match="was written for"):
        rekey(owner, store, FOLDER)
    assert store.objects == before


def test_a_version_that_never_was():
    owner, store = folder()
    put_slot(store, FILES[0], replace(slot_of(owner, store, FILES[0]), version=3))
    before = dict(store.objects)
    with pytest.raises(InvalidSignature, match="never had"):
        rekey(owner, store, FOLDER)
    assert store.objects == before


def test_the_records_of_a_channel():
    owner, store, name = person("channel"), MemoryObjects(), label("camera")
    channels.write_stream(owner, store, name, [b"one", b"two"], clock=lambda: 1)
    owner.raise_version(name)
    assert rekey(owner, store, name) == 3
    following = None
    for number in range(3):
        raw = store.objects[channels.record_path(name, number)]
        keys = records.read_head(io.BytesIO(raw)).keys
        assert keys.own.version == 2
        assert following in (None, keys.own), "the slot that was announced"
        following = keys.following
    store.objects["camera", "first"] = store.objects[channels.record_path(name, 0)]
    owner.raise_version(name)
    with pytest.raises(InvalidSignature, match="not the name of a record"):
        rekey(owner, store, name)
    store.delete(("camera", "first"))
    assert rekey(owner, store, name) == 3
    sink = io.BytesIO()
    channels.read_stream(store, owner, name, sink)
    assert sink.getvalue() == b"onetwo"
    assert rekey(owner, store, name) == 0
