from __future__ import annotations

import pytest

from tigertally.base.errors import MalformedMessage, Refused, UsageError
from tigertally.base.secret import Secret
from tigertally.crypto import passphrase
from tigertally.crypto.passphrase import FOR_TESTS_ONLY, INTERACTIVE, Parameters

RIGHT = Secret("correct horse battery staple 虎符".encode())
AAD = b"tag\0profile"


def _sealed(plaintext: bytes = b"seed", aad: bytes = AAD) -> bytes:
    return passphrase.seal(RIGHT, plaintext, aad=aad, parameters=FOR_TESTS_ONLY)


@pytest.mark.requirement("C11")
def test_what_is_sealed_opens_with_the_passphrase_at_full_cost() -> None:
    sealed = passphrase.seal(RIGHT, Secret(b"seed"), aad=AAD)
    assert Parameters.from_bytes(sealed[1:10]) == INTERACTIVE
    assert b"seed" not in sealed
    assert passphrase.open(RIGHT, sealed, aad=AAD).matches(b"seed")


@pytest.mark.parametrize("wrong", [b"", b"correct", b"correct horse battery staple \xe8\x99\x8e"])
def test_a_wrong_passphrase_is_refused(wrong: bytes) -> None:
    with pytest.raises(Refused, match="passphrase"):
        passphrase.open(Secret(wrong), _sealed(), aad=AAD)


def test_an_empty_passphrase_seals_nothing() -> None:
    with pytest.raises(UsageError):
        passphrase.seal(Secret(b""), b"seed", aad=AAD, parameters=FOR_TESTS_ONLY)


def test_moved_to_another_place_it_is_refused() -> None:
    for aad in (b"", AAD + b"\0", b"tag\0", b"other\0profile"):
        with pytest.raises(Refused):
            passphrase.open(RIGHT, _sealed(), aad=aad)


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    sealed = _sealed()
    bad = [sealed[:i] for i in range(len(sealed))] + [sealed + b"\0"]
    for i in range(len(sealed)):
        bad += [sealed[:i] + bytes([sealed[i] ^ bit]) + sealed[i + 1 :] for bit in (1, 0x80)]
    for raw in bad:
        with pytest.raises((Refused, MalformedMessage)):
            passphrase.open(RIGHT, raw, aad=AAD)


HOSTILE = {
    "4 TiB of memory": (2**32 - 1, 1, 1),
    "just over the memory": (1024 * 1024 + 1, 1, 1),
    "four thousand million passes": (64, 2**32 - 1, 1),
    "memory times passes": (1024 * 1024, 3, 1),
    "many lanes": (1024 * 1024, 1, 255),
    "no lanes": (64, 1, 0),
    "no passes": (64, 0, 1),
    "no memory": (0, 1, 1),
    "less memory than the lanes need": (31, 1, 4),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_costs_nothing(case: str) -> None:
    memory, passes, lanes = HOSTILE[case]
    sealed = _sealed()
    cost = memory.to_bytes(4, "big") + passes.to_bytes(4, "big") + bytes([lanes])
    with pytest.raises(MalformedMessage):
        passphrase.open(RIGHT, sealed[:1] + cost + sealed[10:], aad=AAD)
    with pytest.raises(MalformedMessage):
        Parameters(memory_kib=memory, passes=passes, lanes=lanes)


def test_parameters_come_back_from_their_bytes() -> None:
    for parameters in (INTERACTIVE, FOR_TESTS_ONLY):
        assert Parameters.from_bytes(parameters.to_bytes()) == parameters
    with pytest.raises(MalformedMessage):
        Parameters.from_bytes(bytes(8))


def test_a_cheaper_header_does_not_open_what_was_sealed_at_full_cost() -> None:
    sealed = passphrase.seal(RIGHT, b"seed", aad=AAD)
    cheap = sealed[:1] + FOR_TESTS_ONLY.to_bytes() + sealed[10:]
    with pytest.raises(Refused):
        passphrase.open(RIGHT, cheap, aad=AAD)
