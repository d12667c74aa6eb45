"""Randomness as an argument: protocol steps take a `Randomness`, never call `os.urandom`."""

from __future__ import annotations

import hashlib
import os
from typing import Protocol


class Randomness(Protocol):
    """A source of uniformly random bytes."""

    def bytes(self, count: int) -> bytes:
        """`count` fresh bytes."""
        ...


class SystemRandomness:
    """The operating system's generator. The only source that production code may use."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


class SeededRandomness:
    """Repeatable bytes from a seed (SHA-256 in counter mode).

    **Security:** for tests and recorded vectors only; whoever knows the seed knows every key.
    """

    def __init__(self, seed: int | str) -> None:
        self._seed = str(seed).encode()
        self._counter = 0

    def bytes(self, count: int) -> bytes:
        out = b""
        while len(out) < count:
            block = self._seed + b"/" + self._counter.to_bytes(8, "big")
            out += hashlib.sha256(block).digest()
            self._counter += 1
        return out[:count]
