"""The laws of both fields and of the group, for whatever values hypothesis finds."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from tigertally.algebra import ed25519, gf256
from tigertally.algebra.ed25519 import ORDER, Scalar
from vectors import reference_gf256 as reference

bytes_ = st.integers(0, 255)
numbers = st.one_of(st.integers(0, ORDER - 1), st.integers(0, 300), st.integers(ORDER - 300, ORDER))
weights = st.one_of(st.integers(-300, 300), st.integers(-ORDER, ORDER))


def scalar(value: int) -> Scalar:
    return Scalar.from_public_int(value)


def base(value: int) -> ed25519.Element:
    return ed25519.mul_base(scalar(value))


@given(a=bytes_, b=bytes_, c=bytes_)
def test_gf256_is_a_field(a: int, b: int, c: int) -> None:
    times = gf256.product
    assert times(a, b) == times(b, a)
    assert times(a, times(b, c)) == times(times(a, b), c)
    assert times(a, b ^ c) == times(a, b) ^ times(a, c)
    assert times(a, 1) == a
    assert not a or times(a, gf256.inverse(a)) == 1
    assert (times(a, b) == 0) == (a == 0 or b == 0)


@given(
    terms=st.integers(1, 70).flatmap(
        lambda size: st.lists(
            st.tuples(bytes_, st.binary(min_size=size, max_size=size)), min_size=1, max_size=12
        )
    )
)
def test_sums_over_gf256_are_those_of_the_definition(terms: list[tuple[int, bytes]]) -> None:
    expected = [
        reduce(lambda total, pair: total ^ reference.times(*pair), column, 0)
        for column in zip(*([(w, byte) for byte in term] for w, term in terms), strict=True)
    ]
    result = gf256.weighted_sum([w for w, _ in terms], [term for _, term in terms])
    assert list(result) == expected


@given(a=numbers, b=numbers, c=numbers)
def test_scalars_are_a_field(a: int, b: int, c: int) -> None:
    x, y, z = scalar(a), scalar(b), scalar(c)
    assert x.add(y).matches(y.add(x))
    assert x.mul(y).matches(y.mul(x))
    assert x.mul(y.mul(z)).matches(x.mul(y).mul(z))
    assert x.mul(y.add(z)).matches(x.mul(y).add(x.mul(z)))
    assert x.add(y).sub(y).matches(x)
    assert x.add(x.negate()).matches(Scalar())
    assert a % ORDER == 0 or x.mul(x.invert()).matches(scalar(1))


@given(a=numbers, b=numbers)
def test_scalars_agree_with_integers(a: int, b: int) -> None:
    for result, expected in (
        (scalar(a).add(scalar(b)), a + b),
        (scalar(a).sub(scalar(b)), a - b),
        (scalar(a).mul(scalar(b)), a * b),
        (scalar(a).negate(), -a),
    ):
        assert result.to_secret_bytes() == (expected % ORDER).to_bytes(32, "little")


@given(a=numbers, b=numbers)
def test_multiplication_by_scalars_is_linear(a: int, b: int) -> None:
    assert ed25519.add(base(a), base(b)) == base(a + b)
    assert ed25519.sub(base(a), base(b)) == base(a - b)
    assert ed25519.mul(scalar(a), base(b)) == base(a * b)


@given(pairs=st.lists(st.tuples(weights, numbers), min_size=1, max_size=5))
def test_combinations_agree_with_integers(pairs: list[tuple[int, int]]) -> None:
    result = ed25519.combination([w for w, _ in pairs], [base(k) for _, k in pairs])
    assert result == base(sum(w * k for w, k in pairs))


@given(pairs=st.lists(st.tuples(weights, numbers), max_size=5))
def test_inner_products_agree_with_integers(pairs: list[tuple[int, int]]) -> None:
    result = ed25519.inner_product([w for w, _ in pairs], [scalar(k) for _, k in pairs])
    assert result.matches(scalar(sum(w * k for w, k in pairs)))
