"""Resharing: new holders, a new threshold, the same key; lying donors are found."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from replay import Replay
from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.schemes import pedersen, resharing
from tigertally.schemes.pedersen import Commitments, Fragment, VerifiedFragment, verify_fragment

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "pedersen.json").read_text())
Donated = dict[HolderIndex, pedersen.Dealt]


def indices(*numbers: int) -> list[HolderIndex]:
    return [HolderIndex(number) for number in numbers]


FIVE, SEVEN = indices(1, 2, 3, 4, 5), indices(1, 2, 3, 4, 6, 7, 8)


def old_epoch(threshold: int = 3) -> tuple[Commitments, list[VerifiedFragment]]:
    dealt = pedersen.deal(threshold=threshold, receivers=FIVE, randomness=SeededRandomness("old"))
    return dealt.commitments, [verify_fragment(dealt.commitments, f) for f in dealt.fragments]


def donate(
    fragments: list[VerifiedFragment], receivers: list[HolderIndex], threshold: int
) -> Donated:
    return {
        fragment.index: resharing.deal_for_reshare(
            fragment,
            threshold=threshold,
            receivers=receivers,
            randomness=SeededRandomness(f"donor {fragment.index}"),
        )
        for fragment in fragments
    }


def new_epoch(
    old: Commitments, donated: Donated, receivers: list[HolderIndex]
) -> tuple[Commitments, list[VerifiedFragment]]:
    """What every new holder does, in its order."""
    for donor, dealt in donated.items():
        resharing.check_donor(old, donor, dealt.commitments)
    commitments = resharing.combine_reshared_commitments(
        {donor: dealt.commitments for donor, dealt in donated.items()}
    )
    resharing.check_unchanged(old, commitments)
    fragments = []
    for place, index in enumerate(receivers):
        pieces = {donor: dealt.fragments[place] for donor, dealt in donated.items()}
        combined = resharing.combine_reshared_fragments(index, pieces)
        fragments.append(verify_fragment(commitments, combined))
    return commitments, fragments


@pytest.mark.requirement("X3")
@pytest.mark.parametrize(
    ("old_threshold", "donors", "threshold", "receivers"),
    [
        (3, [1, 2, 3], 4, SEVEN),
        (3, [5, 1, 3], 4, SEVEN),
        (3, [2, 4, 5], 3, FIVE),
        (3, [1, 4, 5], 2, indices(4, 250)),
        (2, [3, 5], 5, FIVE),
        (5, [1, 2, 3, 4, 5], 2, indices(9, 10, 11)),
    ],
)
def test_a_reshare_keeps_the_key(
    old_threshold: int, donors: list[int], threshold: int, receivers: list[HolderIndex]
) -> None:
    old, fragments = old_epoch(old_threshold)
    key = pedersen.reconstruct(old, fragments[:old_threshold])
    donated = donate([fragments[i - 1] for i in donors], receivers, threshold)
    new, renewed = new_epoch(old, donated, receivers)
    assert new.points[0] == old.points[0]
    assert new.threshold == threshold
    for quorum in combinations(renewed, threshold):
        assert pedersen.reconstruct(new, quorum).to_secret_bytes() == key.to_secret_bytes()


@pytest.mark.requirement("C12")
def test_old_and_new_fragments_do_not_mix() -> None:
    old, fragments = old_epoch()
    new, renewed = new_epoch(old, donate(fragments[:3], FIVE, 3), FIVE)
    for before, after in zip(fragments, renewed, strict=True):
        assert not before.value.matches(after.value)
        as_received = Fragment(index=before.index, value=before.value, blinding=before.blinding)
        with pytest.raises(PeerFault):
            verify_fragment(new, as_received)
    with pytest.raises(PeerFault):
        pedersen.reconstruct(new, [renewed[0], renewed[1], fragments[2]])


@pytest.mark.requirement("X3")
def test_vector() -> None:
    case = VECTORS["reshare"]
    old = Commitments.from_bytes(bytes.fromhex(case["old"]["commitments"]))
    receivers = [HolderIndex(int(i)) for i in case["new"]["fragments"]]
    donated: Donated = {}
    for number, dealing in case["dealt"].items():
        donor = HolderIndex(int(number))
        own = Fragment.from_secret_bytes(donor, bytes.fromhex(case["old"]["fragments"][str(donor)]))
        drawn = [*dealing["values"][1:], *dealing["blindings"][1:]]
        donated[donor] = resharing.deal_for_reshare(
            verify_fragment(old, own),
            threshold=4,
            receivers=receivers,
            randomness=Replay([bytes.fromhex(raw) + bytes(32) for raw in drawn]),
        )
        assert donated[donor].commitments.to_bytes().hex() == dealing["commitments"]
        assert _as_text(donated[donor].fragments) == dealing["fragments"]
    new, renewed = new_epoch(old, donated, receivers)
    assert new.to_bytes().hex() == case["new"]["commitments"]
    assert _as_text(renewed) == case["new"]["fragments"]


def _as_text(fragments: Any) -> dict[str, str]:
    return {str(int(f.index)): f.to_secret_bytes().hex() for f in fragments}


@pytest.mark.requirement("X3")
def test_a_donor_that_deals_something_else_is_found() -> None:
    old, fragments = old_epoch()
    donated = donate(fragments[:3], SEVEN, 4)
    liar = FIVE[1]
    donated[liar] = pedersen.deal(threshold=4, receivers=SEVEN, randomness=SeededRandomness("lie"))
    wrong = []
    for donor, dealt in donated.items():
        try:
            resharing.check_donor(old, donor, dealt.commitments)
        except PeerFault:
            wrong.append(donor)
    assert wrong == [liar]
    combined = resharing.combine_reshared_commitments(
        {donor: dealt.commitments for donor, dealt in donated.items()}
    )
    with pytest.raises(PeerFault):
        resharing.check_unchanged(old, combined)


@pytest.mark.requirement("X3")
def test_a_donor_cannot_pass_as_another() -> None:
    old, fragments = old_epoch()
    donated = donate(fragments[:2], SEVEN, 4)
    with pytest.raises(PeerFault):
        resharing.check_donor(old, FIVE[0], donated[FIVE[1]].commitments)


@pytest.mark.requirement("X3")
def test_a_wrong_piece_shows_in_the_combined_fragment() -> None:
    old, fragments = old_epoch()
    donated = donate(fragments[:3], SEVEN, 4)
    new, _ = new_epoch(old, donated, SEVEN)
    pieces = {donor: dealt.fragments[0] for donor, dealt in donated.items()}
    piece = pieces[FIVE[2]]
    pieces[FIVE[2]] = Fragment(
        index=piece.index, value=piece.value, blinding=piece.blinding.negate()
    )
    combined = resharing.combine_reshared_fragments(SEVEN[0], pieces)
    with pytest.raises(PeerFault):
        verify_fragment(new, combined)


def test_too_few_donors_do_not_keep_the_key() -> None:
    old, fragments = old_epoch()
    donated = donate(fragments[:2], SEVEN, 4)
    with pytest.raises(PeerFault):
        new_epoch(old, donated, SEVEN)


def test_donors_must_agree_on_the_threshold() -> None:
    _, fragments = old_epoch()
    mixed = donate(fragments[:2], SEVEN, 4) | donate(fragments[2:3], SEVEN, 3)
    with pytest.raises(PeerFault):
        resharing.combine_reshared_commitments({i: d.commitments for i, d in mixed.items()})


def test_nothing_to_combine_or_of_another_holder() -> None:
    _, fragments = old_epoch()
    donated = donate(fragments[:1], SEVEN, 4)
    with pytest.raises(UsageError):
        resharing.combine_reshared_commitments({})
    with pytest.raises(UsageError):
        resharing.combine_reshared_fragments(SEVEN[0], {})
    pieces = {donor: dealt.fragments[1] for donor, dealt in donated.items()}
    with pytest.raises(UsageError):
        resharing.combine_reshared_fragments(SEVEN[0], pieces)


@pytest.mark.requirement("X3")
def test_a_donor_commits_first_to_the_fragment_that_it_verified() -> None:
    old, fragments = old_epoch()
    donated = donate(fragments[:3], SEVEN, 4)
    for donor, dealt in donated.items():
        assert dealt.commitments.points[0] == old.at(donor)
        for fragment in dealt.fragments:
            pedersen.verify_fragment(dealt.commitments, fragment)
