"""GF(256) and Shamir's scheme straight from the definition, slow and one byte at a time.

Shares no code with `tigertally`: vectors made with it check the product against the mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence


def times(a: int, b: int) -> int:
    """Carry-less product modulo 0x11B."""
    result = 0
    for bit in range(8):
        if b >> bit & 1:
            result ^= a << bit
    for bit in range(14, 7, -1):
        if result >> bit & 1:
            result ^= 0x11B << (bit - 8)
    return result


def invert(a: int) -> int:
    """By trying all."""
    return next(b for b in range(256) if times(a, b) == 1)


def evaluate(coefficients: Sequence[int], x: int) -> int:
    """Horner's rule, lowest coefficient first."""
    result = 0
    for coefficient in reversed(coefficients):
        result = times(result, x) ^ coefficient
    return result


def through(points: Sequence[tuple[int, int]]) -> list[int]:
    """The coefficients of the one polynomial of degree below len(points) through the points."""
    result = [0] * len(points)
    for i, (xi, yi) in enumerate(points):
        basis, scale = [1], yi
        for j, (xj, _) in enumerate(points):
            if i == j:
                continue
            shifted = [0, *basis]  # x · basis
            for k, coefficient in enumerate(basis):
                shifted[k] ^= times(xj, coefficient)  # (x − xj) · basis
            basis = shifted
            scale = times(scale, invert(xi ^ xj))
        for k, coefficient in enumerate(basis):
            result[k] ^= times(scale, coefficient)
    return result
