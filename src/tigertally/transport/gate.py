"""How much one party may ask of a server: a token bucket and a count of open requests each.

No I/O: time comes in. A party is named by bytes (its public key, or one name for all strangers).
"""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.errors import Unavailable


@dataclass(slots=True)
class _Party:
    tokens: float
    at: float  # seconds; when `tokens` was right
    open: int = 0


class Gate:
    """Lets requests in, or says `Unavailable`.

    Args:
        rate: requests per second and party; a burst of one second's worth is allowed.
        max_open: requests in work at the same time, of all parties.
        max_open_per_party: of one party.
        max_parties: how many are remembered; one whose bucket is full again is forgotten first.
    """

    def __init__(
        self, *, rate: float, max_open: int, max_open_per_party: int, max_parties: int
    ) -> None:
        self._rate = rate
        self._burst = max(1.0, rate)
        self._max_open = max_open
        self._max_open_per_party = max_open_per_party
        self._max_parties = max_parties
        self._parties: dict[bytes, _Party] = {}
        self.open = 0

    def enter(self, name: bytes, *, now: float) -> None:
        """Count one request in; every `enter` that returns needs one `leave`.

        Raises:
            Unavailable: too many in work, or too many in this second.
        """
        if self.open >= self._max_open:
            raise Unavailable("the service is answering as many requests as it can")
        party = self._parties.get(name)
        if party is None:
            party = self._new_party(name, now)
        tokens = min(self._burst, party.tokens + (now - party.at) * self._rate)
        party.tokens, party.at = tokens, now
        if party.open >= self._max_open_per_party:
            raise Unavailable("too many open requests of one party")
        if tokens < 1.0:
            raise Unavailable("too many requests per second of one party")
        party.tokens = tokens - 1.0
        party.open += 1
        self.open += 1

    def leave(self, name: bytes) -> None:
        """Count one request out."""
        self._parties[name].open -= 1
        self.open -= 1

    def _new_party(self, name: bytes, now: float) -> _Party:
        if len(self._parties) >= self._max_parties:
            self._forget(now)
        party = self._parties[name] = _Party(tokens=self._burst, at=now)
        return party

    def _forget(self, now: float) -> None:
        """Drop parties with nothing open and a full bucket: as good as never seen."""
        refill = self._burst / self._rate
        idle = [n for n, p in self._parties.items() if p.open == 0 and now - p.at >= refill]
        for name in idle:
            del self._parties[name]
        if len(self._parties) >= self._max_parties:
            raise Unavailable("the service is answering as many parties as it can")
