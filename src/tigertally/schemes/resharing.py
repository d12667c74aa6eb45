"""Resharing: the holders of an old epoch give a new set of holders fragments of the same key.

Source: Desmedt and Jajodia, "Redistributing secret shares to new access structures", 1997, made
verifiable with Pedersen commitments as in Wong, Wang and Wing, 2002. Each donor shares its own
fragment; a new fragment is the sum of the pieces times Lagrange's weights of the donors. The key is
never assembled and its commitment never changes. No I/O.

The donors are exactly as many as the old threshold. A new holder checks that the key's commitment
stays (`check_unchanged`) and the combined fragment (`pedersen.verify_fragment`); if one of them
fails, every donor (`check_donor`). Donors whose errors cancel each other out have changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tigertally.algebra import ed25519
from tigertally.algebra.ed25519 import Element, Scalar
from tigertally.algebra.polynomial import (
    inverse_of_public,
    weights_over_integers,
    weights_scalar,
)
from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import Randomness
from tigertally.schemes.joint_generation import as_commitments
from tigertally.schemes.pedersen import (
    Commitments,
    Dealt,
    Fragment,
    SharedSecret,
    VerifiedFragment,
    deal,
)


def deal_for_reshare(
    fragment: VerifiedFragment,
    *,
    threshold: int,
    receivers: Sequence[HolderIndex],
    randomness: Randomness,
) -> Dealt:
    """A donor shares its own fragment among the new holders at the new threshold.

    Raises:
        UsageError: no such sharing exists.

    **Security:** every attempt takes fresh polynomials; the donor keeps its fragment until the new
    epoch is certified.
    """
    own = SharedSecret(value=fragment.value, blinding=fragment.blinding)
    return deal(
        threshold=threshold,
        receivers=receivers,
        randomness=randomness,
        secret=own,
        commitment=fragment.commitment,
    )


def check_donor(old: Commitments, donor: HolderIndex, dealt: Commitments) -> None:
    """Whether the donor dealt the very fragment that the old commitments gave it.

    Raises:
        PeerFault: it dealt something else. It names nobody: the caller knows who `donor` is.
    """
    if dealt.points[0] != old.at(donor):
        raise PeerFault("a donor dealt something other than its own fragment")


def combine_reshared_commitments(
    dealings: Mapping[HolderIndex, Commitments],
) -> Commitments:
    """The new epoch's commitments, from those of all donors.

    If the donors are as many as the old threshold and each dealt its own fragment, the first point
    is the key's own commitment: see `check_unchanged`.

    Raises:
        UsageError: no dealing.
        PeerFault: different thresholds, or a sum that is the identity.
    """
    if not dealings:
        raise UsageError("there is no dealing to combine")
    if len({dealing.threshold for dealing in dealings.values()}) != 1:
        raise PeerFault("the dealings have different thresholds")
    numerators, denominator = weights_over_integers(tuple(dealings))
    columns = zip(*(dealing.points for dealing in dealings.values()), strict=True)
    sums = [ed25519.combination(numerators, column) for column in columns]
    return as_commitments([_divided(element, denominator) for element in sums])


def combine_reshared_fragments(
    index: HolderIndex, fragments: Mapping[HolderIndex, Fragment]
) -> Fragment:
    """A new holder's fragment, from the pieces that each donor (the mapping's key) sent it.

    Raises:
        UsageError: no piece, or one of another holder.
    """
    if not fragments or any(fragment.index != index for fragment in fragments.values()):
        raise UsageError("a holder combines its own pieces, one from each donor")
    weights = weights_scalar(tuple(fragments))
    return Fragment(
        index=index,
        value=ed25519.inner_product(weights, [piece.value for piece in fragments.values()]),
        blinding=ed25519.inner_product(weights, [piece.blinding for piece in fragments.values()]),
    )


def check_unchanged(old: Commitments, new: Commitments) -> None:
    """Whether two epochs are of one key.

    Raises:
        PeerFault: the key's own commitment differs.
    """
    if old.points[0] != new.points[0]:
        raise PeerFault("the new commitments are not of the same key")


def _divided(element: Element, denominator: int) -> Element:
    if denominator == 1:
        return element
    return ed25519.mul(Scalar.from_public_int(inverse_of_public(denominator)), element)
