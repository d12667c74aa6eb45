"""Which connections a server keeps: places for holders, few for strangers, the idle ones go first.

No I/O: time comes in. A key has few connections. All but holders share a part of the places,
strangers a small part of that, and those at one address a part of theirs. When there is no room
for a newcomer, the connection that shares its room and has been idle longest is closed; the
newcomer is refused only if all of them are at work.

Addresses count for strangers only: a member behind the same address, or on the same machine, is
not locked out by them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from tigertally.base.errors import Unavailable
from tigertally.transport.door import Standing
from tigertally.transport.gate import Party

C = TypeVar("C", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLimits:
    """Numbers of connections; see `base/limits.py`.

    Attributes:
        most: by who is the highest of those who share these places.
        per_key: of one key.
        per_address: of all strangers at one address.
    """

    most: dict[Standing, int]
    per_key: int
    per_address: int


@dataclass(slots=True)
class _Place:
    party: Party
    since: float  # seconds; when it became idle
    working: int = 0


class Places(Generic[C]):
    """The open connections."""

    def __init__(self, limits: PlaceLimits) -> None:
        self._limits = limits
        self._places: dict[C, _Place] = {}
        self._count: Counter[object] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def arrive(self, connection: C, party: Party, *, now: float) -> C | None:
        """Count a new connection in.

        Returns:
            One that is to be closed for it, and is counted out already.

        Raises:
            Unavailable: there is no room, and nobody idle.
        """
        leaving = None
        full = self._full(party)
        if full is not None:
            leaving = self._idle_longest(full)
            if leaving is None:
                raise Unavailable("the service has as many connections as it can")
            self.leave(leaving)
        self._places[connection] = _Place(party, now)
        self._count.update(_shares(party))
        return leaving

    def leave(self, connection: C) -> None:
        """A connection is gone, or about to be."""
        place = self._places.pop(connection, None)
        if place is not None:
            self._uncount(place.party)

    def know(self, connection: C, party: Party) -> None:
        """Who is at this connection is something else to the domain by now, or still the same."""
        place = self._places.get(connection)
        if place is not None and place.party != party:
            self._uncount(place.party)
            place.party = party
            self._count.update(_shares(party))

    def begin(self, connection: C) -> None:
        """A request of this connection is in work."""
        if connection in self._places:
            self._places[connection].working += 1

    def end(self, connection: C, *, now: float) -> None:
        """It is done."""
        if connection in self._places:
            self._places[connection].working -= 1
            self._places[connection].since = now

    def _full(self, party: Party) -> Callable[[Party], bool] | None:
        """Who shares the room that has no place left for this party; the smallest such room."""
        if self._count[party.key] >= self._limits.per_key:
            return lambda other: other.key == party.key
        stranger = party.standing is Standing.STRANGER
        if stranger and self._count[party.address] >= self._limits.per_address:
            return lambda other: (
                other.standing is Standing.STRANGER and other.address == party.address
            )
        for standing, most in self._limits.most.items():
            if standing >= party.standing and self._up_to(standing) >= most:
                return lambda other: other.standing <= party.standing  # nobody drives out a higher
        return None

    def _idle_longest(self, shares: Callable[[Party], bool]) -> C | None:
        """The idle connection to close; of those lowest in standing the one idle longest."""
        idle = (
            (place.party.standing, place.since, connection)
            for connection, place in self._places.items()
            if not place.working and shares(place.party)
        )
        found = min(idle, key=lambda one: one[:2], default=None)
        return None if found is None else found[2]

    def _up_to(self, standing: Standing) -> int:
        return sum(self._count[one] for one in Standing if one <= standing)

    def _uncount(self, party: Party) -> None:
        for share in _shares(party):
            self._count[share] -= 1
            if not self._count[share]:
                del self._count[share]


def _shares(party: Party) -> Iterator[object]:
    """What a connection counts for."""
    yield party.standing
    yield party.key
    if party.standing is Standing.STRANGER:
        yield party.address
