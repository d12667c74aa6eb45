"""Merkle trees whose past cannot change: inclusion and consistency proofs.

Standard: RFC 6962 section 2.1 (the same trees as RFC 9162), SHA-256. No I/O: the functions take
`node(level, index)`, which gives the hash of the complete subtree over the 2^level leaves from
index · 2^level on; `Tree` keeps those in memory, the audit log in its store.

Proofs and their verification walk down the same splits, so a proof has exactly the length that
its numbers demand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.ids import Hash

NodeReader = Callable[[int, int], bytes]

EMPTY_ROOT = Hash(hashlib.sha256(b"").digest())

_HASH_BYTES = 32


def leaf_hash(entry: bytes) -> Hash:
    """The hash of one log entry. The prefixes keep leaves and nodes apart."""
    return Hash(hashlib.sha256(b"\x00" + entry).digest())


def node_hash(left: bytes, right: bytes) -> Hash:
    """The hash of two subtrees, 32 bytes each."""
    return Hash(hashlib.sha256(b"\x01" + left + right).digest())


def root_of(size: int, node: NodeReader) -> Hash:
    """The root of the first `size` leaves."""
    return _subtree(0, size, node) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, node: NodeReader) -> tuple[Hash, ...]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1: that the leaf is in the tree.

    Raises:
        UsageError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise UsageError(f"there is no leaf {index} in a tree of {size}")
    siblings = [_subtree(*sibling, node) for _, sibling in _way_to_leaf(index, size)]
    return tuple(reversed(siblings))


def consistency_path(old: int, new: int, node: NodeReader) -> tuple[Hash, ...]:
    """PROOF(old, D[new]) of RFC 6962 section 2.1.2: that the smaller tree is its beginning.

    Empty for an empty old tree and for equal sizes, where there is nothing to prove.

    Raises:
        UsageError: the old tree is larger than the new one.
    """
    if not 0 <= old <= new:
        raise UsageError(f"a tree of {new} has no beginning of {old}")
    if old in (0, new):
        return ()
    way = list(_way_to_old(old, new))
    siblings = [_subtree(*sibling, node) for _, sibling in way]
    start = _old_subtree_start(way)
    if start:
        siblings.append(_subtree(start, old, node))
    return tuple(reversed(siblings))


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that `leaf` (a leaf hash) is number `index` of the tree with this size and root.

    Raises:
        PeerFault: it is not, or the proof does not show it. The caller knows whom to name.
    """
    if not 0 <= index < size:
        _fail(f"there is no leaf {index} in a tree of {size}")
    way = list(_way_to_leaf(index, size))
    _check_shape(proof, len(way))
    found = leaf
    for (on_left, _), sibling in zip(reversed(way), proof, strict=True):
        found = node_hash(sibling, found) if on_left else node_hash(found, sibling)
    if found != root:
        _fail(f"leaf {index} is not in the tree of {size} with that root")


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the old tree is the beginning of the new one: nothing changed, only added.

    Raises:
        PeerFault: it is not, or the proof does not show it. The caller knows whom to name.
    """
    if not 0 <= old_size <= new_size:
        _fail(f"a tree of {new_size} has no beginning of {old_size}")
    if old_size in (0, new_size):
        _check_shape(proof, 0)
        if old_root != (new_root if old_size else EMPTY_ROOT):
            _fail(f"two trees of {old_size} have different roots")
        return
    way = list(_way_to_old(old_size, new_size))
    given = list(proof)
    if _old_subtree_start(way):  # the old tree's last subtree is not the whole old tree
        _check_shape(proof, len(way) + 1)
        old = new = given.pop(0)
    else:
        _check_shape(proof, len(way))
        old = new = old_root
    for (on_left, _), sibling in zip(reversed(way), given, strict=True):
        if on_left:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:  # a subtree that only the new tree has
            new = node_hash(new, sibling)
    if old != old_root or new != new_root:
        _fail(f"the tree of {old_size} is not the beginning of the tree of {new_size}")


class Tree:
    """A growing tree in memory; keeps the hash of every complete subtree (64 bytes a leaf)."""

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // _HASH_BYTES

    def append(self, leaf: Hash) -> None:
        """Add a leaf by its `leaf_hash`."""
        index, found = self.size, leaf
        self._levels[0] += found
        for level, hashes in enumerate(self._levels):
            if not index & 1:
                return
            found = node_hash(bytes(hashes[-2 * _HASH_BYTES : -_HASH_BYTES]), found)
            index >>= 1
            if level + 1 == len(self._levels):
                self._levels.append(bytearray(found))
                return
            self._levels[level + 1] += found

    def root(self, size: int | None = None) -> Hash:
        """The root now, or when there were `size` leaves."""
        return root_of(self._known(size), self.node)

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[Hash, ...]:
        """Shows that leaf `index` is in the tree of `size` leaves; see `inclusion_path`."""
        return inclusion_path(index, self._known(size), self.node)

    def consistency_proof(self, old: int, new: int | None = None) -> tuple[Hash, ...]:
        """Shows that the tree of `old` leaves begins that of `new`; see `consistency_path`."""
        return consistency_path(old, self._known(new), self.node)

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        return bytes(self._levels[level][index * _HASH_BYTES : (index + 1) * _HASH_BYTES])

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise UsageError(f"the tree has {self.size} leaves, not {size}")
        return size


class RunningRoot:
    """The root over leaves that come one after the other, in memory of their logarithm."""

    __slots__ = ("_peaks",)

    def __init__(self) -> None:
        self._peaks: list[tuple[int, bytes]] = []  # complete subtrees: leaves, hash

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its `leaf_hash`."""
        leaves, found = 1, leaf
        while self._peaks and self._peaks[-1][0] == leaves:
            found = node_hash(self._peaks.pop()[1], found)
            leaves *= 2
        self._peaks.append((leaves, found))

    def root(self) -> Hash:
        """The root of all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return Hash(result)


# A step down: whether the sibling left aside is on the left, and its leaves [start, end).
_Step = tuple[bool, tuple[int, int]]


def _way_to_leaf(index: int, size: int) -> Iterator[_Step]:
    """The splits from the root down to one leaf."""
    start, end = 0, size
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            yield False, (middle, end)
            end = middle
        else:
            yield True, (start, middle)
            start = middle


def _way_to_old(old: int, new: int) -> Iterator[_Step]:
    """The splits from the new root down to the last subtree that the old tree shares with it."""
    start, end = 0, new
    while end != old:
        middle = _split(start, end)
        if old <= middle:
            yield False, (middle, end)
            end = middle
        else:
            yield True, (start, middle)
            start = middle


def _old_subtree_start(way: Sequence[_Step]) -> int:
    """Where the subtree at the end of that way begins."""
    return max((end for on_left, (_, end) in way if on_left), default=0)


def _split(start: int, end: int) -> int:
    """The left part has as many leaves as the largest power of two below their number."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _subtree(start: int, end: int, node: NodeReader) -> Hash:
    """The hash over leaves [start, end), of which only the right edge may be incomplete."""
    left, position, result = end - start, end, b""
    while left:
        level = (left & -left).bit_length() - 1
        position -= 1 << level
        found = node(level, position >> level)
        result = node_hash(found, result) if result else found
        left &= left - 1
    return Hash(result)


def _check_shape(proof: Sequence[bytes], length: int) -> None:
    if len(proof) != length or any(len(element) != _HASH_BYTES for element in proof):
        _fail(f"the proof is not {length} hashes")


def _fail(message: str) -> NoReturn:
    raise PeerFault(message)
