"""Pedersen's sharing: vectors, every quorum, wrong fragments, what does not leak."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from replay import Replay, wide
from tigertally.algebra import tags
from tigertally.algebra.ed25519 import IDENTITY, ORDER, Point, Scalar
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import MalformedMessage, PeerFault, UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.schemes import pedersen
from tigertally.schemes.pedersen import (
    Commitments,
    Fragment,
    SharedSecret,
    VerifiedFragment,
    verify_fragment,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "pedersen.json").read_text())
FIVE = [HolderIndex(i) for i in range(1, 6)]


def deal(seed: int = 1, threshold: int = 3) -> pedersen.Dealt:
    return pedersen.deal(threshold=threshold, receivers=FIVE, randomness=SeededRandomness(seed))


def one() -> Scalar:
    return Scalar.from_public_int(1)


def test_the_second_generator_is_derived_as_it_says() -> None:
    for counter in range(100):
        candidate = tagged_hash(tags.PEDERSEN_GENERATOR, counter.to_bytes(4, "big"))
        try:
            point = Point(bytes(candidate))
        except MalformedMessage:
            continue
        break
    assert (counter, point) == (VECTORS["generator"]["counter"], pedersen.GENERATOR)
    assert VECTORS["generator"]["point"] == str(pedersen.GENERATOR)


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("case", VECTORS["dealings"], ids=lambda case: str(case["name"]))
def test_vectors(case: dict[str, Any]) -> None:
    pairs = zip(case["values"], case["blindings"], strict=True)
    values, blindings = zip(*((bytes.fromhex(a), bytes.fromhex(b)) for a, b in pairs), strict=True)
    expected = {HolderIndex(int(i)): bytes.fromhex(raw) for i, raw in case["fragments"].items()}
    dealt = pedersen.deal(
        threshold=len(values),
        receivers=list(expected),
        randomness=Replay([raw + bytes(32) for raw in (*values[1:], *blindings[1:])]),
        secret=SharedSecret.from_secret_bytes(values[0] + blindings[0]),
    )
    assert dealt.commitments.to_bytes().hex() == case["commitments"]
    assert {f.index: f.to_secret_bytes() for f in dealt.fragments} == expected
    checked = [verify_fragment(dealt.commitments, fragment) for fragment in dealt.fragments]
    for quorum in combinations(checked, len(values)):
        rebuilt = pedersen.reconstruct(dealt.commitments, quorum)
        assert rebuilt.to_secret_bytes() == values[0] + blindings[0]


@pytest.mark.requirement("C12")
@pytest.mark.parametrize("threshold", [2, 3, 4, 5])
def test_any_quorum_rebuilds_the_pair(threshold: int) -> None:
    pair = SharedSecret.random(SeededRandomness(99))
    dealt = pedersen.deal(
        threshold=threshold, receivers=FIVE, randomness=SeededRandomness(1), secret=pair
    )
    assert dealt.commitments.threshold == threshold
    checked = [verify_fragment(dealt.commitments, fragment) for fragment in dealt.fragments]
    for quorum in combinations(checked, threshold):
        rebuilt = pedersen.reconstruct(dealt.commitments, quorum[::-1])
        assert rebuilt.to_secret_bytes() == pair.to_secret_bytes()


@pytest.mark.requirement("X3")
def test_a_fresh_pair_is_drawn_where_none_is_given() -> None:
    source = Replay([wide(k) for k in range(1, 7)])
    dealt = pedersen.deal(threshold=3, receivers=FIVE, randomness=source)
    assert source.left == 0
    checked = [verify_fragment(dealt.commitments, f) for f in dealt.fragments[:3]]
    rebuilt = pedersen.reconstruct(dealt.commitments, checked)
    assert rebuilt.value.matches(one())
    assert rebuilt.blinding.matches(Scalar.from_public_int(2))


def wrong_fragments() -> dict[str, Fragment]:
    dealt, other = deal(), deal(seed=2)
    good = dealt.fragments[2]
    index, value, blinding = good.index, good.value, good.blinding
    return {
        "another value": Fragment(index=index, value=value.add(one()), blinding=blinding),
        "another blinding": Fragment(index=index, value=value, blinding=blinding.add(one())),
        "value and blinding swapped": Fragment(index=index, value=blinding, blinding=value),
        "both negated": Fragment(index=index, value=value.negate(), blinding=blinding.negate()),
        "of another holder": Fragment(index=FIVE[3], value=value, blinding=blinding),
        "of another dealing": other.fragments[2],
        "zero": Fragment(index=index, value=Scalar(), blinding=Scalar()),
        "only the value": Fragment(index=index, value=value, blinding=Scalar()),
    }


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("name", wrong_fragments())
def test_a_wrong_fragment_is_refused(name: str) -> None:
    dealt = deal()
    verify_fragment(dealt.commitments, dealt.fragments[2])  # positive control
    with pytest.raises(PeerFault) as refusal:
        verify_fragment(dealt.commitments, wrong_fragments()[name])
    assert refusal.value.culprits == ()
    assert not refusal.value.sure


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_commitment_is_noticed_by_every_holder(place: int) -> None:
    dealt, other = deal(), deal(seed=2)
    points = list(dealt.commitments.points)
    points[place] = other.commitments.points[place]
    changed = Commitments(points=tuple(points))
    for fragment in dealt.fragments:
        with pytest.raises(PeerFault):
            verify_fragment(changed, fragment)


def test_commitments_that_cancel_out_on_the_way() -> None:
    """A dealer may choose C_1 = −x·C_2, so that Horner's rule meets the identity at x."""
    k = 12345
    a, b = [Scalar.from_public_int(c) for c in (7, -3 * k, k)], [Scalar() for _ in range(3)]
    dealt = pedersen.deal(
        threshold=3,
        receivers=FIVE,
        randomness=Replay([wide(c % ORDER) for c in (-3 * k, k, 0, 0)]),
        secret=SharedSecret(value=a[0], blinding=b[0]),
    )
    for fragment in dealt.fragments:
        verify_fragment(dealt.commitments, fragment)
    assert dealt.commitments.at(FIVE[2]) == dealt.commitments.points[0]


def test_a_commitment_can_be_the_identity_at_one_holder() -> None:
    dealt = pedersen.deal(
        threshold=2,
        receivers=FIVE,
        randomness=Replay([wide(1), wide(2)]),
        secret=SharedSecret(value=Scalar.from_public_int(-2), blinding=Scalar.from_public_int(-4)),
    )
    assert dealt.commitments.at(FIVE[1]) == IDENTITY
    for fragment in dealt.fragments:
        verify_fragment(dealt.commitments, fragment)


def test_reconstruction_takes_exactly_the_threshold() -> None:
    dealt = deal()
    checked = [verify_fragment(dealt.commitments, fragment) for fragment in dealt.fragments]
    for wrong in (checked[:2], checked[:4], [], [checked[0], checked[0], checked[1]]):
        with pytest.raises(UsageError):
            pedersen.reconstruct(dealt.commitments, wrong)


def test_reconstruction_with_fragments_of_other_commitments() -> None:
    dealt, other = deal(), deal(seed=2)
    checked = [verify_fragment(dealt.commitments, fragment) for fragment in dealt.fragments[:2]]
    checked.append(verify_fragment(other.commitments, other.fragments[2]))
    with pytest.raises(PeerFault):
        pedersen.reconstruct(dealt.commitments, checked)


def test_only_verification_makes_a_verified_fragment() -> None:
    with pytest.raises(UsageError):
        VerifiedFragment(
            index=FIVE[0],
            value=one(),
            blinding=one(),
            commitment=pedersen.GENERATOR,
            proof=object(),
        )
    with pytest.raises(TypeError):
        VerifiedFragment(index=FIVE[0], value=one(), blinding=one())  # type: ignore[call-arg]


def test_commitments_as_bytes() -> None:
    commitments = deal().commitments
    raw = commitments.to_bytes()
    assert len(raw) == 96
    assert Commitments.from_bytes(raw) == commitments


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        deal().commitments.to_bytes()[:32],
        deal().commitments.to_bytes()[:-1],
        deal().commitments.to_bytes() + b"\x00",
        deal().commitments.to_bytes()[:64] + bytes(32),
        deal().commitments.to_bytes()[:64] + bytes(IDENTITY),
        bytes(pedersen.GENERATOR) * 256,
    ],
)
def test_bytes_that_are_no_commitments(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Commitments.from_bytes(raw)


def test_fragments_as_bytes() -> None:
    fragment = deal().fragments[0]
    raw = fragment.to_secret_bytes()
    assert len(raw) == 64
    for form in (raw, Secret(raw)):
        again = Fragment.from_secret_bytes(fragment.index, form)
        assert again.value.matches(fragment.value)
        assert again.blinding.matches(fragment.blinding)
        assert SharedSecret.from_secret_bytes(form).to_secret_bytes() == raw
    checked = verify_fragment(deal().commitments, fragment)
    assert checked.to_secret_bytes() == raw


@pytest.mark.parametrize("case", VECTORS["bad scalars"], ids=lambda case: str(case["name"]))
def test_bytes_that_are_no_fragment(case: dict[str, str]) -> None:
    bad, good = bytes.fromhex(case["input"]), deal().fragments[0].to_secret_bytes()[:32]
    for raw in (bad + good, good + bad):
        for form in (raw, Secret(raw)):
            with pytest.raises(MalformedMessage):
                Fragment.from_secret_bytes(FIVE[0], form)


def test_secrets_do_not_print_compare_hash_pickle_or_copy() -> None:
    dealt = deal()
    checked = [verify_fragment(dealt.commitments, fragment) for fragment in dealt.fragments[:3]]
    pair = pedersen.reconstruct(dealt.commitments, checked)
    for value, shown in (
        (dealt.fragments[0], "Fragment(index=1, secret)"),
        (checked[0], "VerifiedFragment(index=1, secret)"),
        (pair, "SharedSecret(secret)"),
    ):
        assert repr(value) == shown
        for refused in (hash, pickle.dumps, copy.copy, copy.deepcopy, lambda v: v == pair):
            with pytest.raises(TypeError):
                refused(value)
    text = repr(dealt)
    assert all(f.to_secret_bytes()[:32].hex() not in text for f in dealt.fragments)


@pytest.mark.parametrize(("threshold", "count"), [(1, 5), (0, 5), (4, 3), (2, 0)])
def test_dealings_that_make_no_sense(threshold: int, count: int) -> None:
    with pytest.raises(UsageError):
        pedersen.deal(threshold=threshold, receivers=FIVE[:count], randomness=SeededRandomness(1))
