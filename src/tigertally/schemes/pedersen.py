"""Pedersen's verifiable sharing: a holder can check its fragment without learning the secret.

Source: Pedersen, "Non-interactive and information-theoretic secure verifiable secret sharing",
CRYPTO '91, over the prime-order group of edwards25519. A dealer shares a pair (value, blinding) by
two polynomials a and b of degree m − 1 and publishes the commitments a_k·G + b_k·H. No I/O.

Fragments are secret; commitments are public. The commitments hide the secret perfectly, whatever
computer looks at them; that a fragment cannot be forged rests on discrete logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass
from typing import NoReturn

from tigertally.algebra import ed25519
from tigertally.algebra.ed25519 import Element, Point, Scalar
from tigertally.algebra.polynomial import Polynomial, check_sharing, weights_scalar
from tigertally.base.errors import MalformedMessage, PeerFault, UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import MAX_HOLDERS, MIN_QUORUM
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret

PAIR_BYTES = 64  # value and blinding, 32 bytes each

# The second generator H. Nobody knows log_G H: it is the first of tagged_hash(PEDERSEN_GENERATOR,
# counter as 4 bytes, big-endian) for counter 0, 1, … that is a point: counter 25. A test redoes it.
GENERATOR = Point.from_text("c718905f5c5455747e812e0e7fedd7b1b10c470da490e3c16c8726bf73f3401a")

_VERIFIED = object()  # what only verify_fragment shows to VerifiedFragment


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitments:
    """What a dealer publishes: one point per coefficient, the key's own commitment first.

    Raises:
        MalformedMessage: fewer points than the smallest quorum, or more than holders can exist.
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        if not MIN_QUORUM <= len(self.points) <= MAX_HOLDERS:
            raise MalformedMessage(f"commitments are {MIN_QUORUM} to {MAX_HOLDERS} points")

    @property
    def threshold(self) -> int:
        """How many fragments give the secret: the number of commitments."""
        return len(self.points)

    def at(self, index: HolderIndex) -> Element:
        """The commitment to the pair that belongs to this holder: Σ index^k · C_k."""
        result: Element = self.points[-1]
        for point in self.points[-2::-1]:
            result = ed25519.add(ed25519.combination((index,), (result,)), point)
        return result

    def to_bytes(self) -> bytes:
        """32 bytes a point."""
        return b"".join(self.points)

    @classmethod
    def from_bytes(cls, raw: bytes, *, unchecked: bool = False) -> Commitments:
        """Parse what `to_bytes` wrote.

        Args:
            unchecked: take the points for members; see `Element.unchecked`.

        Raises:
            MalformedMessage: another length, or something that is no point.
        """
        if len(raw) % Point.SIZE or len(raw) > MAX_HOLDERS * Point.SIZE:
            raise MalformedMessage("commitments are points of 32 bytes each")
        steps = range(0, len(raw), Point.SIZE)
        point = Point.unchecked if unchecked else Point
        return cls(points=tuple(point(raw[i : i + Point.SIZE]) for i in steps))


def threshold_of(commitments: bytes) -> int:
    """How many points encoded commitments have; whether they are points is not checked.

    Raises:
        MalformedMessage: a length that no commitments have.
    """
    count, rest = divmod(len(commitments), Point.SIZE)
    if rest or not MIN_QUORUM <= count <= MAX_HOLDERS:
        raise MalformedMessage(f"commitments are {MIN_QUORUM} to {MAX_HOLDERS} points")
    return count


def key_commitment(commitments: bytes) -> bytes:
    """The first point of encoded commitments, to compare; raises as `threshold_of`."""
    threshold_of(commitments)
    return commitments[: Point.SIZE]


class _Secretive:
    """Neither compares nor pickles nor copies: the fields are secret scalars."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("fragments are secret: compare their scalars with matches()")

    def __reduce__(self) -> NoReturn:
        raise TypeError("fragments are secret: they are not pickled or copied")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SharedSecret(_Secretive):
    """The secret pair that the first commitment opens to. 64 bytes: value, then blinding."""

    value: Scalar
    blinding: Scalar

    def to_secret_bytes(self) -> bytes:
        """Value and blinding. **Security:** a copy that Python cannot wipe."""
        return self.value.to_secret_bytes() + self.blinding.to_secret_bytes()

    @classmethod
    def from_secret_bytes(cls, raw: Secret | bytes) -> SharedSecret:
        """Parse 64 bytes; raises `MalformedMessage`."""
        value, blinding = _parse_pair(raw)
        return cls(value=value, blinding=blinding)

    @classmethod
    def random(cls, randomness: Randomness) -> SharedSecret:
        """A fresh uniform pair."""
        return cls(value=Scalar.random(randomness), blinding=Scalar.random(randomness))

    def __repr__(self) -> str:
        return "SharedSecret(secret)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Fragment(_Secretive):
    """One holder's piece, as it came: not checked against any commitments yet."""

    index: HolderIndex
    value: Scalar
    blinding: Scalar

    def to_secret_bytes(self) -> bytes:
        """Value and blinding, 64 bytes. **Security:** a copy that Python cannot wipe."""
        return self.value.to_secret_bytes() + self.blinding.to_secret_bytes()

    @classmethod
    def from_secret_bytes(cls, index: HolderIndex, raw: Secret | bytes) -> Fragment:
        """Parse 64 bytes.

        Raises:
            MalformedMessage: another length, or a scalar that is not below the group order.
        """
        value, blinding = _parse_pair(raw)
        return cls(index=index, value=value, blinding=blinding)

    def __repr__(self) -> str:
        return f"Fragment(index={int(self.index)}, secret)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class VerifiedFragment(_Secretive):
    """A fragment that fits its commitments. Only `verify_fragment` makes one.

    `commitment` is the public one to this fragment's pair.
    """

    index: HolderIndex
    value: Scalar
    blinding: Scalar
    commitment: Element
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _VERIFIED:
            raise UsageError("only verify_fragment makes a verified fragment")

    def to_secret_bytes(self) -> bytes:
        """Value and blinding, 64 bytes. **Security:** a copy that Python cannot wipe."""
        return self.value.to_secret_bytes() + self.blinding.to_secret_bytes()

    def __repr__(self) -> str:
        return f"VerifiedFragment(index={int(self.index)}, secret)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What `deal` makes: commitments for everybody, and a fragment for each receiver alone."""

    commitments: Commitments
    fragments: tuple[Fragment, ...]


def commit(value: Scalar, blinding: Scalar) -> Element:
    """value · G + blinding · H."""
    return ed25519.double_mul(value, blinding, GENERATOR)


def deal(
    *,
    threshold: int,
    receivers: Sequence[HolderIndex],
    randomness: Randomness,
    secret: SharedSecret | None = None,
    commitment: Element | None = None,
) -> Dealt:
    """Share a pair (a fresh random one by default) among the receivers.

    Args:
        threshold: m, at least 2.
        receivers: the holders' numbers, each once.
        secret: the pair to share.
        commitment: the commitment to that pair where it is known already; it becomes the first.

    Raises:
        UsageError: no such sharing exists.

    **Security:** `randomness` is used for the coefficients; the same bytes twice reveal the secret.
    """
    check_sharing(threshold, receivers)
    pair = secret if secret is not None else SharedSecret.random(randomness)
    values = Polynomial.random(threshold, randomness, constant=pair.value)
    blindings = Polynomial.random(threshold, randomness, constant=pair.blinding)
    pairs = zip(values.coefficients, blindings.coefficients, strict=True)
    points = []
    if commitment is not None:
        next(pairs)
        points.append(Point(commitment))
    points += [Point(commit(a, b)) for a, b in pairs]
    pieces = zip(receivers, values.at(receivers), blindings.at(receivers), strict=True)
    return Dealt(
        commitments=Commitments(points=tuple(points)),
        fragments=tuple(
            Fragment(index=index, value=value, blinding=blinding)
            for index, value, blinding in pieces
        ),
    )


def verify_fragment(commitments: Commitments, fragment: Fragment) -> VerifiedFragment:
    """Check a fragment against the commitments it was dealt with.

    Raises:
        PeerFault: it does not fit. It names nobody: the caller knows who dealt or sent it.
    """
    commitment = commitments.at(fragment.index)
    if commitment != commit(fragment.value, fragment.blinding):
        raise PeerFault("a fragment does not fit its commitments")
    return VerifiedFragment(
        index=fragment.index,
        value=fragment.value,
        blinding=fragment.blinding,
        commitment=commitment,
        proof=_VERIFIED,
    )


def reconstruct(commitments: Commitments, fragments: Sequence[VerifiedFragment]) -> SharedSecret:
    """The secret pair, from exactly as many fragments as the threshold.

    Raises:
        UsageError: more or fewer fragments, or two of one holder.
        PeerFault: the pair does not open the first commitment (fragments of other commitments).
    """
    indices = tuple(fragment.index for fragment in fragments)
    if len(indices) != commitments.threshold or len(set(indices)) != len(indices):
        raise UsageError(f"exactly {commitments.threshold} fragments of different holders needed")
    weights = weights_scalar(indices)
    pair = SharedSecret(
        value=ed25519.inner_product(weights, [fragment.value for fragment in fragments]),
        blinding=ed25519.inner_product(weights, [fragment.blinding for fragment in fragments]),
    )
    if commit(pair.value, pair.blinding) != commitments.points[0]:
        raise PeerFault("the rebuilt secret does not open the key's commitment")
    return pair


def _parse_pair(raw: Secret | bytes | memoryview) -> tuple[Scalar, Scalar]:
    if isinstance(raw, Secret):
        with raw.exposed() as view:
            return _parse_pair(view)
    if len(raw) != PAIR_BYTES:
        raise MalformedMessage(f"a secret pair is {PAIR_BYTES} bytes")
    return Scalar.from_secret_bytes(raw[:32]), Scalar.from_secret_bytes(raw[32:])
