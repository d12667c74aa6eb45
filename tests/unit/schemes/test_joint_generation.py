"""Joint generation: the sum of dealings is a dealing of the sum."""

from __future__ import annotations

from itertools import combinations

import pytest

from tigertally.algebra import ed25519
from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import joint_generation, pedersen
from tigertally.schemes.pedersen import SharedSecret, verify_fragment

FIVE = [HolderIndex(i) for i in range(1, 6)]
PAIRS = [SharedSecret.random(SeededRandomness(f"pair {k}")) for k in range(3)]


def dealings(threshold: int = 3) -> list[pedersen.Dealt]:
    return [
        pedersen.deal(
            threshold=threshold, receivers=FIVE, randomness=SeededRandomness(f"d{k}"), secret=pair
        )
        for k, pair in enumerate(PAIRS)
    ]


@pytest.mark.requirement("X3")
def test_the_key_is_the_sum_of_what_was_dealt() -> None:
    dealt = dealings()
    commitments = joint_generation.combine_commitments([d.commitments for d in dealt])
    checked = [
        verify_fragment(
            commitments,
            joint_generation.combine_fragments(index, [d.fragments[place] for d in dealt]),
        )
        for place, index in enumerate(FIVE)
    ]
    value = ed25519.total([pair.value for pair in PAIRS])
    blinding = ed25519.total([pair.blinding for pair in PAIRS])
    assert commitments.points[0] == pedersen.commit(value, blinding)
    for quorum in combinations(checked, 3):
        rebuilt = pedersen.reconstruct(commitments, quorum)
        assert rebuilt.value.matches(value)
        assert rebuilt.blinding.matches(blinding)


@pytest.mark.requirement("X3")
@pytest.mark.parametrize("liar", [0, 1, 2])
def test_one_wrong_piece_shows_in_the_sum_and_then_names_its_dealer(liar: int) -> None:
    dealt = dealings()
    pieces = [d.fragments[1] for d in dealt]
    pieces[liar] = pedersen.Fragment(
        index=FIVE[1], value=pieces[liar].value.negate(), blinding=pieces[liar].blinding
    )
    commitments = joint_generation.combine_commitments([d.commitments for d in dealt])
    with pytest.raises(PeerFault):
        verify_fragment(commitments, joint_generation.combine_fragments(FIVE[1], pieces))
    wrong = []
    for place, piece in enumerate(pieces):
        try:
            verify_fragment(dealt[place].commitments, piece)
        except PeerFault:
            wrong.append(place)
    assert wrong == [liar]


def test_a_single_dealing_is_its_own_sum() -> None:
    dealt = dealings()[0]
    assert joint_generation.combine_commitments([dealt.commitments]) == dealt.commitments
    again = joint_generation.combine_fragments(FIVE[0], [dealt.fragments[0]])
    assert again.to_secret_bytes() == dealt.fragments[0].to_secret_bytes()


def test_different_thresholds_do_not_add_up() -> None:
    mixed = [dealings(3)[0].commitments, dealings(2)[1].commitments]
    with pytest.raises(PeerFault):
        joint_generation.combine_commitments(mixed)


def test_dealings_that_cancel_each_other_out() -> None:
    pair = PAIRS[0]
    negated = SharedSecret(value=pair.value.negate(), blinding=pair.blinding.negate())
    one, other = (
        pedersen.deal(threshold=2, receivers=FIVE, randomness=SeededRandomness(k), secret=s)
        for k, s in enumerate((pair, negated))
    )
    with pytest.raises(PeerFault):
        joint_generation.combine_commitments([one.commitments, other.commitments])


def test_nothing_to_combine() -> None:
    with pytest.raises(UsageError):
        joint_generation.combine_commitments([])
    with pytest.raises(UsageError):
        joint_generation.combine_fragments(FIVE[0], [])


def test_a_holder_combines_its_own_fragments_only() -> None:
    with pytest.raises(UsageError):
        joint_generation.combine_fragments(FIVE[0], [dealings()[0].fragments[1]])
