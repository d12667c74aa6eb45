"""Joint generation: several dealers share a random pair each; the key is their sum.

Source: Pedersen, CRYPTO '91, section 5 (the commitments hide, so a dealer who speaks last learns
nothing to choose by). Nobody assembles the key: a holder adds its fragments, everybody adds the
commitments. No I/O.

The caller fixes the dealers first (in custody: the approvers in the closed tally) and checks the
summed fragment with `pedersen.verify_fragment`; only if that fails, single dealers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from tigertally.algebra import ed25519
from tigertally.algebra.ed25519 import Element, Point
from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.ids import HolderIndex
from tigertally.schemes.pedersen import Commitments, Fragment


def combine_commitments(dealings: Sequence[Commitments]) -> Commitments:
    """The commitments of the sum of several dealings.

    Raises:
        UsageError: no dealing.
        PeerFault: different thresholds, or a sum that is the identity (which honest dealers reach
            with a chance of 2⁻²⁵²).
    """
    if not dealings:
        raise UsageError("there is no dealing to combine")
    if len({dealing.threshold for dealing in dealings}) != 1:
        raise PeerFault("the dealings have different thresholds")
    columns = zip(*(dealing.points for dealing in dealings), strict=True)
    return as_commitments([_sum(column) for column in columns])


def combine_fragments(index: HolderIndex, fragments: Sequence[Fragment]) -> Fragment:
    """One holder's fragment of the sum of several dealings.

    Raises:
        UsageError: no fragment, or one of another holder.
    """
    if not fragments or any(fragment.index != index for fragment in fragments):
        raise UsageError("a holder combines its own fragments, one or more")
    return Fragment(
        index=index,
        value=ed25519.total([fragment.value for fragment in fragments]),
        blinding=ed25519.total([fragment.blinding for fragment in fragments]),
    )


def as_commitments(elements: Sequence[Element]) -> Commitments:
    """Computed elements as commitments; raises `PeerFault` if one is the identity."""
    if any(element.is_identity for element in elements):
        raise PeerFault("the dealings cancel each other out")
    return Commitments(points=tuple(Point(element) for element in elements))


def _sum(column: Sequence[Element]) -> Element:
    return reduce(ed25519.add, column)
