"""The group of secp256k1 and its scalars, as libsecp256k1 computes them.

Group: SEC 2 version 2, section 2.4.1. Points are 33 bytes, compressed; scalars 32 bytes,
big-endian, 1 … n − 1: zero and the point at infinity do not exist here. No I/O.

**Security:** the types say what may take time that depends on a value.

- Secret `Scalar`, constant time: `mul` and `mul_to_secret` (`secp256k1_ecdh`, whose hook for a
  hash hands the point out), `mul_base` (`secp256k1_ec_pubkey_create`, blinded), `add`, `mul` and
  `negate` of scalars (`secp256k1_ec_seckey_*`).
- `Scalar.invert` is Python's `pow` on a blinded, uniformly random value.
- `PublicScalar`, **variable** time, and faster: `mul_public` (`secp256k1_ec_pubkey_tweak_mul`) and
  `difference_public` (`secp256k1_ecdsa_recover`). They refuse a `Scalar` and a `SecretPoint`.

A `Scalar` becomes a `PublicScalar` only through `Scalar.published`. The module calls functions that
`coincurve` does not promise to keep, so it tests them when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn, Self

from coincurve._libsecp256k1 import ffi, lib

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.ids import FixedBytes
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

CONTEXT = ffi.gc(lib.secp256k1_context_create(1), lib.secp256k1_context_destroy)
_SCALAR = ffi.typeof("unsigned char[32]")
_POINT = ffi.typeof("secp256k1_pubkey *")
_RECOVERABLE = ffi.typeof("secp256k1_ecdsa_recoverable_signature *")
_PLAIN = ffi.typeof("unsigned char[65]")  # 4 ‖ x ‖ y
_CELL33 = ffi.typeof("unsigned char[33]")
_SIZE33 = ffi.new("size_t *", 33)  # in and out: always 33
_COMPRESSED = lib.SECP256K1_EC_COMPRESSED
_ONE = (1).to_bytes(32, "big")
_ZEROS = bytes(65)


@ffi.callback("int(unsigned char *, const unsigned char *, const unsigned char *, void *)")  # type: ignore[untyped-decorator,unused-ignore]
def _both_coordinates(out: Any, x: Any, y: Any, _: Any) -> int:
    """In the place of ECDH's hash: the product itself."""
    ffi.memmove(out, x, 32)
    ffi.memmove(out + 32, y, 32)
    return 1


class PublicScalar(FixedBytes):
    """A **public** number 1 … n − 1; 32 bytes, big-endian.

    Raises:
        MalformedMessage: another length, zero, or not below the group order.
    """

    SIZE: ClassVar[int] = 32

    def __new__(cls, value: bytes) -> Self:
        self = super().__new__(cls, value)
        if not lib.secp256k1_ec_seckey_verify(CONTEXT, self):
            raise MalformedMessage("a scalar is 1 to n − 1")
        return self


class Scalar:
    """A secret number 1 … n − 1, in memory that is zeroed when it goes.

    It does not print, compare or pickle.
    """

    __slots__ = ("_cell",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self._cell = ffi.new(_SCALAR)

    def __del__(self, _move: Callable[..., None] = ffi.memmove, _zeros: bytes = _ZEROS) -> None:
        _move(self._cell, _zeros, 32)

    @classmethod
    def random(cls, randomness: Randomness) -> Self:
        """A uniform scalar; draws again in the 2⁻¹²⁸ case that 32 bytes are none."""
        result = cls()
        while not lib.secp256k1_ec_seckey_verify(CONTEXT, result._cell):
            ffi.memmove(result._cell, randomness.bytes(32), 32)
        return result

    @classmethod
    def from_secret_bytes(cls, raw: Secret | bytes | bytearray | memoryview) -> Self:
        """Parse 32 bytes, big-endian.

        Raises:
            MalformedMessage: another length, zero, or not below the group order.
        """
        if isinstance(raw, Secret):
            with raw.exposed() as view:
                return cls.from_secret_bytes(view)
        if len(raw) != 32:
            raise MalformedMessage("a scalar is 32 bytes")
        result = cls()
        ffi.memmove(result._cell, raw, 32)
        if not lib.secp256k1_ec_seckey_verify(CONTEXT, result._cell):
            raise MalformedMessage("a scalar is 1 to n − 1")
        return result

    @classmethod
    def from_digest(cls, digest: bytes) -> Self:
        """(digest mod (n − 1)) + 1 for 32 bytes: uniform but for 2⁻¹²⁸, and never zero.

        **Security:** constant time, but for the 2⁻¹²⁸ of digests that are zero or at least n − 1.
        """
        result = cls()
        ffi.memmove(result._cell, digest, 32)
        if not lib.secp256k1_ec_seckey_tweak_add(CONTEXT, result._cell, _ONE):
            value = int.from_bytes(digest, "big") % (ORDER - 1) + 1
            ffi.memmove(result._cell, value.to_bytes(32, "big"), 32)
        return result

    def to_secret_bytes(self) -> bytes:
        """The 32 bytes. **Security:** a copy that Python cannot wipe."""
        return bytes(ffi.buffer(self._cell))

    def published(self) -> PublicScalar:
        """The value, now **public**: only for what a protocol sends in the clear."""
        return PublicScalar(bytes(ffi.buffer(self._cell)))

    def add(self, other: Scalar) -> Scalar:
        """self + other.

        Raises:
            UsageError: the sum is zero, which happens to nobody by chance.
        """
        result = self._copy()
        if not lib.secp256k1_ec_seckey_tweak_add(CONTEXT, result._cell, other._cell):
            raise UsageError("two scalars add up to zero")
        return result

    def mul(self, *factors: Scalar | PublicScalar) -> Scalar:
        """self · factor · …, in constant time whatever the factors are."""
        result = self._copy()
        cell, multiply = result._cell, lib.secp256k1_ec_seckey_tweak_mul
        for factor in factors:
            multiply(CONTEXT, cell, factor._cell if isinstance(factor, Scalar) else factor)
        return result

    def negate(self) -> Scalar:
        """−self."""
        result = self._copy()
        lib.secp256k1_ec_seckey_negate(CONTEXT, result._cell)
        return result

    def _copy(self) -> Scalar:
        result = Scalar()
        ffi.memmove(result._cell, self._cell, 32)
        return result

    def invert(self, randomness: Randomness) -> Scalar:
        """1 / self.

        **Security:** `randomness` blinds: Python inverts self · b for a fresh b, which is uniform
        and says nothing about self, and the result is multiplied by b.
        """
        blinding = Scalar.random(randomness)
        blinded = int.from_bytes(self.mul(blinding).to_secret_bytes(), "big")
        inverse = pow(blinded, -1, ORDER).to_bytes(32, "big")
        return Scalar.from_secret_bytes(inverse).mul(blinding)

    def __repr__(self) -> str:
        return "Scalar(secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("scalars are secret")

    def __reduce__(self) -> NoReturn:
        raise TypeError("scalars are secret: they are not pickled or copied")


def value_at(coefficients: Sequence[Scalar], x: Scalar) -> Scalar:
    """Σ coefficient_k · x^k, lowest first; all of it secret.

    Raises:
        UsageError: no coefficient, or a sum is zero, which happens to nobody by chance.
    """
    if not coefficients:
        raise UsageError("a polynomial has at least one coefficient")
    result = coefficients[-1].mul()
    for coefficient in coefficients[-2::-1]:
        lib.secp256k1_ec_seckey_tweak_mul(CONTEXT, result._cell, x._cell)
        if not lib.secp256k1_ec_seckey_tweak_add(CONTEXT, result._cell, coefficient._cell):
            raise UsageError("two scalars add up to zero")
    return result


class Point:
    """A public point of the curve, never the one at infinity. Compares and hashes by its bytes."""

    __slots__ = ("_bytes", "_key")

    SIZE: ClassVar[int] = 33

    def __init__(self, key: Any, raw: bytes = b"") -> None:
        self._key = key
        self._bytes = raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Parse the compressed form: 2 or 3, then x.

        Raises:
            MalformedMessage: another length or form, x not below p, or no point with this x.
        """
        key = ffi.new(_POINT)
        if len(raw) != 33 or not lib.secp256k1_ec_pubkey_parse(CONTEXT, key, raw, 33):
            raise MalformedMessage("not a compressed point of secp256k1")
        return cls(key, bytes(raw))

    def to_bytes(self) -> bytes:
        """The compressed form, 33 bytes."""
        if not self._bytes:
            self._bytes = bytes(ffi.buffer(_serialised(self._key)))
        return self._bytes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Point):
            return NotImplemented
        return bool(lib.secp256k1_ec_pubkey_cmp(CONTEXT, self._key, other._key) == 0)

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"Point({self.to_bytes().hex()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Point.from_bytes, (self.to_bytes(),)


class SecretPoint(Point):
    """A point that is a shared secret: wiped when it goes, does not print, compare or pickle."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __del__(self, _move: Callable[..., None] = ffi.memmove, _zeros: bytes = _ZEROS) -> None:
        _move(self._key, _zeros, 64)

    def to_bytes(self) -> NoReturn:
        """Refused: the bytes leave as `to_secret`."""
        raise TypeError("a shared secret leaves as to_secret()")

    def to_secret(self) -> Secret:
        """The compressed form, 33 bytes, with no other copy left behind."""
        cell = _serialised(self._key)
        result = Secret(memoryview(ffi.buffer(cell)))
        ffi.memmove(cell, _ZEROS, 33)
        return result

    def equals_public(self, other: Point) -> bool:
        """Whether this is a point that everybody can compute; the answer is public."""
        return bool(lib.secp256k1_ec_pubkey_cmp(CONTEXT, self._key, other._key) == 0)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("shared secrets do not compare")

    def __repr__(self) -> str:
        return "SecretPoint(secret)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("shared secrets do not pickle")


def _serialised(key: Any) -> Any:
    cell = ffi.new(_CELL33)
    lib.secp256k1_ec_pubkey_serialize(CONTEXT, cell, _SIZE33, key, _COMPRESSED)
    return cell


def _product(scalar: Scalar, point: Point) -> tuple[Any, Any]:
    """The product as libsecp256k1 keeps it, and as 4 ‖ x ‖ y."""
    key, plain = ffi.new(_POINT), ffi.new(_PLAIN, b"\x04")
    # A scalar of zero is refused by the return value alone: the hook has seen some point by then.
    if not lib.secp256k1_ecdh(
        CONTEXT, plain + 1, point._key, scalar._cell, _both_coordinates, ffi.NULL
    ) or not lib.secp256k1_ec_pubkey_parse(CONTEXT, key, plain, 65):
        raise UsageError("no product: the scalar is zero")
    return key, plain


def mul(scalar: Scalar, point: Point) -> Point:
    """scalar · P for a **public** point in constant time; the product is public."""
    if isinstance(point, SecretPoint):
        raise UsageError("a product with a secret point is secret")
    key, plain = _product(scalar, point)
    raw = ffi.buffer(plain)[:]
    return Point(key, (b"\x03" if raw[64] & 1 else b"\x02") + raw[1:33])


def mul_to_secret(scalar: Scalar, point: Point) -> SecretPoint:
    """scalar · P in constant time; the product is a shared secret."""
    key, plain = _product(scalar, point)
    ffi.memmove(plain, _ZEROS, 65)
    return SecretPoint(key)


def mul_base(scalar: Scalar) -> Point:
    """scalar · G in constant time; the product is public."""
    key = ffi.new(_POINT)
    if not lib.secp256k1_ec_pubkey_create(CONTEXT, key, scalar._cell):
        raise UsageError("no product: the scalar is zero")
    return Point(key)


def mul_public(scalar: PublicScalar, point: Point) -> Point:
    """scalar · P for a **public** scalar and point, in variable time."""
    if type(scalar) is not PublicScalar or isinstance(point, SecretPoint):
        raise UsageError("only public values are multiplied in variable time")
    key = ffi.new(_POINT, point._key[0])
    lib.secp256k1_ec_pubkey_tweak_mul(CONTEXT, key, scalar)
    return Point(key)


def difference_public(a: PublicScalar, b: PublicScalar, p: Point) -> Point:
    """a · G − b · P for **public** scalars and point, in variable time.

    Raises:
        UsageError: it is the point at infinity, or not everything is public.

    Recovering an ECDSA key computes (s · R − m · G) / r for the point R with x-coordinate r: with
    R = −P, s = b · r and m = −a · r that is this difference, for little more than one
    multiplication.
    """
    if type(a) is not PublicScalar or type(b) is not PublicScalar or isinstance(p, SecretPoint):
        raise UsageError("only public values are multiplied in variable time")
    raw = p.to_bytes()
    key, r = ffi.new(_POINT), raw[1:]
    if not lib.secp256k1_ec_seckey_verify(CONTEXT, r):  # x ≥ n: one point in 2¹²⁷
        minus_p = Point.from_bytes(bytes([raw[0] ^ 1]) + r)
        return total((mul_base(Scalar.from_secret_bytes(a)), mul_public(b, minus_p)))
    s, m = ffi.new(_SCALAR, r), ffi.new(_SCALAR, r)
    lib.secp256k1_ec_seckey_tweak_mul(CONTEXT, s, b)
    lib.secp256k1_ec_seckey_tweak_mul(CONTEXT, m, a)
    lib.secp256k1_ec_seckey_negate(CONTEXT, m)
    signature, compact = ffi.new(_RECOVERABLE), r + ffi.buffer(s)[:]
    parse = lib.secp256k1_ecdsa_recoverable_signature_parse_compact
    odd = raw[0] & 1
    if not parse(CONTEXT, signature, compact, 1 - odd) or not lib.secp256k1_ecdsa_recover(
        CONTEXT, key, signature, m
    ):
        raise UsageError("the points add up to infinity")
    return Point(key)


def total(points: Sequence[Point]) -> Point:
    """The sum of public points.

    Raises:
        UsageError: nothing to add up, one of them is secret, or the sum is the point at infinity.
    """
    if any(isinstance(point, SecretPoint) for point in points):
        raise UsageError("a sum with a secret point is secret")
    return Point(_sum(points))


def total_to_secret(points: Sequence[Point]) -> SecretPoint:
    """The sum of points of which some are secret; raises as `total`."""
    return SecretPoint(_sum(points))


def _sum(points: Sequence[Point]) -> Any:
    key = ffi.new(_POINT)
    keys = [point._key for point in points]
    if not keys or not lib.secp256k1_ec_pubkey_combine(CONTEXT, key, keys, len(keys)):
        raise UsageError("the points add up to infinity")
    return key


def _self_test() -> None:
    """The functions behind the secret operations do what this module needs, or it does not load."""
    lib.secp256k1_context_randomize(CONTEXT, SystemRandomness().bytes(32))
    three, last = Scalar.from_digest(bytes(31) + b"\x02"), (ORDER - 1).to_bytes(32, "big")
    four = three.add(Scalar.from_secret_bytes(_ONE))
    base = mul_base(Scalar.from_secret_bytes(_ONE))
    for scalar in (three, Scalar.from_secret_bytes(last)):
        product = mul(scalar, base)
        public = scalar.published()
        if product != mul_base(scalar) or product != mul_public(public, base):
            raise ImportError("libsecp256k1 does not multiply as this version of tigertally needs")
    if difference_public(PublicScalar(last), three.published(), base) != mul_base(four.negate()):
        raise ImportError("libsecp256k1 does not recover as this version of tigertally needs")
    if mul_base(four) != total([base, base, base, base]):
        raise ImportError("libsecp256k1 does not add as this version of tigertally needs")


_self_test()
