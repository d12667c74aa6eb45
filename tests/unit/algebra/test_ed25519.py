"""The group of edwards25519 and its scalars, against RFC 8032 in Python integers."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from replay import Replay, wide
from tigertally.algebra import ed25519
from tigertally.algebra.ed25519 import IDENTITY, ORDER, Element, Point, Scalar
from tigertally.base import errors
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from vectors import reference_edwards as reference

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "pedersen.json").read_text())
NUMBERS = [0, 1, 2, 8, 255, 2**128 + 1, ORDER - 2, ORDER - 1, reference.drawn("test_ed25519")]


def scalar(value: int) -> Scalar:
    return Scalar.from_secret_bytes((value % ORDER).to_bytes(32, "little"))


def number(value: Scalar) -> int:
    return int.from_bytes(value.to_secret_bytes(), "little")


def times_base(value: int) -> Element:
    return ed25519.mul_base(scalar(value))


@pytest.mark.parametrize("case", VECTORS["bad points"], ids=lambda case: str(case["name"]))
def test_bytes_that_are_no_point(case: dict[str, str]) -> None:
    raw = bytes.fromhex(case["input"])
    for _ in range(2):  # a refusal is not remembered as a success
        with pytest.raises(getattr(errors, case["error"])):
            Point(raw)
        if case["name"] != "the identity":
            with pytest.raises(getattr(errors, case["error"])):
                Element(raw)


@pytest.mark.parametrize("case", VECTORS["bad scalars"], ids=lambda case: str(case["name"]))
def test_bytes_that_are_no_scalar(case: dict[str, str]) -> None:
    raw = bytes.fromhex(case["input"])
    with pytest.raises(getattr(errors, case["error"])):
        Scalar.from_secret_bytes(raw)
    with pytest.raises(getattr(errors, case["error"])):
        Scalar.from_secret_bytes(Secret(raw))


def test_points_parse_from_bytes_and_text() -> None:
    raw = reference.encode(reference.base())
    assert Point(raw) == raw == Point.from_text(raw.hex()) == Element(raw)
    assert Point(Element(raw)) == raw
    assert type(Element(Point(raw))) is Element


@pytest.mark.parametrize("value", [None, 32, "0" * 32, bytearray(32), memoryview(bytes(32))])
def test_only_bytes_can_be_a_point(value: object) -> None:
    for kind in (Element, Point):
        with pytest.raises(MalformedMessage):
            kind(value)  # type: ignore[arg-type]


def test_the_identity_is_an_element_but_no_point() -> None:
    assert Element(IDENTITY).is_identity
    assert bytes(IDENTITY) == reference.encode(reference.ZERO)
    with pytest.raises(MalformedMessage):
        Point(IDENTITY)


@pytest.mark.parametrize("a", NUMBERS)
def test_scalar_arithmetic(a: int) -> None:
    for b in NUMBERS:
        assert number(scalar(a).add(scalar(b))) == (a + b) % ORDER
        assert number(scalar(a).sub(scalar(b))) == (a - b) % ORDER
        assert number(scalar(a).mul(scalar(b))) == a * b % ORDER
        assert scalar(a).matches(scalar(b)) == (a == b)
    assert number(scalar(a).negate()) == -a % ORDER
    if a:
        assert number(scalar(a).invert()) == pow(a, -1, ORDER)


def test_zero_has_no_inverse() -> None:
    with pytest.raises(UsageError):
        Scalar().invert()


def test_scalars_from_public_integers_are_reduced() -> None:
    assert number(Scalar.from_public_int(-1)) == ORDER - 1
    assert number(Scalar.from_public_int(ORDER + 5)) == 5


def test_scalars_are_drawn_from_64_bytes() -> None:
    big = 2**512 - 1
    assert number(Scalar.random(Replay([big.to_bytes(64, "little")]))) == big % ORDER
    assert number(Scalar.random(Replay([wide(7)]))) == 7


def test_a_scalar_as_a_secret_and_back() -> None:
    original = Scalar.random(SeededRandomness(1))
    secret = original.to_secret()
    assert len(secret) == 32
    assert secret.matches(original.to_secret_bytes())
    assert Scalar.from_secret_bytes(secret).matches(original)
    with secret.exposed() as raw:
        assert Scalar.from_secret_bytes(raw).matches(original)


def test_scalars_do_not_print_compare_hash_pickle_or_copy() -> None:
    value = scalar(12345)
    assert repr(value) == str(value) == f"{value}" == "Scalar(secret)"
    refusals = [
        lambda: value == value,  # noqa: PLR0124
        lambda: value != scalar(1),
        lambda: hash(value),
        lambda: {value},
        lambda: pickle.dumps(value),
        lambda: copy.copy(value),
        lambda: copy.deepcopy(value),
    ]
    for refusal in refusals:
        with pytest.raises(TypeError):
            refusal()


def test_memory_of_a_scalar_is_zeroed() -> None:
    value = scalar(ORDER - 1)
    cell = value._cell
    assert bytes(ed25519.ffi.buffer(cell)) != bytes(32)  # positive control
    value.__del__()
    assert bytes(ed25519.ffi.buffer(cell)) == bytes(32)


@pytest.mark.parametrize("k", NUMBERS)
def test_multiplications(k: int) -> None:
    expected = reference.encode(reference.times(k, reference.base()))
    base = Point(reference.encode(reference.base()))
    assert ed25519.mul_base(scalar(k)) == expected
    assert ed25519.mul(scalar(k), base) == expected
    assert ed25519.mul(scalar(k), IDENTITY) == IDENTITY


@pytest.mark.parametrize("a", NUMBERS)
def test_two_multiplications_and_their_sum(a: int) -> None:
    for b in (0, 1, ORDER - a, 2**200):
        assert ed25519.double_mul(scalar(a), scalar(b), times_base(1)) == times_base(a + b)
        assert ed25519.double_mul(scalar(a), scalar(b), times_base(9)) == times_base(a + 9 * b)
        assert ed25519.double_mul(scalar(a), scalar(b), IDENTITY) == times_base(a)


def test_sums_and_differences() -> None:
    a, b = times_base(1000), times_base(77)
    assert ed25519.add(a, b) == times_base(1077)
    assert ed25519.sub(a, b) == times_base(923)
    assert ed25519.add(a, a) == times_base(2000)
    assert ed25519.sub(a, a).is_identity
    assert ed25519.add(IDENTITY, a) == a == ed25519.add(a, IDENTITY)
    assert ed25519.sub(IDENTITY, a) == times_base(-1000)
    assert ed25519.add(times_base(-1000), a).is_identity


@pytest.mark.parametrize(
    "weights",
    [
        [0],
        [1],
        [-1],
        [0, 0, 0],
        [3, -3, 1],
        [ORDER, ORDER - 1, ORDER + 1],
        [2**200, -(2**199), 12345],
        [ORDER // 2, ORDER // 3, ORDER // 5],
        [5, -7],
    ],
)
def test_combinations_with_public_weights(weights: list[int]) -> None:
    points = [times_base(k) for k in (7, 5, 11)][: len(weights)]
    expected = sum(w * k for w, k in zip(weights, (7, 5, 11), strict=False))
    assert ed25519.combination(weights, points) == times_base(expected)


def test_a_combination_of_every_small_weight() -> None:
    for weight in range(256):
        assert ed25519.combination((weight,), (times_base(3),)) == times_base(3 * weight)
        assert ed25519.combination((weight,), (IDENTITY,)).is_identity


def test_a_combination_passes_through_the_identity() -> None:
    # 2·P − 2·P on the way: 4·P − 3·P − P
    point = times_base(9)
    assert ed25519.combination((4, -3, -1), (point, point, point)).is_identity


def test_combinations_that_make_no_sense() -> None:
    for weights, points in (([], []), ([1], []), ([1, 2], [IDENTITY])):
        with pytest.raises(UsageError):
            ed25519.combination(weights, points)


def test_values_of_a_polynomial() -> None:
    coefficients = [5, ORDER - 3, 2**251]
    results = ed25519.values_at([scalar(c) for c in coefficients], [1, 2, 255])
    for x, result in zip((1, 2, 255), results, strict=True):
        assert number(result) == sum(c * x**k for k, c in enumerate(coefficients)) % ORDER


def test_inner_product_and_total() -> None:
    scalars = [scalar(k) for k in (10, 20, 30)]
    assert number(ed25519.inner_product((1, -1, ORDER + 2), scalars)) == 50
    assert number(ed25519.total(scalars)) == 60
    assert number(ed25519.total([])) == 0
    with pytest.raises(UsageError):
        ed25519.inner_product((1,), scalars)


@pytest.mark.parametrize(("weights", "digits"), [(3, (1, 1)), (-3, (-1, -1)), (7, (-1, 0, 0, 1))])
def test_digits_are_those_that_take_the_fewest_additions(
    weights: int, digits: tuple[int, ...]
) -> None:
    assert ed25519._signed_digits(weights) == digits


def test_a_sum_refuses_what_is_not_on_the_curve() -> None:
    nothing = ed25519.Element.unchecked(bytes([2]) + bytes(31))
    for weights in ([1, 2], [3, -1], [ORDER // 3, 1]):
        with pytest.raises(UsageError):
            ed25519.combination(weights, [ed25519.mul_base(Scalar.from_public_int(5)), nothing])
