"""Weighted sums are what multiplying and adding gives, by every way, infinity on the way too."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tigertally.algebra import secp256k1, secp256k1_sums
from tigertally.algebra.secp256k1 import ORDER, PublicScalar, Scalar
from tigertally.algebra.secp256k1_sums import by_windows, weighted_total
from tigertally.base.errors import UsageError
from tigertally.base.randomness import SeededRandomness

R = SeededRandomness("sums")


def number(value: int) -> bytes:
    return (value % ORDER).to_bytes(32, "big")


def scalar(value: int) -> Scalar:
    return Scalar.from_secret_bytes(number(value))


def multiple(value: int) -> secp256k1.Point:
    return secp256k1.mul_base(scalar(value))


WEIGHTS = st.one_of(st.integers(1, 2**128), st.sampled_from([1, 15, 16, 256, ORDER - 1]))
LOGARITHMS = st.one_of(st.sampled_from([1, ORDER - 1, 2, ORDER - 2]), st.integers(1, ORDER - 1))


@settings(max_examples=40)
@given(terms=st.lists(st.tuples(WEIGHTS, LOGARITHMS), min_size=1, max_size=12))
@pytest.mark.parametrize("bits", [4, 8])
def test_windows_agree_with_the_sum_of_logarithms(bits, terms):
    weights = [PublicScalar(number(w)) for w, _ in terms]
    points = [multiple(k) for _, k in terms]
    expected = sum(w * k for w, k in terms) % ORDER
    if expected:
        assert by_windows(weights, points, bits) == multiple(expected)
        assert weighted_total(weights, points) == multiple(expected)
    else:
        for add in (weighted_total, lambda w, p: by_windows(w, p, bits)):
            with pytest.raises(UsageError, match="infinity"):
                add(weights, points)


@pytest.mark.parametrize(
    "terms",
    [
        [(5, 1), (5, -1), (7, 3)],  # one bucket is infinity
        [(3, 1), (1, -1), (2, -1), (9, 1)],  # two bits cancel
        [(256, 1), (1, -256), (1, 2)],  # what came before cancels with this window
        [(16, 1), (1, -16), (1, 2)],
    ],
)
@pytest.mark.parametrize("bits", [4, 8])
def test_infinity_on_the_way_is_no_end(bits, terms):
    weights = [PublicScalar(number(w)) for w, _ in terms]
    points = [multiple(k) for _, k in terms]
    assert by_windows(weights, points, bits) == multiple(sum(w * k for w, k in terms))


@pytest.mark.parametrize("count", [299, 300])
def test_few_and_many_are_added_alike(count, monkeypatch):
    points = [multiple(k % 7 + 1) for k in range(count)]
    weights = [PublicScalar(number(k + 2**120)) for k in range(count)]
    expected = multiple(sum((k + 2**120) * (k % 7 + 1) for k in range(count)))
    assert weighted_total(weights, points) == expected
    monkeypatch.setattr(secp256k1_sums, "_MANY", 0)
    assert weighted_total(weights, points) == expected


@pytest.mark.parametrize("count", [1, 300])
def test_only_public_values(count):
    weights, points = [PublicScalar(number(3))] * count, [multiple(2)] * count
    secret = secp256k1.mul_to_secret(scalar(2), points[0])
    for bad in (
        ([*weights[1:], scalar(3)], points),
        ([*weights[1:], number(3)], points),
        (weights, [*points[1:], secret]),
        (weights, points[1:]),
    ):
        with pytest.raises(UsageError):
            weighted_total(*bad)


def test_nothing_to_add_up():
    with pytest.raises(UsageError):
        weighted_total([], [])
