"""RFC 6962 section 2.1 word for word, over lists: slow, and shares nothing with the product."""

from __future__ import annotations

import hashlib


def leaf(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def largest_power_below(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tree_hash(entries):
    """MTH."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return leaf(entries[0])
    k = largest_power_below(len(entries))
    return hashlib.sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:])).digest()


def path(m, entries):
    """PATH, section 2.1.1."""
    n = len(entries)
    if n == 1:
        return []
    k = largest_power_below(n)
    if m < k:
        return [*path(m, entries[:k]), tree_hash(entries[k:])]
    return [*path(m - k, entries[k:]), tree_hash(entries[:k])]


def proof(m, entries):
    """PROOF, section 2.1.2."""
    return subproof(m, entries, whole=True)


def subproof(m, entries, *, whole):
    n = len(entries)
    if m == n:
        return [] if whole else [tree_hash(entries)]
    k = largest_power_below(n)
    if m <= k:
        return [*subproof(m, entries[:k], whole=whole), tree_hash(entries[k:])]
    return [*subproof(m - k, entries[k:], whole=False), tree_hash(entries[:k])]
