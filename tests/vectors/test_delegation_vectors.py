"""What the page says, read a second time, opens what the product has written, and the other way."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from delegation_rig import MemoryObjects, label, person, read, write
from reference_delegation import Owner, field, record, tag
from reference_secp256k1 import G, compressed, mul
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


@pytest.mark.requirement("D16")
@pytest.mark.parametrize("number", [0, 1])
def test_rotated_slots(number):
    rotated = VECTORS["rotated"]
    one, above = rotated["generations"][number], rotated["label"].split("/")
    owner, body = Owner(bytes.fromhex(VECTORS["device_secret"])), bytes.fromhex(one["set"])
    batch = cbor2.loads(body)[1]
    owner.sets[batch] = (number + 1, body)
    grant = Ed25519PublicKey.from_public_bytes(bytes.fromhex(rotated["grant_key"]))
    grant.verify(bytes.fromhex(one["signature"]), tag("rotated-set") + body)
    assert compressed(mul(owner.target(above, 1, number + 1), G)).hex() == one["target"]
    assert cbor2.loads(body)[0].hex() == one["rotation"]
    for file, keys in zip(rotated["files"], one["keys"], strict=True):
        raw, slots = bytes.fromhex(file["object"]), bytes.fromhex(keys)
        assert [slot[2] for slot in cbor2.loads(slots)[0][0][1]][:2] == [0, 1]
        path = file["path"].split("/")
        for labels in ([], above):
            meta, content = owner.file(raw, slots, labels)
            assert (meta[0], content.decode()) == (path, file["path"])
    carried = {keys[66:98] for keys in capsules(rotated, number)}
    assert carried == {keys[66:98] for keys in capsules(rotated, 1 - number)}, "h stays"


def capsules(rotated, number):
    for keys in rotated["generations"][number]["keys"]:
        yield cbor2.loads(bytes.fromhex(keys))[0][0][1][1][3]


def iter_slots(raw):
    source = io.BytesIO(raw)
    source.seek(4 + int.from_bytes(source.read(4), "big"))
    size = int.from_bytes(source.read(4), "big")
    yield from cbor2.loads(source.read(size))
