"""docs/protocols/delegation-files.md read a second time, without a line of the product.

Opens files, fields and records of an owner from its device secret; plain, slow, and only with
`cryptography`, `cbor2` and the slow curve of the tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from reference_secp256k1 import G, N, P, add, compressed, mul

PIECE = 65536


def tag(name: str) -> bytes:
    return b"tigertally/v1/" + name.encode() + b"\0"


def framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def hkdf(key: bytes, info: bytes, size: int = 32) -> bytes:
    return HKDF(SHA256(), size, None, info).derive(key)


def hk(key: bytes, purpose: str, *parts: bytes) -> bytes:
    return hkdf(key, tag(purpose) + framed(*parts))


def mac(key: bytes, purpose: str, *parts: bytes) -> bytes:
    return hmac.digest(key, tag(purpose) + framed(*parts), "sha256")


def sha(purpose: str, *parts: bytes) -> bytes:
    return hashlib.sha256(tag(purpose) + framed(*parts)).digest()


def scalar(purpose: bytes, value: bytes) -> int:
    raw = hashlib.sha256(len(purpose).to_bytes(4, "big") + purpose + value).digest()
    return int.from_bytes(raw, "big") % (N - 1) + 1


def point(raw: bytes) -> tuple[int, int]:
    x = int.from_bytes(raw[1:], "big")
    y = pow(x**3 + 7, (P + 1) // 4, P)
    return x, y if y % 2 == raw[0] % 2 else P - y


class Owner:
    def __init__(self, device_secret: bytes) -> None:
        self.seed = hk(device_secret, "owner-seed")
        self.sets: dict[int, tuple[int, bytes]] = {}  # number to generation and D[id, batch, …]

    def id(self, path: list[str]) -> bytes:
        found = hk(self.seed, "label-root")
        for name in path:
            found = mac(found, "label-id", name.encode())
        return found

    def secret(self, path: list[str], version: int) -> int:
        purpose = b"KEY_DERIVATION/" + cbor2.dumps([tag("label-key"), path, version])
        return scalar(purpose, hkdf(self.seed, purpose, 64))

    def public(self, path: list[str], version: int) -> bytes:
        return compressed(mul(self.secret(path, version), G))

    def dek(self, header: list[Any], slot: list[Any], path: list[str]) -> bytes:
        """The DEK of a slot for the label `path`; AES-GCM and the commitment say if it is right."""
        _, _, file_id, seq, _, commitment, _, _ = header
        hint, version, form, capsule, wrap, proof = slot
        assert hint == sha("hint", self.id(path), file_id)[:16]
        a = self.public(path, version)
        if form == 0:
            assert proof is None
            raw_e, raw_v, s = capsule[:33], capsule[33:66], capsule[66:]
            h = scalar(b"CAPSULE_POINTS", raw_e + raw_v)
            secret, origin = self.secret(path, version), G
        else:
            assert form == 1
            raw_e, raw_v, s = capsule[:33], capsule[33:66], capsule[98:]
            h = int.from_bytes(capsule[66:98], "big")
            secret = self.target(path, version, self.member(path, version, capsule, proof))
            origin = point(a)
        e, v = point(raw_e), point(raw_v)
        if form == 1:
            e, v = mul(secret, e), mul(secret, v)
        assert mul(int.from_bytes(s, "big"), origin) == add(v, mul(h, e))
        seed = compressed(add(e, v) if form == 1 else mul(secret, add(e, v)))
        kek = hk(seed, "kek", self.id(path), a, h.to_bytes(32, "big"), s)
        aad = tag("dek-wrap") + framed(cbor2.dumps([file_id, seq, commitment]))
        dek = AESGCM(kek).decrypt(bytes(12), wrap, aad)
        assert commitment == mac(dek, "dek-commitment", file_id, seq.to_bytes(8, "big"))
        return dek

    def target(self, path: list[str], version: int, generation: int) -> int:
        """docs/protocols/rotation.md, "Deriving", from the first key on."""
        source = self.secret(path, version)
        for _ in range(generation):
            purpose = b"KEY_DERIVATION/" + tag("rotation-key")
            purpose += cbor2.dumps([self.id(path), compressed(mul(source, G))])
            source = scalar(purpose, hkdf(self.seed, purpose, 64))
        return source

    def member(self, path: list[str], version: int, row: bytes, place: bytes) -> int:
        """The generation of the set that has this capsule at this place."""
        batch, index, way = cbor2.loads(place)
        generation, body = self.sets[batch]
        rotation, number, count, top = cbor2.loads(body)
        target = compressed(mul(self.target(path, version, generation), G))
        assert rotation == sha("rotation-id", self.id(path), self.public(path, version), target)
        assert (number, len(row)) == (batch, 130)
        parts = [row[:33], row[33:66], row[66:98], row[98:]]
        leaf = hashlib.sha256(b"\0" + tag("rotated-capsule") + cbor2.dumps(parts)).digest()
        assert led(leaf, index, count, way) == top
        return generation

    def file(self, raw: bytes, keys: bytes, above: list[str]) -> tuple[list[Any], bytes]:
        """Meta and content of a file, by the slot of `above`."""
        header_raw, body = head(raw)
        header = cbor2.loads(header_raw)
        (sets,) = cbor2.loads(keys)
        file_id, slots = sets[0]
        assert file_id == header[2]
        return self.opened(header_raw, body, slots[len(above)], above)

    def opened(
        self, header_raw: bytes, body: bytes, slot: list[Any], above: list[str]
    ) -> tuple[list[Any], bytes]:
        header = cbor2.loads(header_raw)
        dek = self.dek(header, slot, above)
        file_id, flags, hints, sealed = header[2], header[4], header[6], header[7]
        meta_key = hk(dek, "meta-key", file_id)
        meta = cbor2.loads(AESGCM(meta_key).decrypt(bytes(12), sealed, tag("meta") + file_id))
        path = meta[0]
        labels = [path] if header[1] == 3 else [path[:i] for i in range(len(path) + 1)]
        assert hints == [sha("hint", self.id(one), file_id)[:16] for one in labels]
        digest = sha("fixed-hash", header_raw)
        if flags & 2:
            body, tail = body[:-32], body[-32:]
            hidden = hmac.digest(hk(dek, "aont-key", digest), body, "sha256")
            key = bytes(a ^ b for a, b in zip(tail, hidden, strict=True))
        else:
            key = hk(dek, "body-key", digest)
        return meta, content_of(stream(key, body, digest), digest)


def head(raw: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(raw[:4], "big")
    return raw[4 : 4 + size], raw[4 + size :]


def stream(key: bytes, raw: bytes, context: bytes) -> bytes:
    """docs/protocols/stream-format.md, "The stream"."""
    magic, salt, hashed, commitment = raw[:8], raw[8:40], raw[40:72], raw[72:104]
    assert (magic, hashed) == (b"tallyst\x01", sha("file-context", context))
    assert commitment == hk(key, "file-commitment", salt, hashed)
    aes, chunks = AESGCM(hk(key, "file-key", salt, hashed)), raw[104:]
    out = b""
    for number, at in enumerate(range(0, len(chunks), PIECE + 16)):
        last = at + PIECE + 16 >= len(chunks)
        nonce = number.to_bytes(11, "big") + bytes([last])
        out += aes.decrypt(nonce, chunks[at : at + PIECE + 16], None)
    return out


def content_of(plain: bytes, digest: bytes) -> bytes:
    content, sender, signature = plain[:-96], plain[-96:-64], plain[-64:]
    leaves = [
        hashlib.sha256(b"\0" + content[at : at + PIECE]).digest()
        for at in range(0, len(content), PIECE)
    ]
    body = cbor2.dumps([digest, len(content), root(leaves), sender])
    key = Ed25519PublicKey.from_public_bytes(sender)
    key.verify(signature, tag("file-signature") + body)
    return content


def root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def led(leaf: bytes, index: int, count: int, way: list[bytes]) -> bytes:
    """Where a path leads from a leaf: RFC 6962 section 2.1.1, from the root down."""
    assert 0 <= index < count
    if count == 1:
        assert not way
        return leaf
    split = 1 << (count - 1).bit_length() - 1
    if index < split:
        pair = led(leaf, index, split, way[:-1]) + way[-1]
    else:
        pair = way[-1] + led(leaf, index - split, count - split, way[:-1])
    return hashlib.sha256(b"\1" + pair).digest()


def field(owner: Owner, unit: str, above: list[str]) -> tuple[list[Any], Any]:
    data, (_, slots) = cbor2.loads(base64.b64decode(unit))
    header_raw, body = head(data)
    meta, content = owner.opened(header_raw, body, slots[len(above)], above)
    size = int.from_bytes(content[:4], "big")
    assert len(content) % 32 == 0
    assert not any(content[4 + size :])
    return meta, json.loads(content[4 : 4 + size])


def record(owner: Owner, raw: bytes, path: list[str]) -> tuple[list[Any], bytes, Any]:
    header_raw, rest = head(raw)
    keys_raw, body = head(rest)
    own, following = cbor2.loads(keys_raw)
    meta, content = owner.opened(header_raw, body, own, path)
    return meta, content, following
