"""Each side reads what the other made, and refuses what the other refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tigertally.base.errors import MalformedMessage, PeerFault, TigertallyError
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import umbral
from umbral_peers import Peer

pytestmark = pytest.mark.requirement("D3")

SIZES = [(1, 1), (2, 3), (3, 5), (5, 8)]
FLAGS = [(False, False), (True, False), (False, True), (True, True)]
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
R = SeededRandomness("umbral peers")
OWNER, READER, SIGNING, OTHER = (umbral.SecretKey.random(R) for _ in range(4))
A, B, V, O = (key.public_key() for key in (OWNER, READER, SIGNING, OTHER))  # noqa: E741
A_, B_, V_, O_ = (key.to_bytes() for key in (A, B, V, O))
TEXT = b"peace at dawn"


@pytest.fixture(params=["umbral_pre", "nucypher_core"])
def peer(request: pytest.FixtureRequest) -> Peer:
    return Peer(request.param)


@pytest.fixture(scope="module")
def sample() -> tuple[bytes, bytes, bytes]:
    capsule, _ = umbral.encapsulate(A, randomness=R)
    (kfrag,) = umbral.generate_key_fragments(
        OWNER, B, umbral.Signer(SIGNING), 1, 1, True, True, randomness=R
    )
    cfrag = umbral.reencrypt(capsule, kfrag, randomness=R)
    return capsule.to_bytes(), kfrag.to_bytes(), cfrag.to_bytes()


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_ours_is_read_there(peer, m, n):
    capsule, ciphertext = umbral.encrypt(A, TEXT)
    signer, raw = umbral.Signer(SIGNING), capsule.to_bytes()
    assert peer.decrypt_original(OWNER.to_secret_bytes(), raw, ciphertext) == TEXT
    kfrags = umbral.generate_key_fragments(OWNER, B, signer, m, n, *FLAGS[m % 4])
    for kfrag in kfrags:
        peer.verify_kfrag(kfrag.to_bytes(), V_, A_, B_)
    theirs = [peer.reencrypt(raw, kfrag.to_bytes()) for kfrag in kfrags[:m]]
    ours = [umbral.reencrypt(capsule, kfrag).to_bytes() for kfrag in kfrags[:m]]
    for cfrags in (ours, theirs, theirs[:1] + ours[1:]):
        arguments = (READER.to_secret_bytes(), A_, raw, V_, cfrags, ciphertext)
        assert peer.decrypt_reencrypted(*arguments) == TEXT


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_theirs_is_read_here(peer, m, n):
    raw, ciphertext = peer.encrypt(A_, TEXT)
    capsule = umbral.Capsule.from_bytes(raw)
    assert umbral.decrypt_original(OWNER, capsule, ciphertext) == TEXT
    flags, secrets = FLAGS[(m + 1) % 4], (OWNER.to_secret_bytes(), B_, SIGNING.to_secret_bytes())
    raw_kfrags = peer.generate(*secrets, m, n, flags)
    kfrags = [umbral.KeyFragment.from_bytes(kfrag).verify(V, A, B) for kfrag in raw_kfrags]
    theirs = [
        umbral.CapsuleFragment.from_bytes(peer.reencrypt(raw, kfrag)).verify(capsule, V, A, B)
        for kfrag in raw_kfrags[-m:]
    ]
    ours = [umbral.reencrypt(capsule, kfrag) for kfrag in kfrags[-m:]]
    for cfrags in (ours, theirs, theirs[:1] + ours[1:]):
        assert umbral.decrypt_reencrypted(READER, A, capsule, cfrags, ciphertext) == TEXT


@pytest.mark.parametrize("flags", FLAGS)
def test_both_demand_the_keys_that_the_flags_name(peer, flags):
    signer = umbral.Signer(SIGNING)
    kfrag = umbral.generate_key_fragments(OWNER, B, signer, 1, 1, *flags)[0].fragment
    choices = [None, "right", "wrong"]
    for delegating in choices:
        for receiving in choices:
            keys = [
                {None: None, "right": right, "wrong": O}[choice]
                for choice, right in ((delegating, A), (receiving, B))
            ]
            raws = [None if key is None else key.to_bytes() for key in keys]
            fits = all(
                choice == "right" or not flag
                for choice, flag in zip((delegating, receiving), flags, strict=True)
            )
            assert refuses(lambda k=keys: kfrag.verify(V, *k)) is not fits
            assert peer_refuses(lambda r=raws: peer.verify_kfrag(kfrag.to_bytes(), V_, *r)) is not (
                fits
            )


def refuses(call: Any) -> bool:
    """Whether we refuse, with an error of ours and no other."""
    try:
        call()
    except TigertallyError:
        return True
    return False


def peer_refuses(call: Any) -> bool:
    try:
        call()
    except Exception:  # noqa: BLE001 - whatever the wheel raises
        return True
    return False


def ours(kind: str, raw: bytes, capsule: bytes) -> None:
    if kind == "capsule":
        umbral.Capsule.from_bytes(raw)
    elif kind == "kfrag":
        umbral.KeyFragment.from_bytes(raw).verify(V, A, B)
    else:
        umbral.CapsuleFragment.from_bytes(raw).verify(umbral.Capsule.from_bytes(capsule), V, A, B)


def theirs(peer: Peer, kind: str, raw: bytes, capsule: bytes) -> None:
    if kind == "capsule":
        peer.umbral.Capsule.from_bytes(raw)
    elif kind == "kfrag":
        peer.verify_kfrag(raw, V_, A_, B_)
    else:
        peer.verify_cfrag(raw, capsule, V_, A_, B_)


KINDS = ("capsule", "kfrag", "cfrag")
# Where the points, scalars and signatures lie: kind to (offset, size).
POINTS = {"capsule": (3, 38), "kfrag": (4, 107, 143), "cfrag": (3, 38, 107, 143, 178, 213, 248)}
SCALARS = {"capsule": (73,), "kfrag": (73,), "cfrag": (283,)}
SIGNATURES = {"capsule": (), "kfrag": (178, 244), "cfrag": (317,)}
OFF_CURVE = [b"\x02" + (5).to_bytes(32, "big"), b"\x02" + b"\xff" * 32, bytes(33), b"\x04" * 33]


def put(raw: bytes, offset: int, new: bytes) -> bytes:
    return raw[:offset] + new + raw[offset + len(new) :]


def damaged(kind: str, raw: bytes) -> dict[str, bytes]:
    """What nobody should accept, by what is wrong with it."""
    found = {
        f"off the curve at {at}": put(raw, at, bad) for at in POINTS[kind] for bad in OFF_CURVE
    }
    found |= {
        f"{value} at {at}": put(raw, at, number.to_bytes(32, "big"))
        for at in (*SCALARS[kind], *SIGNATURES[kind], *(at + 32 for at in SIGNATURES[kind]))
        for value, number in {"zero": 0, "n": N, "n + 1": N + 1, "most": 2**256 - 1}.items()
    }
    for group, size in ((POINTS, 33), (SIGNATURES, 64)):
        places = group[kind]
        found |= {
            f"{a} and {b} swapped": put(put(raw, a, raw[b : b + size]), b, raw[a : a + size])
            for a in places
            for b in places
            if a < b
        }
    found |= {f"cut at {size}": raw[:size] for size in range(0, len(raw), 7)}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_both_refuse_what_is_damaged(peer, kind, sample):
    raw = sample[KINDS.index(kind)]
    ours(kind, raw, sample[0])
    theirs(peer, kind, raw, sample[0])
    swapped_kfrag_signatures = "178 and 244 swapped"  # equal where both flags are set
    for what, bad in damaged(kind, raw).items():
        if bad == raw:
            assert (kind, what) == ("kfrag", swapped_kfrag_signatures)
            continue
        assert refuses(lambda b=bad: ours(kind, b, sample[0])), what
        assert peer_refuses(lambda b=bad: theirs(peer, kind, b, sample[0])), what


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_anywhere_is_refused_wherever_the_peer_refuses_it(peer, kind, sample):
    raw = sample[KINDS.index(kind)]
    accepted = set()
    for at in range(len(raw)):
        bad = put(raw, at, bytes([raw[at] ^ 1 << at % 8]))
        mine = refuses(lambda b=bad: ours(kind, b, sample[0]))
        assert mine or not peer_refuses(lambda b=bad: theirs(peer, kind, b, sample[0])), at
        if not mine:
            accepted.add(at)
    # A proxy cannot check the signature that is for the receiver; the reader will.
    assert accepted <= (set(range(244, 308)) if kind == "kfrag" else set())


@pytest.mark.parametrize("kind", KINDS)
def test_we_take_one_form_where_the_peers_take_several(kind, sample):
    raw = sample[KINDS.index(kind)]
    length = raw[0] & 15
    others = {
        "a byte behind": raw + b"\x00",
        "twice": raw + raw,
        "array 16": b"\xdc" + bytes([0, length]) + raw[1:],
        "array 32": b"\xdd" + bytes([0, 0, 0, length]) + raw[1:],
        "bin 16": raw.replace(b"\xc4\x21", b"\xc5\x00\x21", 1),
        "str 8": raw.replace(b"\xc4\x21", b"\xd9\x21", 1),
    }
    for what, bad in others.items():
        with pytest.raises(MalformedMessage):
            ours(kind, bad, sample[0])
            pytest.fail(what)


def test_both_refuse_another_key_and_another_capsule(peer, sample):
    raw, _, raw_cfrag = sample
    cfrag, capsule = umbral.CapsuleFragment.from_bytes(raw_cfrag), umbral.Capsule.from_bytes(raw)
    another, _ = umbral.encapsulate(A)
    wrong = [(another, V, A, B), (capsule, O, A, B), (capsule, V, O, B), (capsule, V, A, O)]
    wrong.append((capsule, V, B, A))
    for keys in wrong:
        with pytest.raises(PeerFault) as caught:
            cfrag.verify(*keys, proxy="proxy 3")
        assert caught.value.culprits == ("proxy 3",)
        assert not caught.value.sure
        raws = [part.to_bytes() for part in keys]
        assert peer_refuses(lambda r=raws: peer.verify_cfrag(raw_cfrag, *r))
