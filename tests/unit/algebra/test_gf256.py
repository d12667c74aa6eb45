"""GF(256): the public tables and the sums of secret bytes, against the definition."""

from __future__ import annotations

from typing import Self

import pytest

from tigertally.algebra import gf256
from tigertally.base.errors import UsageError
from vectors import reference_gf256 as reference

ALL_BYTES = bytes(range(256))


def test_all_products_are_those_of_the_definition() -> None:
    for a in range(256):
        assert [gf256.product(a, b) for b in range(256)] == [
            reference.times(a, b) for b in range(256)
        ]


def test_every_number_but_zero_has_its_inverse() -> None:
    assert all(gf256.product(a, gf256.inverse(a)) == 1 for a in range(1, 256))
    with pytest.raises(UsageError):
        gf256.inverse(0)


def test_a_known_product() -> None:
    assert gf256.product(0x57, 0x83) == 0xC1  # FIPS 197, section 4.2


def test_powers_follow_each_other() -> None:
    for x in range(256):
        row = gf256.powers(x, 300)
        assert row[0] == 1
        assert all(row[k + 1] == gf256.product(row[k], x) for k in range(299))


def test_secret_bytes_times_every_public_weight() -> None:
    for weight in range(256):
        expected = bytes(reference.times(weight, byte) for byte in ALL_BYTES)
        assert gf256.weighted_sum((weight,), (ALL_BYTES,)) == expected


def test_every_pair_of_lanes_stays_apart() -> None:
    # a byte of all ones between zeros: nothing may flow into its neighbours
    term = b"\x00\xff\x00\xff\x00"
    for weight in range(256):
        result = gf256.weighted_sum((weight,), (term,))
        byte = reference.times(weight, 0xFF)
        assert result == bytes((0, byte, 0, byte, 0))


def test_sums_of_many_terms() -> None:
    terms = [bytes((i * 7 + k * 31) % 256 for i in range(40)) for k in range(255)]
    weights = list(range(1, 256))
    expected = bytes(40)
    for weight, term in zip(weights, terms, strict=True):
        products = (reference.times(weight, byte) for byte in term)
        expected = bytes(a ^ b for a, b in zip(expected, products, strict=True))
    assert gf256.weighted_sum(weights, terms) == expected


def test_terms_may_be_views() -> None:
    assert gf256.weighted_sum((1, 1), (memoryview(b"ab"), b"ab")) == b"\x00\x00"


@pytest.mark.parametrize(
    ("weights", "terms"),
    [
        ((), ()),
        ((1,), ()),
        ((1, 2), (b"a",)),
        ((1,), (b"a", b"b")),
        ((1, 2), (b"a", b"bc")),
        ((256,), (b"a",)),
        ((-1,), (b"a",)),
    ],
)
def test_sums_that_make_no_sense(weights: tuple[int, ...], terms: tuple[bytes, ...]) -> None:
    with pytest.raises(UsageError):
        gf256.weighted_sum(weights, terms)


def test_the_lengths_of_the_integers_do_not_depend_on_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every integer of a sum has as many limbs for zeros as for any other secret."""

    class Watched(int):
        sizes: list[int]

        def __new__(cls, value: int, sizes: list[int]) -> Self:
            self = super().__new__(cls, value)
            self.sizes = sizes
            sizes.append(int(value).bit_length())
            return self

    def derive(name: str) -> None:
        plain = getattr(int, name)

        def operation(self: Watched, other: int) -> Watched:
            return Watched(plain(self, other), self.sizes)

        setattr(Watched, name, operation)

    for name in ("__xor__", "__and__", "__lshift__", "__rshift__", "__mul__"):
        derive(name)

    def sizes_of(secret: bytes) -> list[int]:
        sizes: list[int] = []
        low, high, fix, guard = gf256._masks(len(secret))
        monkeypatch.setattr(gf256, "_masks", lambda _: (low, high, fix, Watched(guard, sizes)))
        packed = [Watched(term, sizes) for term in gf256.pack([secret, secret[::-1]])]
        gf256.sum_of((0xB7, 0x5A), packed, len(secret))
        monkeypatch.undo()
        return sizes

    zeros = sizes_of(bytes(32))
    assert len(zeros) > 40  # the operations really were watched
    for secret in (b"\xff" * 32, b"\x01" + bytes(31), bytes(31) + b"\x80", bytes(range(32))):
        assert sizes_of(secret) == zeros
