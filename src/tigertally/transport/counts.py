"""What a server counts of those who come to it, since its start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ServerCounts:
    """Numbers for `/metrics`, and for tests."""

    connections: int = 0  # that finished their handshake
    unseen: int = 0  # closed before it: too many of that address, or of all
    no_room: int = 0  # closed after it, or pushed out by others
    requests: int = 0
    refused: int = 0  # by a limit, before any handler saw them
    replayed: int = 0
    problems: int = 0  # answered with a problem document
    failures: int = 0  # answered 500: a handler or our store is broken

    def turned_away(self) -> dict[str, int]:
        """How many of each sort a limit has turned away."""
        return {"handshake": self.unseen, "connection": self.no_room, "request": self.refused}
