from __future__ import annotations

import json
from pathlib import Path

import pytest

from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.ids import Hash
from tigertally.crypto.merkle import (
    EMPTY_ROOT,
    Tree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "merkle.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(entry)) for entry in VECTORS["leaves"]]
ROOTS = [VECTORS["empty_root"], *VECTORS["roots"]]


@pytest.fixture
def tree():
    made = Tree()
    for leaf in LEAVES:
        made.append(leaf)
    return made


def hashes(texts):
    return tuple(Hash.from_text(text) for text in texts)


@pytest.mark.requirement("X5")
def test_roots_of_the_published_tree(tree):
    assert [str(tree.root(size)) for size in range(9)] == ROOTS
    assert str(EMPTY_ROOT) == ROOTS[0] == str(Tree().root())


@pytest.mark.requirement("X5")
@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_published_inclusion_proofs(tree, case):
    proof = hashes(case["proof"])
    assert tree.inclusion_proof(case["index"], case["size"]) == proof
    root = Hash.from_text(ROOTS[case["size"]])
    leaf = LEAVES[case["index"]]
    verify_inclusion(leaf=leaf, index=case["index"], size=case["size"], proof=proof, root=root)


@pytest.mark.requirement("X5")
@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_published_consistency_proofs(tree, case):
    proof = hashes(case["proof"])
    assert tree.consistency_proof(case["old"], case["new"]) == proof
    verify_consistency(
        old_size=case["old"],
        old_root=Hash.from_text(ROOTS[case["old"]]),
        new_size=case["new"],
        new_root=Hash.from_text(ROOTS[case["new"]]),
        proof=proof,
    )


def test_the_tree_grows_as_leaves_come():
    made = Tree()
    for size, leaf in enumerate(LEAVES, start=1):
        made.append(leaf)
        assert (made.size, str(made.root())) == (size, ROOTS[size])


@pytest.mark.parametrize("size", [-1, 9])
def test_sizes_the_tree_never_had(tree, size):
    for ask in (
        lambda: tree.root(size),
        lambda: tree.inclusion_proof(0, size),
        lambda: tree.consistency_proof(1, size),
        lambda: tree.inclusion_proof(size, 8),
        lambda: tree.consistency_proof(size, 8),
    ):
        with pytest.raises(UsageError):
            ask()


def test_an_empty_log_has_one_root_only():
    with pytest.raises(PeerFault):
        verify_consistency(old_size=0, old_root=LEAVES[0], new_size=1, new_root=LEAVES[0], proof=())


def test_a_tree_does_not_shrink(tree):
    with pytest.raises(PeerFault):
        verify_consistency(
            old_size=8, old_root=tree.root(8), new_size=7, new_root=tree.root(7), proof=()
        )
