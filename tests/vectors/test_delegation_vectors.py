"""What the page says, read a second time, opens what the product has written, and the other way."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from delegation_rig import MemoryObjects, label, person, read, write
from reference_delegation import Owner, field, record
from tigertally.delegation.client.documents import open_field
from tigertally.delegation.client.files import keys_path
from tigertally.delegation.messages.headers import Header

VECTORS = json.loads((Path(__file__).parent / "delegation.json").read_text())
OWNER = Owner(bytes.fromhex(VECTORS["device_secret"]))


@pytest.mark.requirement("D12")
def test_labels():
    for one in VECTORS["labels"]:
        path = one["path"].split("/") if one["path"] else []
        assert OWNER.id(path).hex() == one["id"]
        assert [OWNER.public(path, version).hex() for version in (1, 2)] == one["keys"]


@pytest.mark.requirement("D1")
@pytest.mark.requirement("D13")
@pytest.mark.parametrize("number", [0, 1])
def test_files(number):
    one = VECTORS["files"][number]
    raw, keys = bytes.fromhex(one["object"]), bytes.fromhex(one["keys"])
    path = one["path"].split("/")
    for depth in range(len(path)):
        meta, content = OWNER.file(raw, keys, path[:depth])
        assert meta == [path, one["written"]]
        assert content.hex() == one["content"]
    store, name = MemoryObjects(), label(one["path"])
    store.objects = {name: raw, keys_path(name): keys}
    assert read(person("vectors"), store, one["path"])[0].hex() == one["content"]


def test_a_file_of_several_chunks():
    store, content = MemoryObjects(), bytes(200_000)
    write(person("vectors"), store, "big", content)
    name = label("big")
    assert OWNER.file(store.objects[name], store.objects[keys_path(name)], [])[1] == content


@pytest.mark.requirement("D11")
def test_the_field():
    one = VECTORS["field"]
    path = one["path"].split("/")
    for depth in range(len(path)):
        assert field(OWNER, one["unit"], path[:depth])[1] == one["value"]
    assert open_field(one["unit"], label(one["path"]), person("vectors")) == one["value"]


@pytest.mark.requirement("D14")
def test_the_stream():
    following = None
    for number, one in enumerate(VECTORS["stream"]["records"]):
        raw = bytes.fromhex(one["record"])
        meta, content, after = record(OWNER, raw, ["camera"])
        assert (meta[0], content.hex()) == (["camera"], one["content"])
        header = Header.from_bytes(raw[4 : 4 + int.from_bytes(raw[:4], "big")])
        assert header.fixed.seq == number
        assert following is None or following in list(iter_slots(raw))
        following = after
    assert following is None


def iter_slots(raw):
    import cbor2

    source = io.BytesIO(raw)
    source.seek(4 + int.from_bytes(source.read(4), "big"))
    size = int.from_bytes(source.read(4), "big")
    yield from cbor2.loads(source.read(size))
