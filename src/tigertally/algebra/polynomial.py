"""Polynomials over the two fields: random ones to share with, and Lagrange's weights at zero.

Source: Shamir, "How to share a secret", 1979. No I/O. Indices are public; coefficients, but not
the weights, are secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd, lcm, prod

from tigertally.algebra import ed25519, gf256
from tigertally.algebra.ed25519 import ORDER, Scalar
from tigertally.base.errors import UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import MAX_HOLDERS, MIN_QUORUM
from tigertally.base.randomness import Randomness


class Polynomial:
    """A secret polynomial over the scalars, lowest coefficient first."""

    __slots__ = ("coefficients",)

    def __init__(self, coefficients: Sequence[Scalar]) -> None:
        if not coefficients:
            raise UsageError("a polynomial has at least one coefficient")
        self.coefficients = tuple(coefficients)

    @classmethod
    def random(
        cls, count: int, randomness: Randomness, *, constant: Scalar | None = None
    ) -> Polynomial:
        """`count` uniform coefficients; the lowest is `constant` where that is given."""
        first = Scalar.random(randomness) if constant is None else constant
        return cls((first, *(Scalar.random(randomness) for _ in range(count - 1))))

    def at(self, indices: Sequence[HolderIndex]) -> list[Scalar]:
        """The values at public indices, in their order."""
        return ed25519.values_at(self.coefficients, indices)

    def __repr__(self) -> str:
        return f"Polynomial({len(self.coefficients)} secret coefficients)"


def check_sharing(threshold: int, indices: Sequence[HolderIndex]) -> None:
    """Whether `threshold` of these holders is a sharing that can exist.

    Raises:
        UsageError: a threshold below 2 or above the number of holders, or an index twice.
    """
    if len(set(indices)) != len(indices) or not all(type(i) is HolderIndex for i in indices):
        raise UsageError("every holder has one index of its own")
    if not MIN_QUORUM <= threshold <= len(indices) <= MAX_HOLDERS:
        raise UsageError(
            f"a threshold is at least {MIN_QUORUM} and at most the number of holders, "
            f"which is at most {MAX_HOLDERS}"
        )


@lru_cache(maxsize=1024)
def weights_gf256(indices: tuple[HolderIndex, ...]) -> tuple[int, ...]:
    """Lagrange's weights at zero over GF(256): Σ weight · f(index) = f(0).

    Raises:
        UsageError: no index, or one of them twice.
    """
    _check_distinct(indices)
    weights = []
    for i in indices:
        weight = 1
        for j in indices:
            if j != i:
                weight = gf256.product(weight, gf256.product(j, gf256.inverse(j ^ i)))
        weights.append(weight)
    return tuple(weights)


@lru_cache(maxsize=1024)
def weights_over_integers(
    indices: tuple[HolderIndex, ...],
) -> tuple[tuple[int, ...], int]:
    """Lagrange's weights at zero as integers over one common denominator, in lowest terms.

    Small numerators make sums of points cheap: `ed25519.combination`.

    Raises:
        UsageError: no index, or one of them twice.
    """
    _check_distinct(indices)
    return _over_one_denominator(indices)


@lru_cache(maxsize=1024)
def weights_scalar(indices: tuple[HolderIndex, ...]) -> tuple[int, ...]:
    """Lagrange's weights at zero modulo `ORDER`: Σ weight · f(index) = f(0).

    Raises:
        UsageError: no index, or one of them twice.
    """
    numerators, denominator = weights_over_integers(indices)
    inverse = inverse_of_public(denominator)
    return tuple(numerator * inverse % ORDER for numerator in numerators)


def inverse_of_public(number: int) -> int:
    """1 / number modulo `ORDER`, of a **public** integer above zero; fast for small ones."""
    if number >= ORDER:
        return pow(number, -1, ORDER)
    multiple = -pow(ORDER, -1, number) % number  # multiple · ORDER is −1 modulo the number
    return (multiple * ORDER + 1) // number


def _check_distinct(indices: Sequence[HolderIndex]) -> None:
    if not indices or len(set(indices)) != len(indices):
        raise UsageError("interpolation needs one or more distinct indices")


def _over_one_denominator(
    indices: Sequence[HolderIndex],
) -> tuple[tuple[int, ...], int]:
    numbers = [int(index) for index in indices]
    whole, reduced = prod(numbers), []
    for i in numbers:
        top, bottom = whole // i, prod([j - i for j in numbers if j != i])
        common = gcd(top, bottom)
        reduced.append((top // common, bottom // common))
    denominator = lcm(*(bottom for _, bottom in reduced))
    return tuple(top * (denominator // bottom) for top, bottom in reduced), denominator
