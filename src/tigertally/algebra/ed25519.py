"""The prime-order group of edwards25519 and its scalars, as libsodium computes them.

Group: RFC 8032 section 5.1; encodings are 32 bytes, little-endian. `Element` is any member of the
prime-order subgroup, `Point` one that may travel: never the identity. Scalars are integers modulo
`ORDER`. No I/O.

**Security:** scalars are secret. They live in memory that is zeroed when they go, do not print,
compare or pickle, and every operation on them is libsodium's constant-time one. Functions whose
names or arguments say *public* take small integers and are fast because they may branch on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any, ClassVar, NoReturn, Self

import nacl.bindings  # noqa: F401  (initialises libsodium)
from nacl._sodium import ffi, lib  # type: ignore[import-not-found,unused-ignore]

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.ids import FixedBytes
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret

ORDER = 2**252 + 27742317777372353535851937790883648493

_CELL = ffi.typeof("unsigned char[32]")
_IDENTITY = b"\x01" + bytes(31)

# How many additions cost as much as one multiplication (measured: 89 µs against 12.7 µs).
_ADDITIONS_A_MULTIPLICATION = 7


class Element(FixedBytes):
    """A member of the prime-order subgroup, the identity included, in canonical encoding.

    Raises:
        MalformedMessage: not canonical, not on the curve, or not in the prime-order subgroup.
    """

    SIZE: ClassVar[int] = 32

    def __new__(cls, value: bytes) -> Self:
        if type(value) is cls:
            return value
        if not isinstance(value, bytes):
            raise MalformedMessage("a point is 32 bytes")
        if not isinstance(value, Element):
            _check_member(value)
        return super().__new__(cls, value)

    @classmethod
    def unchecked(cls, value: bytes) -> Self:
        """32 bytes that are taken for a member, where what is made of them is checked instead.

        Sums refuse what is not on the curve, but not what is outside the subgroup.
        """
        return bytes.__new__(cls, value)

    @property
    def is_identity(self) -> bool:
        """Whether this is the neutral element."""
        return self == _IDENTITY


class Point(Element):
    """An `Element` other than the identity: what a message may hold.

    Raises:
        MalformedMessage: as for `Element`, and for the identity.
    """

    def __new__(cls, value: bytes) -> Self:
        if value == _IDENTITY:
            raise MalformedMessage("the identity is no point of a message")
        return super().__new__(cls, value)


@lru_cache(maxsize=16384)  # the dealings of a thousand keys, looked at more than once
def _check_member(raw: bytes) -> None:
    if len(raw) != Element.SIZE or (
        raw != _IDENTITY and not lib.crypto_core_ed25519_is_valid_point(raw)
    ):
        raise MalformedMessage("not a point of the prime-order group of edwards25519")


def _computed(cell: Any) -> Element:
    """What libsodium computed from members is a member: no check needed."""
    return bytes.__new__(Element, ffi.buffer(cell))


IDENTITY = Element(_IDENTITY)


class Scalar:
    """A secret integer modulo `ORDER`; 32 bytes, little-endian. `Scalar()` is zero."""

    __slots__ = ("_cell",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self._cell = ffi.new(_CELL)

    def __del__(self, _wipe: Callable[[Any, int], None] = lib.sodium_memzero) -> None:
        _wipe(self._cell, 32)

    @classmethod
    def random(cls, randomness: Randomness) -> Self:
        """A uniform scalar: 64 random bytes modulo `ORDER` (bias below 2⁻²⁵⁶)."""
        result = cls()
        lib.crypto_core_ed25519_scalar_reduce(result._cell, randomness.bytes(64))
        return result

    @classmethod
    def from_public_int(cls, value: int) -> Self:
        """A **public** integer, reduced modulo `ORDER`."""
        result = cls()
        ffi.memmove(result._cell, (value % ORDER).to_bytes(32, "little"), 32)
        return result

    @classmethod
    def from_secret_bytes(cls, raw: Secret | bytes | bytearray | memoryview) -> Self:
        """Parse 32 bytes, little-endian.

        Raises:
            MalformedMessage: another length, or not below `ORDER`.
        """
        if isinstance(raw, Secret):
            with raw.exposed() as view:
                return cls.from_secret_bytes(view)
        if len(raw) != 32:
            raise MalformedMessage("a scalar is 32 bytes")
        result, wide = cls(), ffi.new("unsigned char[64]")
        ffi.memmove(wide, raw, 32)
        lib.crypto_core_ed25519_scalar_reduce(result._cell, wide)
        canonical = lib.sodium_memcmp(result._cell, wide, 32) == 0
        lib.sodium_memzero(wide, 64)
        if not canonical:
            raise MalformedMessage("a scalar is below the group order")
        return result

    def to_secret_bytes(self) -> bytes:
        """The 32 bytes. **Security:** a copy that Python cannot wipe."""
        return bytes(ffi.buffer(self._cell))

    def to_secret(self) -> Secret:
        """The 32 bytes as a `Secret`, with no other copy left behind."""
        return Secret(memoryview(ffi.buffer(self._cell)))

    def add(self, other: Scalar) -> Scalar:
        """self + other."""
        result = Scalar()
        lib.crypto_core_ed25519_scalar_add(result._cell, self._cell, other._cell)
        return result

    def sub(self, other: Scalar) -> Scalar:
        """self − other."""
        result = Scalar()
        lib.crypto_core_ed25519_scalar_sub(result._cell, self._cell, other._cell)
        return result

    def mul(self, other: Scalar) -> Scalar:
        """self · other."""
        result = Scalar()
        lib.crypto_core_ed25519_scalar_mul(result._cell, self._cell, other._cell)
        return result

    def negate(self) -> Scalar:
        """−self."""
        result = Scalar()
        lib.crypto_core_ed25519_scalar_negate(result._cell, self._cell)
        return result

    def invert(self) -> Scalar:
        """1 / self.

        Raises:
            UsageError: zero has no inverse.
        """
        result = Scalar()
        if lib.crypto_core_ed25519_scalar_invert(result._cell, self._cell) != 0:
            raise UsageError("zero has no inverse")
        return result

    def matches(self, other: Scalar) -> bool:
        """Whether both are the same, in constant time."""
        return bool(lib.sodium_memcmp(self._cell, other._cell, 32) == 0)

    def __repr__(self) -> str:
        return "Scalar(secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("scalars are secret: use matches()")

    def __reduce__(self) -> NoReturn:
        raise TypeError("scalars are secret: they are not pickled or copied")


@lru_cache(maxsize=1024)
def _public_bytes(value: int) -> bytes:
    return (value % ORDER).to_bytes(32, "little")


def values_at(coefficients: Sequence[Scalar], points: Sequence[int]) -> list[Scalar]:
    """Σ coefficient_k · x^k for each **public** x; secret coefficients, lowest first."""
    multiply, plus = lib.crypto_core_ed25519_scalar_mul, lib.crypto_core_ed25519_scalar_add
    highest, *lower = [coefficient._cell for coefficient in reversed(coefficients)]
    results = []
    for x in points:
        public, result = _public_bytes(x), Scalar()
        cell = result._cell
        ffi.memmove(cell, highest, 32)
        for coefficient in lower:
            multiply(cell, cell, public)
            plus(cell, cell, coefficient)
        results.append(result)
    return results


def inner_product(weights: Sequence[int], scalars: Sequence[Scalar]) -> Scalar:
    """Σ weight · scalar, **public** weights, secret scalars.

    Raises:
        UsageError: not one weight for each scalar.
    """
    if len(weights) != len(scalars):
        raise UsageError("a sum of scalars needs one weight for each scalar")
    result, term = Scalar(), Scalar()
    for weight, scalar in zip(weights, scalars, strict=True):
        public = _public_bytes(weight)
        lib.crypto_core_ed25519_scalar_mul(term._cell, scalar._cell, public)
        lib.crypto_core_ed25519_scalar_add(result._cell, result._cell, term._cell)
    return result


def total(scalars: Sequence[Scalar]) -> Scalar:
    """The sum of the scalars."""
    result = Scalar()
    for scalar in scalars:
        lib.crypto_core_ed25519_scalar_add(result._cell, result._cell, scalar._cell)
    return result


def add(p: Element, q: Element) -> Element:
    """P + Q."""
    cell = ffi.new(_CELL)
    if lib.crypto_core_ed25519_add(cell, p, q) != 0:
        raise UsageError("not points of edwards25519")
    return _computed(cell)


def sub(p: Element, q: Element) -> Element:
    """P − Q."""
    cell = ffi.new(_CELL)
    if lib.crypto_core_ed25519_sub(cell, p, q) != 0:
        raise UsageError("not points of edwards25519")
    return _computed(cell)


def mul(scalar: Scalar, p: Element) -> Element:
    """scalar · P, in constant time."""
    if p.is_identity:
        return IDENTITY
    cell = ffi.new(_CELL)
    if lib.crypto_scalarmult_ed25519_noclamp(cell, scalar._cell, p) != 0:
        return _only_identity(cell)
    return _computed(cell)


def mul_base(scalar: Scalar) -> Element:
    """scalar · G, in constant time."""
    cell = ffi.new(_CELL)
    if lib.crypto_scalarmult_ed25519_base_noclamp(cell, scalar._cell) != 0:
        return _only_identity(cell)
    return _computed(cell)


def double_mul(a: Scalar, b: Scalar, p: Element) -> Element:
    """a · G + b · P, in constant time."""
    first, second = ffi.new(_CELL, _IDENTITY), ffi.new(_CELL, _IDENTITY)
    if lib.crypto_scalarmult_ed25519_base_noclamp(first, a._cell) != 0:
        _only_identity(first)
    if lib.crypto_scalarmult_ed25519_noclamp(second, b._cell, p) != 0 and not p.is_identity:
        _only_identity(second)
    lib.crypto_core_ed25519_add(first, first, second)
    return _computed(first)


def _only_identity(cell: Any) -> Element:
    """libsodium reports a product that is the identity as a failure; nothing else may fail."""
    if bytes(ffi.buffer(cell)) != _IDENTITY:
        raise UsageError("not a point of the prime-order group of edwards25519")
    return IDENTITY


def combination(weights: Sequence[int], points: Sequence[Element]) -> Element:
    """Σ weight · P with **public** integers of either sign; small ones take additions only.

    Raises:
        UsageError: nothing to add up, or not one weight for each point.
    """
    if not points or len(weights) != len(points):
        raise UsageError("a sum of points needs one weight for each point")
    half = ORDER // 2
    digits = [_signed_digits((weight + half) % ORDER - half) for weight in weights]
    additions = max(map(len, digits)) + sum(map(_nonzero, digits)) - 2
    if additions < (_ADDITIONS_A_MULTIPLICATION + 1) * len(points):
        return _double_and_add(digits, points)
    products = map(mul, map(Scalar.from_public_int, weights), points)
    return reduce(add, products)


def _double_and_add(digits: Sequence[Sequence[int]], points: Sequence[Element]) -> Element:
    """One run of doublings for all points; digits of −1, 0, 1, lowest first."""
    cell, started, failed = ffi.new(_CELL, _IDENTITY), False, 0
    for place in range(max(map(len, digits)) - 1, -1, -1):
        if started:
            lib.crypto_core_ed25519_add(cell, cell, cell)
        for row, point in zip(digits, points, strict=True):
            digit = row[place] if place < len(row) else 0
            if digit > 0 and not started:
                ffi.memmove(cell, point, 32)
            elif digit > 0:
                failed |= lib.crypto_core_ed25519_add(cell, cell, point)
            elif digit < 0:
                failed |= lib.crypto_core_ed25519_sub(cell, cell, point)
            started = started or digit != 0
    if failed:
        raise UsageError("not points of edwards25519")
    return _computed(cell)


def _nonzero(digits: Sequence[int]) -> int:
    return sum(map(abs, digits))


@lru_cache(maxsize=1024)
def _signed_digits(value: int) -> tuple[int, ...]:
    """Binary digits of −1, 0, 1, lowest first, such that they take the fewest additions.

    They are those of the non-adjacent form, or the plain ones where these are as few and shorter:
    3 is 2 + 1, not 4 − 1.
    """
    digits = []
    rest = value
    while rest:
        digit = 2 - rest % 4 if rest % 2 else 0
        digits.append(digit)
        rest = (rest - digit) // 2
    sign = 1 if value > 0 else -1
    plain = [sign * (abs(value) >> place & 1) for place in range(value.bit_length())]
    shorter = len(plain) + _nonzero(plain) < len(digits) + _nonzero(digits)
    return tuple(plain if shorter else digits)
