"""edwards25519 straight from RFC 8032 section 5.1, in Python integers; neither fast nor secret.

Shares no code with `tigertally` and does not use libsodium.
"""

from __future__ import annotations

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Affine = tuple[int, int]
ZERO: Affine = (0, 1)


def plus(a: Affine, b: Affine) -> Affine:
    """The complete addition law of the curve −x² + y² = 1 + d·x²·y²."""
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P)
    y3 = (y1 * y2 + x1 * x2) * pow(1 - k, -1, P)
    return x3 % P, y3 % P


def times(k: int, a: Affine) -> Affine:
    """Double and add."""
    result = ZERO
    while k:
        if k & 1:
            result = plus(result, a)
        a, k = plus(a, a), k >> 1
    return result


def encode(a: Affine) -> bytes:
    """RFC 8032 section 5.1.2."""
    x, y = a
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(raw: bytes) -> Affine | None:
    """RFC 8032 section 5.1.3; None where that fails."""
    value = int.from_bytes(raw, "little")
    sign, y = value >> 255, value & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def base() -> Affine:
    """The generator of RFC 8032: y = 4/5, x even."""
    point = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None
    return point


def second_generator() -> tuple[int, Affine]:
    """The first counter whose hash is a point of the prime-order group, and that point."""
    for counter in range(1000):
        framed = (4).to_bytes(8, "big") + counter.to_bytes(4, "big")
        raw = hashlib.sha256(b"tigertally/v1/pedersen-generator\x00" + framed).digest()
        point = decode(raw)
        if point is not None and point != ZERO and times(L, point) == ZERO:
            return counter, point
    raise AssertionError("no point in 1,000 tries")


def drawn(label: str) -> int:
    """A repeatable number below L for a vector."""
    return int.from_bytes(hashlib.sha512(label.encode()).digest(), "little") % L
