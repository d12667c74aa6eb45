"""Writes single_pre.json: `python tests/vectors/generate_single_pre.py`.

Points and scalars are computed by plain arithmetic (reference_secp256k1.py), hashes, HKDF, CBOR and
the tree spelled out from docs/protocols/single-proxy.md and rotation.md; not by the product.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference_secp256k1 as plain  # noqa: E402 - found through the line above

G, N = plain.G, plain.N
U = plain.hash_to_curve(b"POINT_U", b"PARAMETERS")


def drawn(name: str) -> int:
    digest = hashlib.sha256(b"single_pre vectors/" + name.encode()).digest()
    return int.from_bytes(digest, "big") % (N - 1) + 1


def number(value: int) -> bytes:
    return (value % N).to_bytes(32, "big")


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def tag(name: str) -> bytes:
    return b"tigertally/" + b"v1/" + name.encode() + b"\0"


def hkdf(ikm: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 without salt."""
    prk = hmac.digest(bytes(32), ikm, "sha256")
    out, block = b"", b""
    for i in range(1, -(-size // 32) + 1):
        block = hmac.digest(prk, block + info + bytes([i]), "sha256")
        out += block
    return out[:size]


def to_scalar(digest: bytes) -> int:
    return int.from_bytes(digest, "big") % (N - 1) + 1


def umbral_hash(purpose: bytes, *parts: bytes) -> int:
    return to_scalar(sha(len(purpose).to_bytes(4, "big"), purpose, *parts))


def times(k: int, p: plain.Affine = G) -> plain.Affine:
    return plain.mul(k, p)


def c(p: plain.Affine) -> bytes:
    return plain.compressed(p)


def blob(raw: bytes) -> bytes:
    """A CBOR byte string of up to 255 bytes."""
    head = bytes([0x40 + len(raw)]) if len(raw) < 24 else b"\x58" + bytes([len(raw)])
    return head + raw


def small(value: int) -> bytes:
    assert value < 24
    return bytes([value])


def capsule(name: str, a: int) -> dict[str, Any]:
    r, u = drawn(name + "/r"), drawn(name + "/u")
    e, v = times(r), times(u)
    h = umbral_hash(b"CAPSULE_POINTS", c(e), c(v))
    return {
        "e": e,
        "v": v,
        "h": h,
        "s": (u + r * h) % N,
        "r": r,
        "u": u,
        "seed": c(times((r + u) * a)),
    }


def simple(cap: dict[str, Any]) -> bytes:
    return c(cap["e"]) + c(cap["v"]) + number(cap["s"])


Pairs = list[tuple[plain.Affine, plain.Affine]]


def proof(context: bytes, rk: int, t: int, inputs: Pairs, outputs: Pairs) -> bytes:
    joined = [b"".join(c(e) + c(v) for e, v in pairs) for pairs in (inputs, outputs)]
    seed = sha(tag("batch-weights"), framed(context, c(times(rk, U)), *joined))
    stream = hashlib.shake_256(seed).digest(32 * len(inputs))
    total: plain.Affine = None
    for i, point in enumerate(point for pair in inputs for point in pair):
        weight = int.from_bytes(stream[16 * i : 16 * i + 16], "big") + 1
        total = plain.add(total, times(weight, point))
    p, q = times(t, U), times(t, total)
    challenge = to_scalar(sha(tag("batch-challenge"), framed(seed, c(p), c(q))))
    return c(p) + c(q) + number(t + challenge * rk)


def sharing() -> list[dict[str, Any]]:
    cases = []
    keys = {
        "drawn keys": (drawn("share/a"), drawn("share/b")),
        "the owner shares with itself": (drawn("share/self"),) * 2,
        "the smallest and the largest key": (1, N - 1),
    }
    for name, (a, b) in keys.items():
        e, x, t = (drawn(f"{name}/{letter}") for letter in "ext")
        rk = a * pow(e, -1, N) % N
        shared = c(times(x * b)) + c(times(a * b))
        info = tag("share-seal") + framed(c(times(x)), c(times(a)), c(times(b)))
        plaintext = number(e) + c(times(rk, U))
        box = AESGCM(hkdf(shared, info, 32)).encrypt(bytes(12), plaintext, tag("share-seal"))
        sealed = c(times(x)) + box
        cap = capsule(name, a)
        before, after = (cap["e"], cap["v"]), (times(rk, cap["e"]), times(rk, cap["v"]))
        answer = c(after[0]) + c(after[1]) + proof(sealed, rk, t, [before], [after]) + sealed
        cases.append(
            {
                "name": name,
                "owner": number(a).hex(),
                "recipient": number(b).hex(),
                "e": number(e).hex(),
                "x": number(x).hex(),
                "t": number(t).hex(),
                "capsule": simple(cap).hex(),
                "seed": cap["seed"].hex(),
                "shared_key": (number(rk) + sealed).hex(),
                "answer": answer.hex(),
            }
        )
    return cases


def tree(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha(b"\x01", tree(leaves[:half]), tree(leaves[half:]))


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < half:
        return [*path(index, leaves[:half]), tree(leaves[half:])]
    return [*path(index - half, leaves[half:]), tree(leaves[:half])]


def derived(factory: bytes, label_id: bytes, source: int) -> int:
    label = tag("rotation-key") + b"\x82" + blob(label_id) + blob(c(times(source)))
    purpose = b"KEY_DERIVATION/" + label
    return umbral_hash(purpose, hkdf(factory, purpose, 64))


def rotation(name: str, count: int, hops: int) -> dict[str, Any]:
    a = drawn(name + "/a")
    factory, label_id = (sha(name.encode(), what) for what in (b"factory", b"label"))
    made = [capsule(f"{name}/{i}", a) for i in range(count)]
    pairs: Pairs = [(cap["e"], cap["v"]) for cap in made]
    source, steps = a, []
    for hop in range(hops):
        target, t = derived(factory, label_id, source), drawn(f"{name}/t/{hop}")
        rk = source * pow(target, -1, N) % N
        keys = (c(times(a)), c(times(target)))
        id_ = sha(tag("rotation-id"), framed(label_id, *keys))
        after: Pairs = [(times(rk, e), times(rk, v)) for e, v in pairs]
        found = proof(id_, rk, t, pairs, after)
        members = [
            c(e) + c(v) + number(cap["h"]) + number(cap["s"])
            for (e, v), cap in zip(after, made, strict=True)
        ]
        leaves = [
            sha(
                b"\0",
                tag("rotated-capsule"),
                b"\x84",
                *map(blob, (m[:33], m[33:66], m[66:98], m[98:])),
            )
            for m in members
        ]
        places = []
        for i in range(count):
            hashes = path(i, leaves)
            head = b"\x83" + small(hop + 1) + small(i) + bytes([0x80 + len(hashes)])
            places.append(head + b"".join(map(blob, hashes)))
        set_ = b"\x84" + blob(id_) + small(hop + 1) + small(count) + blob(tree(leaves))
        steps.append(
            {
                "t": number(t).hex(),
                "target": number(target).hex(),
                "id": id_.hex(),
                "rk": number(rk).hex(),
                "batch": (found + b"".join(c(e) + c(v) for e, v in after)).hex(),
                "members": [m.hex() for m in members],
                "places": [p.hex() for p in places],
                "set": set_.hex(),
            }
        )
        source, pairs = target, after
    return {
        "name": name,
        "factory": factory.hex(),
        "label_id": label_id.hex(),
        "owner": number(a).hex(),
        "capsules": [simple(cap).hex() for cap in made],
        "seeds": [cap["seed"].hex() for cap in made],
        "steps": steps,
    }


def generate() -> str:
    data = {
        "source": "tests/vectors/generate_single_pre.py: the protocol pages by plain arithmetic",
        "sharing": sharing(),
        "rotation": [
            rotation("one capsule", 1, 1),
            rotation("three capsules, twice", 3, 2),
            rotation("five capsules", 5, 1),
        ],
    }
    return json.dumps(data, indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "single_pre.json").write_text(generate())
