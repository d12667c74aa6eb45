"""Weighted sums of many public points of secp256k1: the bucket method, in variable time. No I/O.

Method: Pippenger (1976). The weights are read in windows of a few bits, the highest first. In each,
points with the same digit are added up, which libsecp256k1 does at a hundredth of the cost of a
multiplication; then for every bit of the digit the sums that have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from coincurve._libsecp256k1 import ffi, lib

from tigertally.algebra.secp256k1 import (
    CONTEXT,
    Point,
    PublicScalar,
    SecretPoint,
    mul_public,
    total,
)
from tigertally.base.errors import UsageError

_POINT = ffi.typeof("secp256k1_pubkey *")
_FEW, _MANY = 300, 4000  # below, multiplications are cheaper; from there, larger windows
_HIGH = bytes(i >> 4 for i in range(256))
_LOW = bytes(i & 15 for i in range(256))


def weighted_total(weights: Sequence[PublicScalar], points: Sequence[Point]) -> Point:
    """Σ weight · P for **public** weights and points.

    Args:
        weights: as many as points. Short ones are cheaper.

    Raises:
        UsageError: nothing to add up, not as many weights as points, a sum that is the point at
            infinity, or not everything is public.
    """
    if len(weights) != len(points):
        raise UsageError("as many weights as points")
    if len(points) < _FEW:
        return total([mul_public(w, p) for w, p in zip(weights, points, strict=True)])
    if any(type(w) is not PublicScalar for w in weights) or any(
        isinstance(p, SecretPoint) for p in points
    ):
        raise UsageError("only public values are multiplied in variable time")
    return by_windows(weights, points, 4 if len(points) < _MANY else 8)


def by_windows(weights: Sequence[PublicScalar], points: Sequence[Point], bits: int) -> Point:
    """`weighted_total` by windows of 4 or 8 bits."""
    keys = [point._key for point in points]
    result = None
    for digits in _columns(weights, bits):
        buckets: list[list[Any]] = [[] for _ in range(1 << bits)]
        for digit, key in zip(digits, keys, strict=True):
            buckets[digit].append(key)
        sums = [_sum(bucket) for bucket in buckets]
        for bit in reversed(range(bits)):
            parts = [sums[digit] for digit in range(1, 1 << bits) if digit >> bit & 1]
            result = _sum([part for part in (result, result, *parts) if part is not None])
    if result is None:
        raise UsageError("the points add up to infinity")
    return Point(result)


def _columns(weights: Sequence[PublicScalar], bits: int) -> Iterator[bytes]:
    """The digits of all weights at one place, highest place first."""
    together = b"".join(weights)
    for place in range(32):
        column = together[place::32]
        if bits == 8:
            yield column
        else:
            yield column.translate(_HIGH)
            yield column.translate(_LOW)


def _sum(keys: list[Any]) -> Any:
    """The sum, or None for infinity."""
    if not keys:
        return None
    result = ffi.new(_POINT)
    return result if lib.secp256k1_ec_pubkey_combine(CONTEXT, result, keys, len(keys)) else None
