"""Keys, signers and factories: parsing, and what never shows."""

from __future__ import annotations

import copy
import pickle

import pytest

from tigertally.base.errors import InvalidSignature, MalformedMessage
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.schemes import umbral

R = SeededRandomness("keys")
SECRET = bytes(range(1, 33))
KEY = umbral.SecretKey.from_secret_bytes(SECRET)


def test_keys_are_parsed_and_written():
    assert KEY.to_secret_bytes() == SECRET
    public = umbral.PublicKey.from_bytes(KEY.public_key().to_bytes())
    assert public == KEY.public_key()
    assert hash(public) == hash(KEY.public_key())
    assert public != umbral.SecretKey.random(R).public_key()
    assert public != public.to_bytes()
    with pytest.raises(MalformedMessage):
        umbral.SecretKey.from_secret_bytes(bytes(32))


def test_a_signer_signs_for_its_verifying_key():
    signer = umbral.Signer(KEY)
    signer.verifying_key().verify(b"message", signer.sign(b"message"))
    with pytest.raises(InvalidSignature):
        signer.verifying_key().verify(b"another", signer.sign(b"message"))


def test_a_factory_is_its_seed_and_labels():
    factory = umbral.SecretKeyFactory(Secret(SECRET))
    one = factory.make_key(b"one").to_secret_bytes()
    assert umbral.SecretKeyFactory(SECRET).make_key(b"one").to_secret_bytes() == one
    assert factory.make_key(b"two").to_secret_bytes() != one
    assert factory.make_factory(b"f").make_key(b"one").to_secret_bytes() != one
    assert umbral.SecretKeyFactory.random().make_key(b"one").to_secret_bytes() != one
    for size in (0, 31, 33):
        with pytest.raises(MalformedMessage):
            umbral.SecretKeyFactory(bytes(size))


def test_no_secret_shows_compares_or_pickles():
    capsule, _ = umbral.encapsulate(KEY.public_key())
    signer = umbral.Signer(KEY)
    (kfrag,) = umbral.generate_key_fragments(KEY, KEY.public_key(), signer, 1, 1, randomness=R)
    secrets = [KEY, signer, umbral.SecretKeyFactory(SECRET), kfrag, kfrag.fragment]
    hidden = {SECRET, kfrag.fragment.key.to_secret_bytes()}
    for secret in secrets:
        shown = repr(secret) + str(secret) + f"{secret}"
        assert not any(raw.hex() in shown or repr(raw) in shown for raw in hidden), type(secret)
        for refused in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                refused(secret)
    for secret in (KEY, kfrag, kfrag.fragment):
        with pytest.raises(TypeError):
            assert secret == secret  # noqa: PLR0124
    cfrag = umbral.reencrypt(capsule, kfrag)
    assert not any(raw.hex() in repr(cfrag) for raw in hidden)
