from __future__ import annotations

import pytest

from tigertally.base.errors import InvalidSignature, UsageError
from tigertally.base.secret import Secret
from tigertally.crypto import aead

KEY = Secret(bytes(range(32)))


def test_the_known_answer_of_the_gcm_specification() -> None:
    # McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test case 16.
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    ciphertext = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    )
    mark = bytes.fromhex("76fc6ece0f4e1768cddf8853bb2d551b")
    assert aead.open(Secret(key), nonce + ciphertext + mark, aad=aad).matches(plaintext)


@pytest.mark.parametrize("size", [0, 1, 16, 1000, 100_000])
def test_what_is_sealed_opens(size: int) -> None:
    plaintext = bytes(i % 251 for i in range(size))
    for value in (plaintext, Secret(plaintext)):
        sealed = aead.seal(KEY, value, aad=b"here")
        assert len(sealed) == size + aead.OVERHEAD
        assert aead.open(KEY, sealed, aad=b"here").matches(plaintext)


def test_sealing_twice_never_gives_the_same_bytes() -> None:
    assert aead.seal(KEY, b"x", aad=b"") != aead.seal(KEY, b"x", aad=b"")


def test_moved_cut_extended_or_flipped_does_not_open() -> None:
    sealed = aead.seal(KEY, b"plaintext", aad=b"here")
    bad = [(KEY, sealed, b"there"), (KEY, sealed, b""), (Secret(bytes(32)), sealed, b"here")]
    bad += [(KEY, sealed[:i], b"here") for i in range(len(sealed))]
    bad += [(KEY, sealed + b"\0", b"here")]
    for i in range(len(sealed)):
        bad.append((KEY, sealed[:i] + bytes([sealed[i] ^ 0x80]) + sealed[i + 1 :], b"here"))
    for key, raw, aad in bad:
        with pytest.raises(InvalidSignature):
            aead.open(key, raw, aad=aad)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_keys_have_32_bytes(size: int) -> None:
    with pytest.raises(UsageError):
        aead.seal(Secret(bytes(size)), b"", aad=b"")
    with pytest.raises(UsageError):
        aead.open(Secret(bytes(size)), bytes(40), aad=b"")
