from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_core_ed25519_add

from tigertally.base import codec
from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.ids import Fingerprint, Signature
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey, VerifyKey

VECTORS = Path(__file__).parents[2] / "vectors"
RFC8032 = json.loads((VECTORS / "ed25519.json").read_text())["cases"]
SMALL = json.loads((VECTORS / "small_order.json").read_text())["ed25519"]
KEY = SigningKey.generate(SeededRandomness("signer"))


@pytest.mark.parametrize("case", RFC8032, ids=lambda case: case["name"])
def test_rfc_8032(case: dict[str, str]) -> None:
    key = SigningKey(Secret(bytes.fromhex(case["seed"])))
    message = bytes.fromhex(case["message"])
    signature = key.sign(b"", message)
    assert key.public.hex() == case["public"]
    assert signature.hex() == case["signature"]
    key.public.verify(message, b"", signature)


def test_a_signature_holds_for_its_tag_body_and_key_only() -> None:
    signature = KEY.sign(b"tag\0", b"body")
    KEY.public.verify(b"tag\0", b"body", signature)
    other = SigningKey.generate(SeededRandomness("other")).public
    for key, tag, body in [
        (KEY.public, b"gat\0", b"body"),
        (KEY.public, b"tag\0", b"bodY"),
        (KEY.public, b"tag\0", b""),
        (other, b"tag\0", b"body"),
    ]:
        with pytest.raises(InvalidSignature) as caught:
            key.verify(tag, body, signature)
        assert caught.value.culprits == ()
        assert not caught.value.sure


def test_every_flipped_bit_is_noticed_and_the_signer_named() -> None:
    signature = KEY.sign(b"tag\0", b"body")
    for bit in range(8 * len(signature)):
        bad = bytearray(signature)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidSignature) as caught:
            KEY.public.verify(b"tag\0", b"body", Signature(bytes(bad)), signer="carol")
        assert caught.value.culprits == ("carol",)


def test_a_signature_with_s_plus_the_order_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = KEY.sign(b"t", b"b")
    s = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(InvalidSignature):
        KEY.public.verify(b"t", b"b", Signature(signature[:32] + s.to_bytes(32, "little")))


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case["name"])
def test_keys_of_small_order_and_their_other_encodings_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(MalformedMessage):
        VerifyKey(bytes.fromhex(case["key"]))


@pytest.mark.parametrize("case", SMALL[:8], ids=lambda case: case["name"])
def test_the_eight_canonical_ones_do_have_an_order_that_divides_8(case: dict[str, str]) -> None:
    point = bytes.fromhex(case["key"])
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    assert point.hex() == SMALL[0]["key"]


def test_openssl_alone_accepts_any_message_under_such_a_key() -> None:
    neutral = bytes.fromhex(SMALL[0]["key"])
    forged = neutral + bytes(32)
    Ed25519PublicKey.from_public_bytes(neutral).verify(forged, b"anything")


@pytest.mark.parametrize("case", SMALL[1:8], ids=lambda case: case["name"])
def test_an_honest_key_with_a_small_order_part_is_refused(case: dict[str, str]) -> None:
    mixed = crypto_core_ed25519_add(bytes(KEY.public), bytes.fromhex(case["key"]))
    with pytest.raises(MalformedMessage):
        VerifyKey(mixed)


def test_keys_off_the_curve_and_of_wrong_length_are_refused() -> None:
    for raw in (b"\x02" + bytes(31), b"", bytes(KEY.public)[:31], bytes(KEY.public) + b"\0"):
        with pytest.raises(MalformedMessage):
            VerifyKey(raw)


def test_a_refused_key_is_refused_again() -> None:
    for _ in range(3):
        with pytest.raises(MalformedMessage):
            VerifyKey(bytes(32))
        assert VerifyKey(bytes(KEY.public)) == KEY.public


def test_keys_travel_and_are_checked_on_arrival() -> None:
    raw = codec.encode(KEY.public)
    back = codec.decode(VerifyKey, raw)
    assert type(back) is VerifyKey
    assert back.fingerprint == KEY.public.fingerprint
    assert isinstance(back.fingerprint, Fingerprint)
    with pytest.raises(MalformedMessage):
        codec.decode(VerifyKey, codec.dumps(bytes(32)))


def test_signing_keys_come_back_from_their_seed_and_do_not_leak_it() -> None:
    again = SigningKey(Secret(KEY.seed.to_secret_bytes()))
    assert again.public == KEY.public
    assert again.sign(b"t", b"x") == KEY.sign(b"t", b"x")
    assert KEY.seed.to_secret_bytes().hex() not in repr(KEY)
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    with pytest.raises(MalformedMessage):
        SigningKey(Secret(bytes(31)))


def test_a_signature_found_good_makes_no_other_good() -> None:
    """Good ones are remembered: by all of their bytes, and bad ones never."""
    body = b"seen before"
    signature = KEY.sign(b"tag\0", body)
    other = SigningKey.generate(SeededRandomness("another")).public
    broken = Signature(bytes([signature[0] ^ 1]) + signature[1:])
    for _ in range(2):
        KEY.public.verify(b"tag\0", body, signature)
        for key, tag, said, made in (
            (KEY.public, b"tag\0", b"seen beforE", signature),
            (KEY.public, b"tAg\0", body, signature),
            (KEY.public, b"tag\0", body, broken),
            (other, b"tag\0", body, signature),
        ):
            with pytest.raises(InvalidSignature):
                key.verify(tag, said, made)
    late = b"not signed by it yet"
    with pytest.raises(InvalidSignature):
        other.verify(b"tag\0", late, KEY.sign(b"tag\0", late))
    KEY.public.verify(b"tag\0", late, KEY.sign(b"tag\0", late))


def test_long_messages_are_verified_too() -> None:
    long = bytes(5000)
    KEY.public.verify(b"tag\0", long, KEY.sign(b"tag\0", long))
    with pytest.raises(InvalidSignature):
        KEY.public.verify(b"tag\0", long + b"\0", KEY.sign(b"tag\0", long))
