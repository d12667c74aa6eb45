"""Places for those who ask to join: a flood of fresh keys keeps nobody out for long.

All strangers share `MAX_OPEN_STRANGERS` open requests, and those at one address
`MAX_OPEN_PER_ADDRESS` of them. When there is no place, the oldest request that nobody has voted on
gives way: one of the address that has most, if that is more than the newcomer's would have; else
only one that has had time to be answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tigertally.base.errors import Unavailable
from tigertally.base.ids import ProposalId
from tigertally.base.limits import JOIN_SECONDS, MAX_OPEN_PER_ADDRESS, MAX_OPEN_STRANGERS


@dataclass(frozen=True, slots=True)
class _Asked:
    address: str
    at: int  # Unix seconds


class Joins:
    """Where open requests to join came from, and when; in memory.

    After a restart those from before are of an address of their own, and old: as if answered late.
    """

    def __init__(self) -> None:
        self._asked: dict[ProposalId, _Asked] = {}

    def add(self, id_: ProposalId, address: str, *, now: int) -> None:
        """A request was taken."""
        self._asked[id_] = _Asked(address, now)

    def leaving(
        self,
        open_: Iterable[ProposalId],
        address: str,
        *,
        now: int,
        unanswered: Callable[[ProposalId], bool],
    ) -> ProposalId | None:
        """Who gives way to a request from this address; None where there is room for it.

        Args:
            open_: the requests of strangers that are open now.
            address: empty if it is not known; such requests are one another's neighbours.
            unanswered: has nobody voted on this one?

        Raises:
            Unavailable: nobody gives way.
        """
        asked = {id_: self._asked.get(id_, _Asked("", 0)) for id_ in open_}
        self._asked = dict(asked)  # all others are closed
        counts = Counter(one.address for one in asked.values())
        mine = counts[address]
        crowded = bool(address) and mine >= MAX_OPEN_PER_ADDRESS
        if len(asked) < MAX_OPEN_STRANGERS and not crowded:
            return None
        most = max(counts.values())
        unfair = not crowded and most > mine + 1

        def may_leave(one: _Asked) -> bool:
            if unfair:
                return counts[one.address] == most
            had_time = not one.at <= now < one.at + JOIN_SECONDS
            return had_time and (one.address == address or not crowded)

        by_age = sorted(asked, key=lambda id_: asked[id_].at)
        found = (id_ for id_ in by_age if may_leave(asked[id_]) and unanswered(id_))
        leaving = next(found, None)
        if leaving is None:
            raise Unavailable("too many devices want to join: let holders answer some first")
        return leaving
