"""What the umbral-pre 0.11.0 wheel made is read, verified and opened here, byte for byte."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest

import reference_secp256k1 as plain
from tigertally.schemes import umbral
from tigertally.schemes.umbral import hashing

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "umbral.json").read_text())
CASES = [
    pytest.param(case, id=f"{case['threshold']} of {case['shares']}") for case in VECTORS["cases"]
]
pytestmark = pytest.mark.requirement("D3")


def secret(case: dict[str, str], name: str) -> umbral.SecretKey:
    return umbral.SecretKey.from_secret_bytes(bytes.fromhex(case[name]))


def test_u_is_the_hash_of_its_name():
    x, y = plain.hash_to_curve(b"POINT_U", b"PARAMETERS")
    assert (f"{x:064x}", f"{y:064x}") == (VECTORS["u_x"], VECTORS["u_y"])
    assert plain.compressed((x, y)) == hashing.U.to_bytes()


@pytest.mark.parametrize("case", VECTORS["secret_key_factory"], ids=lambda case: case["label"])
def test_the_factory(case):
    factory = umbral.SecretKeyFactory(bytes.fromhex(case["seed"]))
    label = bytes.fromhex(case["label"])
    assert factory.make_key(label).to_secret_bytes().hex() == case["make_key"]
    assert factory.make_secret(label).to_secret_bytes().hex() == case["make_secret"]
    further = factory.make_factory(label).make_key(b"x")
    assert further.to_secret_bytes().hex() == case["make_factory_then_make_key_x"]


@pytest.mark.parametrize("case", CASES)
def test_a_delegation(case):
    owner, reader, signing = (
        secret(case, f"{name}_sk") for name in ("delegating", "receiving", "signing")
    )
    publics = [umbral.PublicKey.from_bytes(bytes.fromhex(case[f"{name}_pk"])) for name in
               ("verifying", "delegating", "receiving")]  # fmt: skip
    assert [key.public_key() for key in (signing, owner, reader)] == publics
    capsule = umbral.Capsule.from_bytes(bytes.fromhex(case["capsule"]))
    assert capsule.to_bytes().hex() == case["capsule"]
    assert capsule.to_bytes_simple().hex() == case["capsule_simple"]
    assert umbral.Capsule.from_bytes_simple(bytes.fromhex(case["capsule_simple"])) == capsule
    plaintext, ciphertext = (bytes.fromhex(case[name]) for name in ("plaintext", "ciphertext"))
    assert umbral.decrypt_original(owner, capsule, ciphertext) == plaintext

    verified = []
    for raw_kfrag, raw_cfrag, simple in zip(
        case["kfrags"], case["cfrags"], case["cfrags_simple"], strict=True
    ):
        kfrag = umbral.KeyFragment.from_bytes(bytes.fromhex(raw_kfrag))
        assert kfrag.to_bytes().hex() == raw_kfrag
        assert kfrag.verify(*publics).to_bytes().hex() == raw_kfrag
        flags = (kfrag.delegating_key_signed, kfrag.receiving_key_signed)
        assert flags == (case["sign_delegating_key"], case["sign_receiving_key"])
        cfrag = umbral.CapsuleFragment.from_bytes(bytes.fromhex(raw_cfrag))
        assert cfrag.to_bytes().hex() == raw_cfrag
        assert cfrag.to_bytes_simple().hex() == simple
        assert umbral.CapsuleFragment.from_bytes_simple(bytes.fromhex(simple)) == cfrag
        verified.append(cfrag.verify(capsule, *publics))
        mine = umbral.reencrypt(capsule, kfrag.verify(*publics)).fragment
        assert (mine.e1, mine.v1, mine.id) == (cfrag.e1, cfrag.v1, cfrag.id)
    for chosen in combinations(verified, case["threshold"]):
        arguments = (reader, publics[1], capsule, chosen)
        assert umbral.decrypt_reencrypted(*arguments, ciphertext) == plaintext
        seed = umbral.open_reencrypted_seed(*arguments)
        assert umbral.open_seed(owner, capsule).matches(seed)
