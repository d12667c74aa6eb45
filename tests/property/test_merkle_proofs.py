"""Every tree up to 70 leaves: all proofs equal the naive ones, verify, and fail once touched."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import naive_merkle as naive
from tigertally.base.errors import PeerFault
from tigertally.crypto.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion

LARGEST = 70
ENTRIES = [b"entry %d" % i for i in range(LARGEST)]
TREE = Tree()
for _entry in ENTRIES:
    TREE.append(leaf_hash(_entry))
ROOTS = [naive.tree_hash(ENTRIES[:size]) for size in range(LARGEST + 1)]
PAIRS = [(old, new) for new in range(LARGEST + 1) for old in range(new + 1)]
OTHER = bytes(32)


def flipped(raw, bit):
    out = bytearray(raw)
    out[bit // 8 % 32] ^= 1 << (bit % 8)
    return bytes(out)


def spoiled(proof):
    """Everything one can do to a proof: change, drop, double, swap, add, cut short."""
    proof = list(proof)
    for i, element in enumerate(proof):
        yield [*proof[:i], flipped(element, 37 * i), *proof[i + 1 :]]
        yield [*proof[:i], OTHER, *proof[i + 1 :]]
        yield [*proof[:i], *proof[i + 1 :]]
        yield [*proof[: i + 1], *proof[i:]]
        yield [*proof[:i], element[:-1], *proof[i + 1 :]]
        if i and proof[i - 1] != element:
            yield [*proof[: i - 1], element, proof[i - 1], *proof[i + 1 :]]
    yield [*proof, OTHER]
    yield [OTHER, *proof]


def test_roots():
    assert [TREE.root(size) for size in range(LARGEST + 1)] == ROOTS


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_inclusion_of_every_leaf(size):
    for index in range(size):
        proof = TREE.inclusion_proof(index, size)
        assert list(proof) == naive.path(index, ENTRIES[:size])
        leaf = naive.leaf(ENTRIES[index])
        verify_inclusion(leaf=leaf, index=index, size=size, proof=proof, root=ROOTS[size])
        for bad in spoiled(proof):
            with pytest.raises(PeerFault):
                verify_inclusion(leaf=leaf, index=index, size=size, proof=bad, root=ROOTS[size])
        for changed in ({"leaf": flipped(leaf, 5)}, {"root": flipped(ROOTS[size], 250)}):
            claim = {"leaf": leaf, "root": ROOTS[size]} | changed
            with pytest.raises(PeerFault):
                verify_inclusion(index=index, size=size, proof=proof, **claim)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 21, 64, 70])
def test_inclusion_elsewhere_is_refused(size):
    for index in range(size):
        proof = TREE.inclusion_proof(index, size)
        leaf = naive.leaf(ENTRIES[index])
        for wrong in (w for w in range(-1, size + 2) if w != index):
            with pytest.raises(PeerFault):
                verify_inclusion(leaf=leaf, index=wrong, size=size, proof=proof, root=ROOTS[size])


@pytest.mark.parametrize("new", range(LARGEST + 1))
def test_consistency_with_every_older_tree(new):
    for old in range(new + 1):
        proof = TREE.consistency_proof(old, new)
        if 0 < old < new:
            assert list(proof) == naive.proof(old, ENTRIES[:new])
        else:
            assert proof == ()
        claim = {
            "old_size": old,
            "old_root": ROOTS[old],
            "new_size": new,
            "new_root": ROOTS[new],
        }
        verify_consistency(**claim, proof=proof)
        for bad in spoiled(proof):
            with pytest.raises(PeerFault):
                verify_consistency(**claim, proof=bad)
        changes = [{"old_root": flipped(ROOTS[old], 9)}]
        if old:  # nothing can be said about what follows an empty log
            changes.append({"new_root": flipped(ROOTS[new], 200)})
        for changed in changes:
            with pytest.raises(PeerFault):
                verify_consistency(**claim | changed, proof=proof)


def test_consistency_with_another_history_is_refused():
    for old, new in PAIRS:
        if not old:
            continue
        forged = list(ENTRIES[:new])
        forged[old // 2] = b"rewritten"
        proof = naive.proof(old, forged) if old < new else []
        with pytest.raises(PeerFault):
            verify_consistency(
                old_size=old,
                old_root=ROOTS[old],
                new_size=new,
                new_root=naive.tree_hash(forged),
                proof=proof,
            )


@given(entries=st.lists(st.binary(max_size=80), max_size=200))
def test_any_entries(entries):
    tree = Tree()
    for entry in entries:
        tree.append(leaf_hash(entry))
    assert tree.size == len(entries)
    assert tree.root() == naive.tree_hash(entries)


@given(
    old=st.integers(-2, 2**64),
    new=st.integers(-2, 2**64),
    proof=st.lists(st.binary(min_size=31, max_size=33), max_size=70),
    roots=st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)),
)
def test_made_up_proofs_are_refused_at_any_size(old, new, proof, roots):
    assume(roots[0] != roots[1])
    with pytest.raises(PeerFault):
        verify_consistency(
            old_size=old, old_root=roots[0], new_size=new, new_root=roots[1], proof=proof
        )
    with pytest.raises(PeerFault):
        verify_inclusion(leaf=roots[0], index=old, size=new, proof=proof, root=roots[1])
