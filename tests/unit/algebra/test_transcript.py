from __future__ import annotations

import hashlib
import hmac

from tigertally.algebra.transcript import framed, tagged_hash, tagged_mac
from tigertally.base.ids import Hash


def test_framed_puts_a_length_before_each_part() -> None:
    assert framed() == b""
    assert framed(b"") == bytes(8)
    assert framed(b"ab", b"c") == bytes(7) + b"\x02ab" + bytes(7) + b"\x01c"


def test_tagged_hash_is_sha256_of_tag_and_frames() -> None:
    digest = tagged_hash(b"tag\0", b"ab", b"c")
    assert isinstance(digest, Hash)
    assert digest == hashlib.sha256(b"tag\0" + framed(b"ab", b"c")).digest()
    assert digest != tagged_hash(b"tag\0", b"a", b"bc")
    assert digest != tagged_hash(b"tag\0", b"ab", b"c", b"")
    assert digest != tagged_hash(b"gat\0", b"ab", b"c")


def test_tagged_mac_is_hmac_sha256() -> None:
    expected = hmac.new(b"k" * 32, b"tag\0" + framed(b"x"), hashlib.sha256).digest()
    assert tagged_mac(b"k" * 32, b"tag\0", b"x") == expected
    assert tagged_mac(b"K" * 32, b"tag\0", b"x") != expected
