from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tigertally.base import codec
from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.hpke import OVERHEAD, PrivateKey, PublicKey

VECTORS = Path(__file__).parents[2] / "vectors"
SMALL = json.loads((VECTORS / "small_order.json").read_text())
RECORDED = json.loads((VECTORS / "hpke.json").read_text())["cases"]
KEY = PrivateKey.generate(SeededRandomness("receiver"))
INFO = b"tag\0" + b"context"


@pytest.mark.requirement("X4")
@pytest.mark.parametrize("size", [0, 1, 32, 10_000])
def test_what_is_sealed_opens(size: int) -> None:
    plaintext = bytes(i % 251 for i in range(size))
    for value in (plaintext, Secret(plaintext)):
        sealed = KEY.public.seal(value, info=INFO)
        assert len(sealed) == size + OVERHEAD
        assert KEY.open(sealed, info=INFO).matches(plaintext)


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_what_was_sealed_by_an_earlier_release_opens(case: dict[str, str]) -> None:
    key = PrivateKey(Secret(bytes.fromhex(case["seed"])))
    assert key.public.hex() == case["public"]
    opened = key.open(bytes.fromhex(case["sealed"]), info=bytes.fromhex(case["info"]))
    assert opened.matches(bytes.fromhex(case["plaintext"]))


def test_it_opens_with_the_same_info_and_key_only() -> None:
    sealed = KEY.public.seal(b"fragment", info=INFO)
    other = PrivateKey.generate(SeededRandomness("other"))
    half = PrivateKey(Secret(KEY.seed.to_secret_bytes()[:64] + other.seed.to_secret_bytes()[64:]))
    quarter = PrivateKey(
        Secret(other.seed.to_secret_bytes()[:64] + KEY.seed.to_secret_bytes()[64:])
    )
    for key, info in [
        (KEY, b""),
        (KEY, INFO[:-1]),
        (KEY, INFO + b"\0"),
        (KEY, b"gat\0context"),
        (other, INFO),
        (half, INFO),  # the lattice key alone does not open it
        (quarter, INFO),  # nor does the curve key alone
    ]:
        with pytest.raises(InvalidSignature):
            key.open(sealed, info=info)


def test_cut_extended_or_flipped_does_not_open() -> None:
    sealed = KEY.public.seal(b"fragment", info=INFO)
    bad = [sealed[:i] for i in (0, 1, 31, 32, 1087, 1088, 1119, 1120, 1135, 1136, -1)]
    bad += [sealed + b"\0", b"\0" + sealed, sealed[32:] + sealed[:32]]
    for i in [*range(0, len(sealed), 50), len(sealed) - 1]:
        bad.append(sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :])
    for raw in bad:
        with pytest.raises(InvalidSignature):
            KEY.open(raw, info=INFO)


def test_sealing_twice_never_gives_the_same_bytes() -> None:
    assert KEY.public.seal(b"x", info=INFO) != KEY.public.seal(b"x", info=INFO)


def _with_curve_part(raw: bytes) -> bytes:
    return bytes(KEY.public)[:1184] + raw


@pytest.mark.parametrize(
    "case", SMALL["x25519"] + SMALL["x25519_not_canonical"], ids=lambda case: case["name"]
)
def test_bad_curve_points_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(MalformedMessage):
        PublicKey(_with_curve_part(bytes.fromhex(case["key"])))


@pytest.mark.parametrize("case", SMALL["x25519"], ids=lambda case: case["name"])
def test_the_listed_points_do_have_small_order(case: dict[str, str]) -> None:
    point = X25519PublicKey.from_public_bytes(bytes.fromhex(case["key"]))
    for seed in (bytes(32), b"\x55" * 32, b"\xff" * 32):
        with pytest.raises(ValueError):
            X25519PrivateKey.from_private_bytes(seed).exchange(point)


def test_lattice_coefficients_out_of_range_are_refused() -> None:
    good = bytes(KEY.public)
    assert PublicKey(good) == KEY.public
    for at in (0, 3, 600, 1149):
        bad = good[:at] + b"\xff\xff\xff" + good[at + 3 :]  # a coefficient of 4095 ≥ 3329
        with pytest.raises(MalformedMessage):
            PublicKey(bad)


def test_wrong_lengths_are_refused() -> None:
    for raw in (b"", bytes(KEY.public)[:-1], bytes(KEY.public) + b"\0"):
        with pytest.raises(MalformedMessage):
            PublicKey(raw)
    for size in (0, 32, 64, 95, 97):
        with pytest.raises(MalformedMessage):
            PrivateKey(Secret(bytes(size)))


def test_keys_travel_come_back_from_their_seed_and_do_not_leak_it() -> None:
    assert type(codec.decode(PublicKey, codec.encode(KEY.public))) is PublicKey
    again = PrivateKey(Secret(KEY.seed.to_secret_bytes()))
    assert again.public == KEY.public
    assert again.open(KEY.public.seal(b"x", info=INFO), info=INFO).matches(b"x")
    assert KEY.seed.to_secret_bytes().hex()[:32] not in repr(KEY)
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
