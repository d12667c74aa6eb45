"""How much one party may ask of a server: a rate, requests in work, and long polls that wait.

No I/O: time comes in. Places in work are a pool for everybody, in it a smaller one for all but
holders, and in that a smaller one for strangers. In each, no key takes more places than it leaves
free, and among strangers no address either: so whoever comes next still finds one. A long poll
gives its place back while it waits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tigertally.base.errors import Unavailable
from tigertally.transport.door import Standing

_BURST_SECONDS = 2.0  # so much may come at once
_FULL = "the service is answering as many requests as it can"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who asks: its key, what that is to the domain, and the address it comes from."""

    key: bytes
    standing: Standing
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """Numbers of one gate; see `base/limits.py`.

    Attributes:
        rates: requests per second of one key, by its standing.
        address_rate: of all strangers at one address. A burst of two seconds' worth is allowed.
        most: requests in work, by who is the highest of those who share these places.
        polls: long polls of one key that wait at the same time.
        stranger_polls: of all strangers together.
        tracked: keys and addresses of strangers that are remembered.
    """

    rates: dict[Standing, float]
    address_rate: float
    most: dict[Standing, int]
    polls: int
    stranger_polls: int
    tracked: int


@dataclass(slots=True)
class _Bucket:
    """Tokens that come back at a rate; one is taken per request."""

    tokens: float
    at: float  # seconds; when `tokens` was right

    def fill(self, rate: float, burst: float, now: float) -> None:
        self.tokens = min(burst, self.tokens + (now - self.at) * rate)
        self.at = now


@dataclass(slots=True)
class _Buckets:
    """One bucket per name; one that is full again is as good as never seen, and forgotten."""

    rate: float
    most: int
    by_name: dict[bytes | str, _Bucket] = field(default_factory=dict)

    def find(self, name: bytes | str, now: float) -> _Bucket:
        bucket = self.by_name.get(name)
        if bucket is None:
            if len(self.by_name) >= self.most:
                self._forget(now)
            bucket = self.by_name[name] = _Bucket(_BURST_SECONDS * self.rate, now)
        bucket.fill(self.rate, _BURST_SECONDS * self.rate, now)
        return bucket

    def _forget(self, now: float) -> None:
        for name in [n for n, b in self.by_name.items() if now - b.at >= _BURST_SECONDS]:
            del self.by_name[name]
        if len(self.by_name) >= self.most:
            raise Unavailable("the service is answering as many parties as it can")


class Gate:
    """Lets requests in, or says `Unavailable`."""

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        # Apart, so that strangers' keys do not fill the tables of the members.
        self._keys = {one: _Buckets(rate, limits.tracked) for one, rate in limits.rates.items()}
        self._addresses = _Buckets(limits.address_rate, limits.tracked)
        self._open: dict[bytes | str, int] = {}  # by key, and of strangers by address
        self._in_work = dict.fromkeys(Standing, 0)  # of this standing and below
        self._polls: Counter[bytes] = Counter()
        self._stranger_polls = 0

    @property
    def open(self) -> int:
        """Requests in work now."""
        return self._in_work[Standing.HOLDER]

    @property
    def waiting(self) -> int:
        """Long polls that wait now."""
        return self._polls.total()

    def count(self, party: Party, *, now: float) -> None:
        """Count one request against the rate of its party.

        Raises:
            Unavailable: too many in this second.
        """
        buckets = [self._keys[party.standing].find(party.key, now)]
        if party.standing is Standing.STRANGER:
            buckets.append(self._addresses.find(party.address, now))
        if any(bucket.tokens < 1.0 for bucket in buckets):
            raise Unavailable("too many requests per second of one party")
        for bucket in buckets:
            bucket.tokens -= 1.0

    def enter(self, party: Party) -> None:
        """Give a request its place; every `enter` that returns needs one `leave` or `wait`.

        Raises:
            Unavailable: there is none.
        """
        rooms = _ROOMS[party.standing]
        free = min([self._limits.most[room] - self._in_work[room] for room in rooms])
        if free <= 0:
            raise Unavailable(_FULL)
        names = _names(party)
        for name in names:
            if self._open.get(name, 0) >= free:
                raise Unavailable("too many open requests of one party")
        for name in names:
            self._open[name] = self._open.get(name, 0) + 1
        for room in rooms:
            self._in_work[room] += 1

    def leave(self, party: Party) -> None:
        """Take the place back: the request is answered."""
        for room in _ROOMS[party.standing]:
            self._in_work[room] -= 1
        for name in _names(party):
            left = self._open.pop(name) - 1
            if left:
                self._open[name] = left

    def wait(self, party: Party) -> None:
        """Turn a place in work into one that waits; afterwards comes `done_waiting`, no `leave`.

        Raises:
            Unavailable: too many wait. The place in work stays.
        """
        stranger = party.standing is Standing.STRANGER
        if self._polls[party.key] >= self._limits.polls or (
            stranger and self._stranger_polls >= self._limits.stranger_polls
        ):
            raise Unavailable("too many long polls of one party")
        self._polls[party.key] += 1
        self._stranger_polls += stranger
        self.leave(party)

    def done_waiting(self, party: Party) -> None:
        """The long poll has ended."""
        self._polls[party.key] -= 1
        if not self._polls[party.key]:
            del self._polls[party.key]
        self._stranger_polls -= party.standing is Standing.STRANGER


# The pools that a party of each standing takes its place in: its own, and those around it.
_ROOMS = {one: tuple(room for room in Standing if room >= one) for one in Standing}


def _names(party: Party) -> tuple[bytes | str, ...]:
    """What places are counted by."""
    if party.standing is Standing.STRANGER:
        return (party.key, party.address)
    return (party.key,)
