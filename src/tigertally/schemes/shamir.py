"""Shamir's scheme over GF(256), byte by byte: any m of n fragments give the secret back.

Source: Shamir, "How to share a secret", 1979; field and layout as Vault has them (HashiCorp's form
of a fragment is ours followed by the holder's index as the last byte). No I/O.

Fragments are secret and carry no proof: whoever combines checks the result against a key check
value. Fewer than m fragments say nothing about the secret but its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from tigertally.algebra import gf256
from tigertally.algebra.polynomial import check_sharing, weights_gf256
from tigertally.base.errors import UsageError
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import MIN_QUORUM
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret


def split(
    secret: Secret,
    *,
    threshold: int,
    indices: Sequence[HolderIndex],
    randomness: Randomness,
) -> dict[HolderIndex, Secret]:
    """Split a secret so that any `threshold` of the holders have it and fewer know nothing.

    Args:
        secret: one byte or more; each byte 0 … 255 is shared on its own.
        threshold: m, at least 2.
        indices: the holders' numbers, each once; a fragment belongs to its index.

    Returns:
        one fragment per holder, as long as the secret.

    Raises:
        UsageError: an empty secret, or no such sharing exists.

    **Security:** secret and coefficients pass through Python integers, which are not wiped: split
    and combine whole keys in a process that ends at once.
    """
    check_sharing(threshold, indices)
    size = len(secret)
    if not size:
        raise UsageError("there is nothing to split in an empty secret")
    drawn = memoryview(randomness.bytes(size * (threshold - 1)))
    with secret.exposed() as raw:
        terms = [raw, *(drawn[i : i + size] for i in range(0, len(drawn), size))]
        packed = gf256.pack(terms)
    return {
        index: Secret(gf256.sum_of(gf256.powers(index, threshold), packed, size))
        for index in indices
    }


def combine(fragments: Mapping[HolderIndex, Secret]) -> Secret:
    """The secret, from exactly as many fragments as the threshold.

    Raises:
        UsageError: fewer than two fragments, empty ones, or different lengths.

    **Security:** wrong or too few fragments give a wrong secret without complaint: check the
    result against the key check value, always. Integers: as for `split`.
    """
    sizes = {len(fragment) for fragment in fragments.values()}
    if len(fragments) < MIN_QUORUM or len(sizes) != 1 or sizes == {0}:
        raise UsageError(f"combining takes {MIN_QUORUM} or more fragments of one length")
    weights = weights_gf256(tuple(fragments))
    with ExitStack() as views:
        terms = [views.enter_context(fragment.exposed()) for fragment in fragments.values()]
        return Secret(gf256.weighted_sum(weights, terms))
