"""Randomness that gives chosen bytes, so that a test decides every coefficient."""

from __future__ import annotations

from collections.abc import Sequence


class Replay:
    """Gives the pieces in turn; each must be as long as what is asked for, and none is left."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = list(pieces)

    def bytes(self, count: int) -> bytes:
        piece = self._pieces.pop(0)
        assert len(piece) == count, f"asked for {count} bytes, the next piece has {len(piece)}"
        return piece

    @property
    def left(self) -> int:
        """How many pieces were not asked for."""
        return len(self._pieces)


def wide(scalar: int) -> bytes:
    """The 64 bytes that a scalar below the group order is drawn from."""
    return scalar.to_bytes(64, "little")
