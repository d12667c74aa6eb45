"""Key fragments, capsule fragments and opening: what must fail, fails by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tigertally.algebra import secp256k1
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, UsageError
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import umbral
from tigertally.schemes.umbral import hashing

pytestmark = pytest.mark.requirement("D3")

R = SeededRandomness("delegation")
OWNER, READER, OTHER, SIGNING = (umbral.SecretKey.random(R) for _ in range(4))
A, B, C, V = (key.public_key() for key in (OWNER, READER, OTHER, SIGNING))
SIGNER = umbral.Signer(SIGNING)
CAPSULE, SEED = umbral.encapsulate(A, randomness=R)


def delegated(m: int, n: int, sk=OWNER, to=B):
    return umbral.generate_key_fragments(sk, to, SIGNER, m, n, False, False, randomness=R)


KFRAGS = delegated(3, 5)
CFRAGS = [umbral.reencrypt(CAPSULE, kfrag, randomness=R) for kfrag in KFRAGS]


def opened(cfrags, capsule=CAPSULE, sk=READER, owner=A):
    return umbral.open_reencrypted_seed(sk, owner, capsule, cfrags, randomness=R)


def test_m_or_more_open_in_any_order():
    for chosen in (CFRAGS[:3], CFRAGS[4:1:-1], CFRAGS[1:], CFRAGS):
        assert opened(chosen).matches(SEED)


def test_fewer_than_m_open_nothing():
    for chosen in (CFRAGS[:1], CFRAGS[1:3]):
        with pytest.raises(PeerFault, match="too few") as caught:
            opened(chosen)
        assert caught.value.culprits == ()


@pytest.mark.parametrize("count", [20, 255])
def test_many_proxies(count):
    kfrags = delegated(2 if count == 255 else count, count)
    chosen = kfrags if count == 20 else kfrags[-2:]
    assert opened([umbral.reencrypt(CAPSULE, kfrag) for kfrag in chosen]).matches(SEED)


def test_the_caller_cannot_mix():
    others = [umbral.reencrypt(CAPSULE, kfrag) for kfrag in delegated(3, 3)]
    for chosen in ([], [CFRAGS[0], CFRAGS[1], CFRAGS[0]], [*CFRAGS[:2], others[2]]):
        with pytest.raises(UsageError, match="different"):
            opened(chosen)


def test_for_another_capsule_reader_or_owner_nothing_opens():
    another, _ = umbral.encapsulate(A, randomness=R)
    for wrong in ({"capsule": another}, {"sk": OTHER}, {"owner": C}):
        with pytest.raises(PeerFault, match="do not open"):
            opened(CFRAGS[:3], **wrong)


def test_an_owner_who_splits_another_key_is_noticed():
    kfrags = delegated(2, 2, sk=OTHER)
    with pytest.raises(PeerFault, match="do not open"):
        opened([umbral.reencrypt(CAPSULE, kfrag) for kfrag in kfrags])


@pytest.mark.parametrize(("m", "n"), [(0, 1), (2, 1), (0, 0), (-1, 3), (1, 256)])
def test_no_such_split(m, n):
    with pytest.raises(UsageError):
        delegated(m, n)


def test_one_randomness_makes_one_delegation():
    def made() -> list[bytes]:
        source = SeededRandomness("again")
        kfrags = umbral.generate_key_fragments(OWNER, B, SIGNER, 2, 3, randomness=source)
        return [kfrag.to_bytes() for kfrag in kfrags]

    assert made() == made()
    assert len(set(made())) == 3


def test_a_kfrag_of_another_generator_is_refused():
    raw = KFRAGS[0].to_bytes()
    with pytest.raises(MalformedMessage, match="generator"):
        umbral.KeyFragment.from_bytes(raw[:4] + C.to_bytes() + raw[37:])


def test_a_bad_kfrag_names_its_owner():
    kfrag, other = KFRAGS[0].fragment, KFRAGS[1].fragment
    for bad, error in [
        (replace(kfrag, key=other.key), PeerFault),
        (replace(kfrag, commitment=other.commitment), PeerFault),
        (replace(kfrag, key=other.key, commitment=other.commitment), InvalidSignature),
        (replace(kfrag, id=other.id), InvalidSignature),
        (replace(kfrag, precursor=other.commitment), InvalidSignature),
        (replace(kfrag, receiving_key_signed=True), InvalidSignature),
    ]:
        with pytest.raises(error) as caught:
            bad.verify(V, A, B, owner="ada")
        assert caught.value.culprits == ("ada",)
        assert type(caught.value) is error
    kfrag.verify(V)  # flags off: the proxy learns neither key, and needs none


def test_an_owner_cannot_make_a_proxy_that_knows_both_keys_look_guilty():
    """A cfrag carries the recipient's signature: a bad one would be laid to the proxy."""
    good = umbral.generate_key_fragments(OWNER, B, SIGNER, 1, 1)[0].fragment
    for bad in (SIGNER.sign(b"another"), KFRAGS[0].fragment.signature_for_receiver):
        with pytest.raises(InvalidSignature) as caught:
            replace(good, signature_for_receiver=bad).verify(V, A, B, owner="ada")
        assert caught.value.culprits == ("ada",)
    good.verify(V, A, B)
    for delegating, receiving in ((False, False), (True, False), (False, True)):
        kfrag = umbral.generate_key_fragments(OWNER, B, SIGNER, 1, 1, delegating, receiving)[0]
        kfrag.fragment.verify(V, A, B)  # another message than the proxy's: it cannot look


@pytest.mark.parametrize(
    "change",
    [
        {"e1": CFRAGS[1].fragment.e1},
        {"v1": CFRAGS[1].fragment.v1},
        {"e2": CFRAGS[1].fragment.e2},
        {"v2": CFRAGS[1].fragment.v2},
        {"u2": CFRAGS[1].fragment.u2},
        {"z": CFRAGS[1].fragment.z},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_proxy_that_lies_is_named(change):
    with pytest.raises(PeerFault, match="proof") as caught:
        replace(CFRAGS[0].fragment, **change).verify(CAPSULE, V, A, B, proxy="proxy 1")
    assert caught.value.culprits == ("proxy 1",)
    assert not caught.value.sure


@pytest.mark.parametrize("lies", [(0,), (1,), (0, 1)], ids=["E1", "V1", "another key"])
def test_a_proxy_that_lies_as_well_as_it_can_is_named(lies):
    """The challenge is taken over the lie: a single equation of three notices."""
    kfrag, wrong = KFRAGS[0].fragment, OTHER.scalar
    keys = [wrong if place in lies else kfrag.key for place in (0, 1)]
    points, t = (CAPSULE.e, CAPSULE.v), secp256k1.Scalar.random(R)
    images = [secp256k1.mul(key, point) for key, point in zip(keys, points, strict=True)]
    nonces = [secp256k1.mul(t, point) for point in (*points, hashing.U)]
    rows = zip((*points, hashing.U), (*images, kfrag.commitment), nonces, strict=True)
    h = hashing.public_scalar(
        hashing.CFRAG_VERIFICATION, *(point.to_bytes() for row in rows for point in row)
    )
    lie = replace(
        CFRAGS[0].fragment,
        **dict(zip(("e1", "v1"), images, strict=True)),
        **dict(zip(("e2", "v2", "u2"), nonces, strict=True)),
        z=(wrong if len(lies) == 2 else kfrag.key).mul(h).add(t).published(),
    )
    with pytest.raises(PeerFault, match="proof") as caught:
        lie.verify(CAPSULE, V, A, B, proxy="proxy 1")
    assert caught.value.culprits == ("proxy 1",)


def test_a_proxy_takes_verified_fragments_and_is_told_what_they_cover():
    for wrong in ((CAPSULE, KFRAGS[0].fragment), (CAPSULE.e, KFRAGS[0])):
        with pytest.raises(UsageError, match="nothing else"):
            umbral.reencrypt(*wrong)
    kfrag = umbral.generate_key_fragments(OWNER, B, SIGNER, 1, 1)[0].fragment
    for keys in ((None, B), (A, None)):
        with pytest.raises(UsageError, match="not given"):
            kfrag.verify(V, *keys)


def test_a_cfrag_is_bound_to_what_the_owner_signed():
    cfrag, other = CFRAGS[0].fragment, CFRAGS[1].fragment
    for change in ({"id": other.id}, {"commitment": other.commitment}, {"precursor": other.e1}):
        with pytest.raises(InvalidSignature) as caught:
            replace(cfrag, **change).verify(CAPSULE, V, A, B, proxy="proxy 1")
        assert caught.value.culprits == ("proxy 1",)
    whole = replace(other, e1=cfrag.e1, v1=cfrag.v1)
    with pytest.raises(PeerFault, match="proof"):
        whole.verify(CAPSULE, V, A, B)


def test_only_verification_makes_verified_types():
    with pytest.raises(UsageError):
        umbral.VerifiedKeyFragment(fragment=KFRAGS[0].fragment, proof=None)
    with pytest.raises(UsageError):
        umbral.VerifiedCapsuleFragment(fragment=CFRAGS[0].fragment, proof=None)


def test_verified_fragments_come_back_from_a_store():
    kfrag = umbral.VerifiedKeyFragment.from_verified_bytes(KFRAGS[0].to_bytes())
    assert kfrag.to_bytes() == KFRAGS[0].to_bytes()
    assert umbral.VerifiedCapsuleFragment.from_verified_bytes(CFRAGS[0].to_bytes()) == CFRAGS[0]
    for parse in (
        umbral.VerifiedKeyFragment.from_verified_bytes,
        umbral.VerifiedCapsuleFragment.from_verified_bytes,
    ):
        with pytest.raises(MalformedMessage):
            parse(b"")


@pytest.mark.parametrize("size", [0, 358, 360])
def test_a_simple_cfrag_has_359_bytes(size):
    raw = CFRAGS[0].to_bytes_simple()
    assert len(raw) == 359
    with pytest.raises(MalformedMessage):
        umbral.CapsuleFragment.from_bytes_simple((raw + b"\0")[:size])
