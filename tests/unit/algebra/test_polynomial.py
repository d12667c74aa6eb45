"""Lagrange's weights over both fields, and random polynomials."""

from __future__ import annotations

from itertools import combinations

import pytest

from replay import Replay, wide
from tigertally.algebra import polynomial
from tigertally.algebra.ed25519 import ORDER, Scalar
from tigertally.algebra.polynomial import Polynomial
from tigertally.base.errors import UsageError
from tigertally.base.ids import HolderIndex
from vectors import reference_gf256 as reference

SETS = [
    tuple(map(HolderIndex, indices))
    for indices in ((1,), (255,), (1, 2), (5, 3, 1), (2, 40, 41, 254, 255), tuple(range(1, 41)))
]


@pytest.mark.parametrize("indices", SETS)
def test_weights_over_gf256_give_the_value_at_zero(indices: tuple[HolderIndex, ...]) -> None:
    coefficients = [(37 * k + 11) % 256 for k in range(len(indices))]
    result = 0
    for weight, index in zip(polynomial.weights_gf256(indices), indices, strict=True):
        result ^= reference.times(weight, reference.evaluate(coefficients, index))
    assert result == coefficients[0]


@pytest.mark.parametrize("indices", SETS)
def test_scalar_weights_give_the_value_at_zero(indices: tuple[HolderIndex, ...]) -> None:
    coefficients = [ORDER - 7 - k**5 for k in range(len(indices))]
    values = [sum(c * x**k for k, c in enumerate(coefficients)) for x in indices]
    weights = polynomial.weights_scalar(indices)
    assert sum(w * v for w, v in zip(weights, values, strict=True)) % ORDER == coefficients[0]


@pytest.mark.parametrize("indices", SETS)
def test_integer_weights_are_the_same_weights_in_lowest_terms(
    indices: tuple[HolderIndex, ...],
) -> None:
    numerators, denominator = polynomial.weights_over_integers(indices)
    assert denominator > 0
    weights = polynomial.weights_scalar(indices)
    assert [n % ORDER for n in numerators] == [w * denominator % ORDER for w in weights]
    assert sum(numerators) == denominator  # the weights of a constant sum to one


def test_weights_of_the_first_three_holders_are_whole_numbers() -> None:
    indices = tuple(map(HolderIndex, (1, 2, 3)))
    assert polynomial.weights_over_integers(indices) == ((3, -3, 1), 1)


@pytest.mark.parametrize("indices", [(), (1, 1), (3, 4, 3)])
def test_weights_need_distinct_indices(indices: tuple[int, ...]) -> None:
    bad = tuple(map(HolderIndex, indices))
    for weights in (
        polynomial.weights_gf256,
        polynomial.weights_scalar,
        polynomial.weights_over_integers,
    ):
        with pytest.raises(UsageError):
            weights(bad)


def test_a_random_polynomial_takes_every_coefficient_from_randomness() -> None:
    source = Replay([wide(k) for k in (3, 4, 5)])
    drawn = Polynomial.random(3, source)
    assert source.left == 0
    values = drawn.at([HolderIndex(1), HolderIndex(2)])
    assert [int.from_bytes(v.to_secret_bytes(), "little") for v in values] == [12, 31]


def test_a_random_polynomial_keeps_the_constant_it_is_given() -> None:
    source = Replay([wide(4)])
    drawn = Polynomial.random(2, source, constant=Scalar.from_public_int(9))
    (value,) = drawn.at([HolderIndex(2)])
    assert int.from_bytes(value.to_secret_bytes(), "little") == 17


def test_a_polynomial_does_not_print_and_is_not_empty() -> None:
    drawn = Polynomial([Scalar.from_public_int(123456789)] * 2)
    assert repr(drawn) == "Polynomial(2 secret coefficients)"
    with pytest.raises(UsageError):
        Polynomial([])


@pytest.mark.parametrize(
    ("threshold", "indices"),
    [(0, [1, 2]), (1, [1, 2]), (3, [1, 2]), (2, [1]), (2, []), (2, [1, 1, 2]), (-1, [1, 2])],
)
def test_sharings_that_cannot_exist(threshold: int, indices: list[int]) -> None:
    with pytest.raises(UsageError):
        polynomial.check_sharing(threshold, [HolderIndex(i) for i in indices])


def test_plain_integers_are_no_indices() -> None:
    with pytest.raises(UsageError):
        polynomial.check_sharing(2, [1, 2, 3])  # type: ignore[list-item]


def test_sharings_that_can_exist() -> None:
    everybody = [HolderIndex(i) for i in range(1, 256)]
    for threshold, count in combinations((2, 3, 128, 254, 255), 2):
        polynomial.check_sharing(threshold, everybody[:count])
    polynomial.check_sharing(255, everybody)


@pytest.mark.parametrize("number", [1, 2, 3, 255, 2**64 - 59, ORDER - 1, ORDER + 2])
def test_the_inverse_of_a_public_number(number: int) -> None:
    assert polynomial.inverse_of_public(number) * number % ORDER == 1
