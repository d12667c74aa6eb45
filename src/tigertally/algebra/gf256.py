"""GF(256) on many bytes at once, with no table and no branch that depends on a secret.

The field is that of AES: bytes as polynomials modulo x⁸ + x⁴ + x³ + x + 1 (0x11B); FIPS 197
section 4. Splitting and combining in Shamir's scheme are both sums of secret byte strings times
*public* numbers (powers of x, or Lagrange coefficients), so `weighted_sum` is all they need.

Each byte string is one Python integer, a byte a lane. No I/O.

**Security:** branches and table look-ups depend on the public weights alone. A Python integer is
as long as its value needs, so every intermediate carries a guard bit above the lanes: the number
of machine operations depends on the lengths only. What cannot be helped: Python integers are not
wiped. Whoever combines a key does it in a process that ends at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tigertally.base.errors import UsageError

_REDUCTION = 0x1B  # 0x11B without the bit that leaves the lane

# Guards, appended to the little-endian bytes: that of a term lies below that of the running sum,
# so adding a term (xor) never takes away the sum's.
_TERM_GUARD = b"\x00\x00\x01\x00\x00\x00"
_SUM_GUARD = b"\x00\x00\x00\x00\x00\x01"


def _make_tables() -> tuple[tuple[int, ...], dict[int, int]]:
    powers, value = [], 1
    for _ in range(255):
        powers.append(value)
        value ^= value << 1  # times the generator 3
        value ^= 0x11B * (value >> 8)
    return tuple(powers * 2), {power: exponent for exponent, power in enumerate(powers)}


# Powers of 3 and their logarithms. For public numbers only: x-coordinates and coefficients.
_EXP, _LOG = _make_tables()


def product(a: int, b: int) -> int:
    """The product of two **public** field elements, 0 … 255."""
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def inverse(a: int) -> int:
    """The inverse of a **public** field element, 1 … 255.

    Raises:
        UsageError: zero has none.
    """
    if not a:
        raise UsageError("zero has no inverse in GF(256)")
    return _EXP[255 - _LOG[a]]


@lru_cache(maxsize=1024)
def powers(x: int, count: int) -> tuple[int, ...]:
    """1, x, x², … (`count` of them) for a **public** x."""
    if not x:
        return (1,) + (0,) * (count - 1)
    log = _LOG[x]
    return tuple(_EXP[log * exponent % 255] for exponent in range(count))


def weighted_sum(weights: Sequence[int], terms: Sequence[bytes | memoryview]) -> bytes:
    """Σ weight · term, byte by byte. The weights are public, the terms may be secret.

    Args:
        weights: field elements 0 … 255, one for each term.
        terms: byte strings of one length.

    Raises:
        UsageError: no term, different lengths, or a weight that is no field element.
    """
    return sum_of(tuple(weights), pack(terms), len(terms[0]))


def pack(terms: Sequence[bytes | memoryview]) -> list[int]:
    """Byte strings of one length as guarded integers, for several calls of `sum_of`.

    Raises:
        UsageError: no term, or different lengths.
    """
    if not terms or len({len(term) for term in terms}) != 1:
        raise UsageError("a sum over GF(256) needs one or more terms of one length")
    return [int.from_bytes(b"".join((term, _TERM_GUARD)), "little") for term in terms]


def sum_of(weights: tuple[int, ...], packed: Sequence[int], size: int) -> bytes:
    """`weighted_sum` of terms that `pack` has prepared; `size` is their length in bytes."""
    plan = _plan(weights, len(packed))
    low_bits, high_bits, fix, total = _masks(size)
    for term in plan[0]:
        total ^= packed[term]
    for terms in plan[1:]:
        # times x: shift each lane, reduce the lanes that overflow, put the guard back
        total = ((total & low_bits) << 1) ^ (((total & high_bits) >> 7) * _REDUCTION) ^ fix
        for term in terms:
            total ^= packed[term]
    return total.to_bytes(size + len(_SUM_GUARD), "little")[:size]


@lru_cache(maxsize=1024)
def _plan(weights: tuple[int, ...], count: int) -> tuple[tuple[int, ...], ...]:
    """For each bit of the weights, highest first: which terms have it."""
    if len(weights) != count or not all(0 <= weight <= 255 for weight in weights):
        raise UsageError("a sum over GF(256) needs one weight of 0 to 255 for each term")
    bits = range(max(1, max(weights).bit_length()) - 1, -1, -1)
    return tuple(tuple(k for k in range(count) if weights[k] >> bit & 1) for bit in bits)


@lru_cache(maxsize=64)
def _masks(size: int) -> tuple[int, int, int, int]:
    """For lanes of `size` bytes: low 7 bits, top bits (both with the guard), fix, guard."""
    guard = int.from_bytes(bytes(size) + _SUM_GUARD, "little")
    low = int.from_bytes(b"\x7f" * size, "little")
    high = int.from_bytes(b"\x80" * size, "little")
    fix = (guard << 1) ^ ((guard >> 7) * _REDUCTION) ^ guard
    return low | guard, high | guard, fix, guard
