"""What a device has proposed and must find again: the same command again goes on with it.

It is stored before it is handed in, so whatever happens between, no second one is proposed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tigertally.base.errors import Refused
from tigertally.base.ids import ProposalId
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.storage.erasure import owe
from tigertally.storage.store import Transaction
from tigertally.storage.table import Table

K = TypeVar("K")
T = TypeVar("T")

Look = Callable[[T], Awaitable[ProposalState | None]]
Again = Callable[[T], Awaitable[tuple[T, ProposalState]]]


class Ongoings(Generic[K, T]):
    """What one table says is under way: by what was asked for, how to find it again.

    `resume` what was begun, or `begin` it; `check_alive` at every look; `forget` it when done.
    """

    def __init__(
        self,
        member: MemberClient,
        table: Table[K, T],
        *,
        secret: bool = False,
        besides: Callable[[Transaction, T], None] = lambda *_: None,
    ) -> None:
        """Keep rows in this table; `secret` ones are scrubbed, and `besides` goes with them."""
        self.member = member
        self._table = table
        self._secret = secret
        self._besides = besides

    def known(self, what: K) -> T | None:
        """Return what was begun for this, if anything."""
        with self.member.party.store.reading() as reader:
            return self._table.get(reader, what)

    def keep(self, what: K, one: T) -> None:
        """Store it; in the place of what was there."""
        with self.member.party.store.transaction() as tx:
            self._table.put(tx, what, one)

    def forget(self, what: K, one: T) -> None:
        """Remove it: the same command again begins another."""
        with self.member.party.store.transaction() as tx:
            self._table.drop(tx, what)
            self._besides(tx, one)
            if self._secret:
                owe(tx, now=self.member.party.clock.now())
        if self._secret:
            self.member.scrub()

    async def begin(
        self, what: K, one: T, hand_in: Callable[[], Awaitable[ProposalState]]
    ) -> ProposalState:
        """Store it, then hand it in.

        Raises:
            Refused: it is not possible; it is forgotten.
        """
        self.keep(what, one)
        try:
            return await hand_in()
        except Refused:
            self.forget(what, one)
            raise

    async def resume(
        self,
        what: K,
        look: Look[T],
        *,
        rejected: str,
        again: Again[T] | None = None,
        ends: bool = False,
    ) -> tuple[T, ProposalState] | None:
        """Return what was begun for this and how it stands, if it is still worth anything.

        Args:
            look: how it stands; None if the authority never got it, and it is too late for that.
            rejected: begins the sentence that says so.
            again: puts it to the holders of today, where those of before are no more.
            ends: it is forgotten once it is complete.

        Raises:
            Refused: the holders said no. It is forgotten, so that one may ask again.
        """
        one = self.known(what)
        if one is None:
            return None
        state = await look(one)
        status = None if state is None else state.status
        if again is not None and status is Status.VOID:
            return await again(one)
        if status is not Status.PENDING and (ends or status is not Status.COMPLETE):
            self.forget(what, one)
        if state is not None and status is Status.REJECTED:
            raise Refused(f"{rejected}; {self.member.why_ended(state)}")
        alive = status in (Status.PENDING, Status.COMPLETE)
        return (one, state) if state is not None and alive else None

    async def state_of(self, id_: ProposalId) -> ProposalState | None:
        """Ask how it stands; None if the authority never got it: this device was cut off before."""
        try:
            return await self.member.proposal(id_)
        except Refused:
            return None

    def check_alive(self, what: K, one: T, state: ProposalState, thing: str) -> None:
        """Check that what is under way waits or is complete.

        Args:
            thing: begins the sentence that says otherwise.

        Raises:
            Refused: it was rejected, expired, or has become impossible. It is forgotten.
        """
        if state.status not in (Status.PENDING, Status.COMPLETE):
            self.forget(what, one)
            raise Refused(f"{thing} is {state.status.value}; {self.member.why_ended(state)}")
