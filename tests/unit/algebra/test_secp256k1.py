"""secp256k1 against plain arithmetic, and every way a point or scalar can be wrong."""

from __future__ import annotations

import copy
import pickle

import pytest

import reference_secp256k1 as plain
from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import ORDER, Point, PublicScalar, Scalar
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.randomness import SeededRandomness

RANDOMNESS = SeededRandomness("secp256k1")
G = Point.from_bytes(plain.compressed(plain.G))
NUMBERS = [1, 2, 3, ORDER - 1, ORDER - 2, ORDER // 2, ORDER // 2 + 1, 2**128, 2**255 - 19]


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def scalar(value: int) -> Scalar:
    return Scalar.from_secret_bytes(number(value % ORDER))


def public(value: int) -> PublicScalar:
    return PublicScalar(number(value % ORDER))


def multiple(value: int) -> Point:
    return Point.from_bytes(plain.compressed(plain.mul(value, plain.G)))


X_PAST_THE_ORDER = next(
    point
    for x in range(ORDER, ORDER + 100)
    if (y := pow((x**3 + 7) % plain.P, (plain.P + 1) // 4, plain.P)) ** 2 % plain.P
    == (x**3 + 7) % plain.P
    for point in [(x, y)]
)

BAD_POINTS = {
    "infinity, SEC 1": b"\x00",
    "infinity, padded": bytes(33),
    "nothing": b"",
    "x without y": b"\x02" + number(5),
    "x is p": b"\x02" + number(plain.P),
    "x is p + 1, a point when reduced": b"\x02" + number(plain.P + 1),
    "all ones": b"\x03" + b"\xff" * 32,
    "uncompressed": b"\x04" + number(plain.G[0]) + number(plain.G[1]),
    "hybrid": bytes([6 + plain.G[1] % 2]) + number(plain.G[0]) + number(plain.G[1]),
    "x alone": number(plain.G[0]),
    "form 1": b"\x01" + number(plain.G[0]),
    "form 4 in 33 bytes": b"\x04" + number(plain.G[0]),
    "form 6 in 33 bytes": b"\x06" + number(plain.G[0]),
    "form 7 in 33 bytes": b"\x07" + number(plain.G[0]),
    "one byte short": plain.compressed(plain.G)[:-1],
    "one byte over": plain.compressed(plain.G) + b"\x00",
    "y bit of another curve": b"\x02" + number(plain.P - 1 - 2**224),
}


@pytest.mark.parametrize("raw", BAD_POINTS.values(), ids=BAD_POINTS)
def test_no_point(raw):
    with pytest.raises(MalformedMessage):
        Point.from_bytes(raw)


@pytest.mark.parametrize("value", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_no_scalar(value):
    for parse in (PublicScalar, Scalar.from_secret_bytes):
        with pytest.raises(MalformedMessage):
            parse(number(value))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_scalar_is_32_bytes(size):
    for parse in (PublicScalar, Scalar.from_secret_bytes):
        with pytest.raises(MalformedMessage):
            parse(b"\x01" * size)


@pytest.mark.parametrize("value", NUMBERS)
def test_multiples_agree_with_plain_arithmetic(value):
    expected = multiple(value)
    other = multiple(7)
    assert secp256k1.mul_base(scalar(value)) == expected
    assert secp256k1.mul(scalar(value), G) == expected
    assert secp256k1.mul(scalar(value), G).to_bytes() == expected.to_bytes()
    assert secp256k1.mul_public(public(value), G) == expected
    assert secp256k1.mul_to_secret(scalar(value), G).equals_public(expected)
    assert secp256k1.mul_to_secret(scalar(value), G).to_secret().matches(expected.to_bytes())
    assert secp256k1.mul(scalar(value), other) == multiple(7 * value)
    assert secp256k1.mul_public(public(value), other) == multiple(7 * value)


@pytest.mark.parametrize("a", NUMBERS)
@pytest.mark.parametrize("b", [1, 5, ORDER - 3])
def test_a_difference_agrees_with_plain_arithmetic(a, b):
    for p in (3, -3):
        expected = multiple((a - b * p) % ORDER) if (a - b * p) % ORDER else None
        if expected is None:
            with pytest.raises(UsageError):
                secp256k1.difference_public(public(a), public(b), multiple(p))
        else:
            assert secp256k1.difference_public(public(a), public(b), multiple(p)) == expected


@pytest.mark.parametrize("sign", [0, 1])
def test_a_difference_of_a_point_whose_x_is_past_the_order(sign):
    x, y = X_PAST_THE_ORDER
    p = (x, y if sign else plain.P - y)
    point = Point.from_bytes(plain.compressed(p))
    expected = plain.add(plain.mul(9, plain.G), plain.mul(ORDER - 4, p))
    assert secp256k1.difference_public(public(9), public(4), point).to_bytes() == plain.compressed(
        expected
    )


def test_sums():
    assert secp256k1.total([multiple(2), multiple(3), multiple(4)]) == multiple(9)
    with pytest.raises(UsageError):
        secp256k1.total([])
    with pytest.raises(UsageError):
        secp256k1.total([multiple(2), multiple(-2)])
    secret = secp256k1.mul_to_secret(scalar(2), G)
    assert secp256k1.total_to_secret([secret, multiple(5)]).equals_public(multiple(7))


@pytest.mark.parametrize("a", NUMBERS)
def test_scalar_arithmetic(a):
    b = 2**200 + 17
    one = scalar(a)
    assert one.mul(scalar(b), public(3)).to_secret_bytes() == number(3 * a * b % ORDER)
    assert one.add(scalar(b)).to_secret_bytes() == number((a + b) % ORDER)
    assert one.negate().to_secret_bytes() == number(-a % ORDER)
    assert one.invert(RANDOMNESS).to_secret_bytes() == number(pow(a, -1, ORDER))
    assert one.to_secret_bytes() == number(a), "nothing is changed in place"
    assert one.published() == number(a)
    with pytest.raises(UsageError):
        one.add(one.negate())


def test_polynomials():
    coefficients = [scalar(5), scalar(7), scalar(11)]
    assert secp256k1.value_at(coefficients, scalar(2)).to_secret_bytes() == number(5 + 14 + 44)
    assert secp256k1.value_at(coefficients[:1], scalar(2)).to_secret_bytes() == number(5)
    assert coefficients[2].to_secret_bytes() == number(11)
    with pytest.raises(UsageError):
        secp256k1.value_at([], scalar(2))
    with pytest.raises(UsageError):
        secp256k1.value_at([scalar(-2), scalar(1)], scalar(2))


@pytest.mark.parametrize(
    "digest", [0, 1, 2, ORDER - 2, ORDER - 1, ORDER, ORDER + 1, 2**256 - 1, 2**255]
)
def test_a_digest_is_never_zero(digest):
    expected = number(digest % (ORDER - 1) + 1)
    assert Scalar.from_digest(number(digest)).to_secret_bytes() == expected


def test_a_random_scalar_is_drawn_again_when_it_is_none():
    class Draws:
        def __init__(self) -> None:
            self.values = [number(0), number(ORDER), number(2**256 - 1), number(42)]

        def bytes(self, count: int) -> bytes:
            return self.values.pop(0)

    assert Scalar.random(Draws()).to_secret_bytes() == number(42)


def test_secrets_never_meet_a_multiplication_in_variable_time():
    secret = secp256k1.mul_to_secret(scalar(2), G)
    for a, p in ((scalar(2), G), (number(2), G), (public(2), secret)):
        with pytest.raises(UsageError):
            secp256k1.mul_public(a, p)
        with pytest.raises(UsageError):
            secp256k1.difference_public(a, public(1), p)
        with pytest.raises(UsageError):
            secp256k1.difference_public(public(1), a, p)


def test_a_secret_point_makes_no_public_one():
    three = Scalar.from_digest(bytes(31) + b"\x02")
    base = secp256k1.mul_base(three)
    secret = secp256k1.mul_to_secret(three, base)
    with pytest.raises(UsageError, match="secret"):
        secp256k1.mul(three, secret)
    with pytest.raises(UsageError, match="secret"):
        secp256k1.total((base, secret))
    assert "secret" in repr(secp256k1.total_to_secret((base, secret)))


def test_a_scalar_that_was_never_filled_multiplies_nothing():
    with pytest.raises(UsageError):
        secp256k1.mul(Scalar(), G)
    with pytest.raises(UsageError):
        secp256k1.mul_base(Scalar())


@pytest.mark.parametrize("secret", [scalar(0xC0FFEE), secp256k1.mul_to_secret(scalar(3), G)])
def test_secrets_do_not_print_compare_or_pickle(secret):
    assert "c0ffee" not in repr(secret)
    assert "secret" in repr(secret)
    for refused in (
        lambda: secret == secret,  # noqa: PLR0124
        lambda: hash(secret),
        lambda: pickle.dumps(secret),
        lambda: copy.copy(secret),
    ):
        with pytest.raises(TypeError):
            refused()
    with pytest.raises((TypeError, AttributeError)):
        secret.to_bytes()


def test_points_compare_hash_print_and_pickle_by_value():
    again = secp256k1.mul_base(scalar(1))
    assert again == G
    assert hash(again) == hash(G)
    assert multiple(2) != G
    assert plain.compressed(plain.G) != G
    assert pickle.loads(pickle.dumps(again)) == G
    assert repr(G) == f"Point({plain.compressed(plain.G).hex()})"


def test_a_scalar_is_wiped_when_it_goes():
    one = scalar(0xC0FFEE)
    cell = one._cell
    assert bytes(secp256k1.ffi.buffer(cell))[-3:] == b"\xc0\xff\xee"
    del one
    assert bytes(secp256k1.ffi.buffer(cell)) == bytes(32)


def test_a_shared_secret_is_wiped_when_it_goes():
    one = secp256k1.mul_to_secret(scalar(5), G)
    key = one._key
    assert any(secp256k1.ffi.buffer(key))
    del one
    assert bytes(secp256k1.ffi.buffer(key)) == bytes(64)


def test_what_python_inverts_is_blinded(monkeypatch):
    """Its time depends on the number, which is another one each time."""
    seen = []
    monkeypatch.setattr(
        secp256k1, "pow", lambda *args: seen.append(args[0]) or pow(*args), raising=False
    )
    for _ in range(2):
        product = scalar(12345).invert(RANDOMNESS).mul(scalar(12345))
        assert product.to_secret_bytes() == number(1)
    assert len({*seen, 12345}) == 3
