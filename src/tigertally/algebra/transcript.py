"""Length-framed, tagged hashing: two different lists of values never hash alike."""

from __future__ import annotations

import hashlib
import hmac

from tigertally.base.ids import Hash


def framed(*parts: bytes) -> bytes:
    """The parts, each behind its length (8 bytes, big-endian)."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def tagged_hash(tag: bytes, *parts: bytes) -> Hash:
    """SHA-256 of the tag and the framed parts. `tag` is from `algebra/tags.py`."""
    return Hash(hashlib.sha256(tag + framed(*parts)).digest())


def tagged_mac(key: bytes, tag: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 under `key` of the tag and the framed parts, 32 bytes."""
    return hmac.digest(key, tag + framed(*parts), "sha256")
