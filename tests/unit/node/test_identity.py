from __future__ import annotations

from dataclasses import replace

import pytest

from tigertally.base.errors import Corrupt, Refused, UsageError
from tigertally.base.ids import Name
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.crypto.signatures import SigningKey
from tigertally.node.identity import Identity, Secrets, open_identity, seal_identity
from tigertally.quorum.card import Role

RIGHT = b"correct horse"


def secrets() -> Secrets:
    return Secrets.generate(SeededRandomness(7))


def sealed(under: bytes | None = RIGHT) -> Identity:
    return seal_identity(
        secrets(),
        role=Role.HOLDER,
        member=Name("alice"),
        created=1_800_000_000,
        under=None if under is None else Secret(under),
        parameters=FOR_TESTS_ONLY,
    )


def never() -> Secret:
    raise AssertionError("nobody should have been asked")


def test_the_file_round_trips_and_opens_with_the_passphrase():
    identity = Identity.from_bytes(sealed().to_bytes())
    opened = open_identity(identity, lambda: Secret(RIGHT))
    for mine, theirs in zip(opened.all(), secrets().all(), strict=True):
        assert mine.matches(theirs)
    assert SigningKey(opened.signing_seed).public.fingerprint == identity.fingerprint


def test_the_secrets_differ_in_size_and_content():
    parts = [secret.to_secret_bytes() for secret in secrets().all()]
    assert [len(part) for part in parts] == [32, 96, 32, 32]
    assert len(set(parts)) == 4


@pytest.mark.requirement("C11")
def test_nothing_secret_stands_in_a_sealed_file():
    in_the_clear, under_passphrase = sealed(under=None).to_bytes(), sealed().to_bytes()
    for secret in secrets().all():
        with secret.exposed() as raw:
            assert bytes(raw) in in_the_clear  # the search finds what is there
            assert bytes(raw) not in under_passphrase


def test_a_daemon_is_asked_nothing():
    identity = Identity.from_bytes(sealed(under=None).to_bytes())
    assert open_identity(identity, never).device_secret.matches(secrets().device_secret)


def test_a_wrong_passphrase_is_refused():
    with pytest.raises(Refused, match="wrong passphrase"):
        open_identity(sealed(), lambda: Secret(b"correct house"))


@pytest.mark.parametrize(
    "change",
    [
        {"role": Role.REQUESTER},
        {"member": Name("mallory")},
        {"created": 1_800_000_001},
        {"fingerprint": SigningKey.generate(SeededRandomness(8)).public.fingerprint},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_stands_in_the_clear_is_bound_to_the_secrets(change):
    forged = Identity.from_bytes(replace(sealed(), **change).to_bytes())  # its checksum is right
    with pytest.raises(Refused):
        open_identity(forged, lambda: Secret(RIGHT))


def test_a_daemon_whose_fingerprint_is_another_is_corrupt():
    other = SigningKey.generate(SeededRandomness(8)).public.fingerprint
    with pytest.raises(Corrupt, match="another key"):
        open_identity(replace(sealed(under=None), fingerprint=other), never)


def test_secrets_of_a_wrong_length_are_corrupt():
    short = replace(sealed(under=None), body=bytes(191))
    with pytest.raises(Corrupt, match="length"):
        open_identity(short, never)


def test_every_flipped_bit_is_corrupt_not_a_wrong_passphrase():
    raw = sealed().to_bytes()
    for position in range(len(raw)):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(Corrupt):
            Identity.from_bytes(bytes(damaged))


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_cut_file_is_corrupt(cut):
    with pytest.raises(Corrupt):
        Identity.from_bytes(sealed().to_bytes()[:cut])


def test_an_unknown_version_is_said():
    raw = bytearray(sealed().to_bytes())
    assert raw[1] == 1
    raw[1] = 2
    with pytest.raises(Corrupt, match="version 2"):
        Identity.from_bytes(bytes(raw))


def test_it_prints_no_secret():
    identity = sealed(under=None)
    assert secrets().device_secret.to_secret_bytes().hex() not in repr(identity)
    assert "body" not in repr(identity)


def test_wiped_secrets_are_gone():
    mine = secrets()
    mine.wipe()
    with pytest.raises(UsageError):
        mine.store_key.to_secret_bytes()
