"""The ephemeral form: who opens what, and the attacks of docs/protocols/single-proxy.md."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rotation_rig import (
    OWNER,
    READER,
    A,
    B,
    R,
    bent,
    capsules,
    minus,
    number,
    plus,
    some_point,
)
from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import ORDER
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, UsageError
from tigertally.schemes import umbral
from tigertally.schemes.single_pre import (
    SealedKey,
    SharedCapsule,
    SharedKey,
    open_shared,
    reencrypt_shared,
    share,
    sharing,
)
from tigertally.schemes.single_pre import proof as proving
from tigertally.schemes.single_pre.keys import ReencryptionKey
from tigertally.schemes.single_pre.proof import Statement
from tigertally.schemes.umbral.opening import checked_seed

pytestmark = pytest.mark.requirement("D2")

THIEF = umbral.SecretKey.random(R)
CAPSULES, SEEDS = capsules(2)
CAPSULE, SEED = CAPSULES[0], SEEDS[0]
KEY = share(OWNER, B, randomness=R)
ANSWER = reencrypt_shared(CAPSULE, KEY, randomness=R)


def opened(answer=ANSWER, *, sk=READER, owner=A, capsule=CAPSULE):
    return open_shared(sk, owner, capsule, answer, proxy="proxy-1")


def proven(e, v, key, sealed):
    """The answer of a proxy that proves whatever it says, as well as it can."""
    statement = Statement(
        context=sealed,
        commitment=key.commitment(),
        inputs=[(CAPSULE.e, CAPSULE.v)],
        outputs=[(e, v)],
    )
    return SharedCapsule(e=e, v=v, proof=proving.prove(statement, key), sealed=sealed)


def test_the_recipient_opens_with_its_own_key_and_the_owners_public_one():
    key = SharedKey.from_secret_bytes(KEY.to_secret_bytes())
    for capsule, seed in zip(CAPSULES, SEEDS, strict=True):
        raw = reencrypt_shared(capsule, key).to_bytes()
        answer = SharedCapsule.from_bytes(raw)
        assert answer.to_bytes() == raw
        assert opened(answer, capsule=capsule).matches(seed)


def test_a_proxy_multiplies_capsules_and_nothing_else():
    parts = {"e": some_point(), "v": some_point(), "s": CAPSULE.s, "h": CAPSULE.h}
    with pytest.raises(UsageError, match="nothing else"):
        reencrypt_shared(SimpleNamespace(**parts), KEY)


def test_two_shares_have_nothing_in_common():
    again = share(OWNER, B, randomness=R)
    assert again.key.commitment() != KEY.key.commitment()
    assert again.sealed[:33] != KEY.sealed[:33]
    assert opened(reencrypt_shared(CAPSULE, again)).matches(SEED)


def test_nobody_else_opens():
    for attempt in ({"sk": THIEF}, {"sk": OWNER}, {"owner": THIEF.public_key()}, {"owner": B}):
        with pytest.raises(InvalidSignature, match="not from this owner") as caught:
            opened(**attempt)
        assert caught.value.culprits == ("proxy-1",)
        assert not caught.value.sure


def test_the_answer_for_one_capsule_is_none_for_another():
    with pytest.raises(PeerFault, match="proof") as caught:
        opened(capsule=CAPSULES[1])
    assert caught.value.culprits == ("proxy-1",)


def test_a_bent_answer_passes_the_equation_and_not_the_proof():
    e, v = bent(ANSWER.e, ANSWER.v, CAPSULE.h)
    ephemeral, _ = sharing._unsealed(READER, A, ANSWER.sealed, "")
    parts = [secp256k1.mul_to_secret(ephemeral, point) for point in (e, v)]
    wrong = checked_seed(parts[0], parts[1], s=CAPSULE.s, h=CAPSULE.h, origin=A)
    assert not wrong.matches(SEED), "the control: without a proof the reader gets a wrong seed"
    for answer in (replace(ANSWER, e=e, v=v), proven(e, v, KEY.key, KEY.sealed)):
        with pytest.raises(PeerFault, match="proof"):
            opened(answer)


def test_an_ephemeral_key_of_the_proxys_own_is_not_from_the_owner():
    """E′ is anything and V′ = (s·A − h·e·E′)/e: the equation holds, the proxy knows the seed."""
    own = share(THIEF, B, randomness=R)  # sealed in the thief's name: the best a proxy can do
    ephemeral, _ = sharing._unsealed(READER, THIEF.public_key(), own.sealed, "")
    e = some_point()
    inner = secp256k1.mul(ephemeral, secp256k1.mul_public(CAPSULE.h, e))
    outer = plus(secp256k1.mul_public(CAPSULE.s, A.point), minus(inner))
    v = secp256k1.mul(ephemeral.invert(R), outer)
    parts = [secp256k1.mul_to_secret(ephemeral, point) for point in (e, v)]
    control = checked_seed(parts[0], parts[1], s=CAPSULE.s, h=CAPSULE.h, origin=A)
    assert not control.matches(SEED)
    with pytest.raises(InvalidSignature):
        opened(proven(e, v, own.key, own.sealed))
    with pytest.raises(PeerFault):  # under the owner's box it has no e to solve for, and no proof
        opened(proven(e, v, KEY.key, KEY.sealed))


def test_another_key_with_a_good_proof_is_not_the_committed_one():
    other = share(OWNER, B, randomness=R)
    e, v = other.key.applied((CAPSULE.e, CAPSULE.v))
    with pytest.raises(PeerFault, match="proof"):
        opened(proven(e, v, other.key, KEY.sealed))
    statement = Statement(
        context=KEY.sealed,
        commitment=KEY.key.commitment(),
        inputs=[(CAPSULE.e, CAPSULE.v)],
        outputs=[(e, v)],
    )  # what the recipient will check, the other key in the answer: right for M, wrong for U
    with pytest.raises(PeerFault, match="proof"):
        opened(
            SharedCapsule(e=e, v=v, proof=proving.prove(statement, other.key), sealed=KEY.sealed)
        )


def test_the_box_of_another_share_or_reader_fits_no_answer():
    boxes = {
        "another share": share(OWNER, B).sealed,
        "another recipient": share(OWNER, THIEF.public_key()).sealed,
        "another owner": share(THIEF, B).sealed,
        "the recipient's own, back": share(READER, A).sealed,
    }
    for sealed in boxes.values():
        with pytest.raises(PeerFault):
            opened(replace(ANSWER, sealed=sealed))


@pytest.mark.parametrize("at", [0, 1, 40, 67, 120, 135, 166, 190, 197, 199, 240, 277])
def test_a_flipped_bit_opens_nothing(at):
    raw = bytearray(ANSWER.to_bytes())
    raw[at] ^= 1
    with pytest.raises((PeerFault, MalformedMessage)):
        opened(SharedCapsule.from_bytes(bytes(raw)))


def test_an_owner_whose_ephemeral_key_does_not_fit_is_noticed(monkeypatch):
    """The box holds e + 1: the proof holds, the equation does not, and the proxy is not named."""
    invert = secp256k1.Scalar.invert
    one = secp256k1.Scalar.from_secret_bytes((1).to_bytes(32, "big"))
    monkeypatch.setattr(secp256k1.Scalar, "invert", lambda self, r: invert(self.add(one), r))
    wrong = share(OWNER, B, randomness=R)
    monkeypatch.undo()
    with pytest.raises(PeerFault, match="do not open") as caught:
        opened(reencrypt_shared(CAPSULE, wrong))
    assert caught.value.culprits == ()


def test_an_owner_can_make_its_proxy_look_guilty_but_nobody_is_sure():
    """The page says so: rk does not fit the u1 in the box, and the proxy cannot look inside."""
    lied_to = SharedKey(ReencryptionKey(secp256k1.Scalar.random(R)), KEY.sealed)
    with pytest.raises(PeerFault, match="proof") as caught:
        opened(reencrypt_shared(CAPSULE, lied_to))
    assert caught.value.culprits == ("proxy-1",)
    assert not caught.value.sure


@pytest.mark.parametrize("plaintext", [bytes(32) + A.to_bytes(), b"\x01" * 32 + bytes(33)])
def test_an_owner_that_seals_nonsense_is_noticed(plaintext, monkeypatch):
    cipher = sharing.aead.cipher

    class Sealer:
        def __init__(self, key):
            self.encrypt = lambda nonce, _, aad: cipher(key).encrypt(nonce, plaintext, aad)

    monkeypatch.setattr(sharing.aead, "cipher", Sealer)
    wrong = share(OWNER, B, randomness=R)
    monkeypatch.undo()
    with pytest.raises(PeerFault, match="no ephemeral key") as caught:
        opened(replace(ANSWER, sealed=wrong.sealed))
    assert caught.value.culprits == ()


def test_a_precursor_that_is_no_point_is_no_sealed_key():
    with pytest.raises(InvalidSignature):
        opened(replace(ANSWER, sealed=SealedKey(b"\x02" + bytes(113))))


def test_a_shared_key_does_not_print_compare_or_pickle():
    assert KEY.to_secret_bytes()[:32].hex() not in repr(KEY)
    assert "secret" in repr(KEY)
    for refused in (
        lambda: KEY == KEY,  # noqa: PLR0124
        lambda: hash(KEY),
        lambda: pickle.dumps(KEY),
        lambda: copy.copy(KEY),
    ):
        with pytest.raises(TypeError):
            refused()


def test_proxy_and_recipient_compute_the_owners_key():
    """What the page says that works."""
    ephemeral, _ = sharing._unsealed(READER, A, KEY.sealed, "")
    rk = ReencryptionKey.from_secret_bytes(KEY.to_secret_bytes()[:32])
    assert number(rk.scalar) * number(ephemeral) % ORDER == number(OWNER.scalar)
