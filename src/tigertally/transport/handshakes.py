"""How often an address may shake hands: who it is, is known only afterwards, and that costs most.

No I/O: time comes in. An address has some tokens, which come back at a rate; each handshake that
brings a stranger, or nobody, takes one, and without any the next connection is closed at once.
Where a holder has come from lately nothing is closed: whoever floods from there takes computing
time, and locks no holder out. Nor is anything closed while a server has just started: it knows no
holder's address yet, and their daemons come back within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tigertally.transport.door import Standing

_HOLDER_SECONDS: Final = 3600.0  # an address is a holder's for so long


@dataclass(slots=True)
class _Address:
    tokens: float
    at: float  # seconds; when `tokens` was right
    holder_until: float = float("-inf")


class Handshakes:
    """What addresses have spent.

    Args:
        burst, rate: tokens of one address, and how many come back per second.
        tracked: addresses that are remembered; one that is as good as new is forgotten first.
        all_until: until when (seconds) nothing is closed: no holder's address is known yet.
    """

    def __init__(self, *, burst: int, rate: float, tracked: int, all_until: float) -> None:
        self._burst = float(burst)
        self._rate = rate
        self._tracked = tracked
        self._all_until = all_until
        self._addresses: dict[str, _Address] = {}

    def allowed(self, address: str, *, now: float) -> bool:
        """May a connection from here begin its handshake?"""
        known = self._addresses.get(address)
        if known is None or now < self._all_until:
            return True
        self._fill(known, now)
        return known.tokens >= 1.0 or now < known.holder_until

    def done(self, address: str, standing: Standing | None, *, now: float) -> None:
        """One has ended; None: without a peer that could be named."""
        known = self._addresses.get(address)
        if known is None:
            if len(self._addresses) >= self._tracked:
                self._forget(now)
            known = self._addresses[address] = _Address(self._burst, now)
        self._fill(known, now)
        if standing is Standing.HOLDER:
            known.holder_until = now + _HOLDER_SECONDS
        elif standing is not Standing.REQUESTER:
            known.tokens = max(0.0, known.tokens - 1.0)

    def _fill(self, known: _Address, now: float) -> None:
        known.tokens = min(self._burst, known.tokens + (now - known.at) * self._rate)
        known.at = now

    def _forget(self, now: float) -> None:
        """Drop those with all their tokens; if there are none, those of no holder; else the first.

        An address that is forgotten too early has only more tokens than it should.
        """
        for name in list(self._addresses):
            known = self._addresses[name]
            self._fill(known, now)
            if known.tokens >= self._burst and now >= known.holder_until:
                del self._addresses[name]
        if len(self._addresses) >= self._tracked:
            strangers = (n for n, one in self._addresses.items() if now >= one.holder_until)
            del self._addresses[next(strangers, next(iter(self._addresses)))]
