"""Pedersen: what is dealt is rebuilt, and commitments with m − 1 fragments open to any secret.

Whether two openings exist does not depend on who knows log_G H, but showing them does. So the
secrecy test runs the real code over a second generator whose logarithm the test knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import Replay, wide
from tigertally.algebra import ed25519
from tigertally.algebra.ed25519 import ORDER, Point, Scalar
from tigertally.base.errors import PeerFault
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import joint_generation, pedersen, resharing
from tigertally.schemes.pedersen import Fragment, SharedSecret, verify_fragment

scalars = st.one_of(st.integers(0, ORDER - 1), st.sampled_from([0, 1, 2, ORDER - 1]))
index_sets = st.lists(st.integers(1, 255).map(HolderIndex), min_size=2, max_size=6, unique=True)
slow = settings(max_examples=25, deadline=None)


def scalar(value: int) -> Scalar:
    return Scalar.from_public_int(value)


@contextmanager
def known_logarithm(trapdoor: int) -> Iterator[None]:
    with patch.object(pedersen, "GENERATOR", Point(ed25519.mul_base(scalar(trapdoor)))):
        yield


def deal_polynomials(
    values: list[int], blindings: list[int], receivers: list[HolderIndex]
) -> pedersen.Dealt:
    return pedersen.deal(
        threshold=len(values),
        receivers=receivers,
        randomness=Replay([wide(c) for c in (*values[1:], *blindings[1:])]),
        secret=SharedSecret(value=scalar(values[0]), blinding=scalar(blindings[0])),
    )


def vanishing(indices: list[HolderIndex]) -> list[int]:
    """Coefficients of the polynomial that is 1 at zero and 0 at the indices."""
    result = [1]
    for index in indices:
        slope = -pow(index, -1, ORDER)
        shifted = [0, *result]
        padded = [*result, 0]
        result = [(a + slope * b) % ORDER for a, b in zip(padded, shifted, strict=True)]
    return result


@pytest.mark.requirement("C12")
@pytest.mark.requirement("X3")
@slow
@given(data=st.data(), indices=index_sets, trapdoor=st.integers(2, ORDER - 1), other=scalars)
def test_commitments_and_fewer_fragments_open_to_any_secret(
    data: st.DataObject, indices: list[HolderIndex], trapdoor: int, other: int
) -> None:
    threshold = data.draw(st.integers(2, len(indices)))
    coefficients = st.lists(st.integers(0, ORDER - 1), min_size=threshold, max_size=threshold)
    # the secret is drawn, so that the commitment is the identity with no noticeable chance
    values, blindings = data.draw(coefficients), data.draw(coefficients)
    draw = SeededRandomness(f"{values}{blindings}{trapdoor}")
    values = [(c + int.from_bytes(draw.bytes(64), "little")) % ORDER for c in values]
    seen_at = data.draw(st.permutations(indices))[: threshold - 1]

    change = (other - values[0]) % ORDER
    shape = vanishing(seen_at)
    towards = -change * pow(trapdoor, -1, ORDER)
    other_values = [(c + change * s) % ORDER for c, s in zip(values, shape, strict=True)]
    other_blindings = [(c + towards * s) % ORDER for c, s in zip(blindings, shape, strict=True)]

    with known_logarithm(trapdoor):
        true = deal_polynomials(values, blindings, indices)
        fake = deal_polynomials(other_values, other_blindings, indices)
        assert fake.commitments == true.commitments
        for ours, theirs in zip(true.fragments, fake.fragments, strict=True):
            same = ours.to_secret_bytes() == theirs.to_secret_bytes()
            assert same == (ours.index in seen_at or change == 0)
        checked = [verify_fragment(true.commitments, f) for f in fake.fragments[:threshold]]
        opened = pedersen.reconstruct(true.commitments, checked)
        assert opened.value.matches(scalar(other))


@pytest.mark.requirement("C12")
@slow
@given(data=st.data(), indices=index_sets, seed=st.integers(0, 2**32))
def test_any_quorum_rebuilds_the_pair(
    data: st.DataObject, indices: list[HolderIndex], seed: int
) -> None:
    threshold = data.draw(st.integers(2, len(indices)))
    pair = SharedSecret.random(SeededRandomness(f"pair {seed}"))
    dealt = pedersen.deal(
        threshold=threshold, receivers=indices, randomness=SeededRandomness(seed), secret=pair
    )
    checked = [verify_fragment(dealt.commitments, f) for f in dealt.fragments]
    quorum = data.draw(st.permutations(checked))[:threshold]
    rebuilt = pedersen.reconstruct(dealt.commitments, quorum)
    assert rebuilt.to_secret_bytes() == pair.to_secret_bytes()


@pytest.mark.requirement("X3")
@slow
@given(
    seed=st.integers(0, 2**32), value=scalars, blinding=scalars, index=st.sampled_from([1, 2, 3])
)
def test_every_other_pair_is_refused(seed: int, value: int, blinding: int, index: int) -> None:
    receivers = [HolderIndex(i) for i in (1, 2, 3)]
    dealt = pedersen.deal(threshold=2, receivers=receivers, randomness=SeededRandomness(seed))
    good = dealt.fragments[index - 1]
    bad = Fragment(
        index=good.index,
        value=good.value.add(scalar(value)),
        blinding=good.blinding.add(scalar(blinding)),
    )
    if value == blinding == 0:
        verify_fragment(dealt.commitments, bad)
    else:
        with pytest.raises(PeerFault):
            verify_fragment(dealt.commitments, bad)


@pytest.mark.requirement("X3")
@slow
@given(data=st.data(), old=index_sets, new=index_sets, seed=st.integers(0, 2**32))
def test_generate_jointly_then_reshare_keeps_the_key(
    data: st.DataObject, old: list[HolderIndex], new: list[HolderIndex], seed: int
) -> None:
    randomness = SeededRandomness(seed)
    threshold = data.draw(st.integers(2, len(old)))
    dealt = [
        pedersen.deal(threshold=threshold, receivers=old, randomness=randomness)
        for _ in range(threshold)
    ]
    commitments = joint_generation.combine_commitments([d.commitments for d in dealt])
    held = []
    for place, index in enumerate(old):
        pieces = [d.fragments[place] for d in dealt]
        combined = joint_generation.combine_fragments(index, pieces)
        held.append(verify_fragment(commitments, combined))
    key = pedersen.reconstruct(commitments, held[:threshold])

    next_threshold = data.draw(st.integers(2, len(new)))
    donated = {
        fragment.index: resharing.deal_for_reshare(
            fragment, threshold=next_threshold, receivers=new, randomness=randomness
        )
        for fragment in data.draw(st.permutations(held))[:threshold]
    }
    for donor, dealing in donated.items():
        resharing.check_donor(commitments, donor, dealing.commitments)
    renewed = resharing.combine_reshared_commitments(
        {donor: dealing.commitments for donor, dealing in donated.items()}
    )
    assert renewed.points[0] == commitments.points[0]
    fresh = []
    for place, index in enumerate(new):
        shares = {donor: dealing.fragments[place] for donor, dealing in donated.items()}
        combined = resharing.combine_reshared_fragments(index, shares)
        fresh.append(verify_fragment(renewed, combined))
    again = pedersen.reconstruct(renewed, data.draw(st.permutations(fresh))[:next_threshold])
    assert again.to_secret_bytes() == key.to_secret_bytes()
