"""The desk: all that one request to the authority sees, inside one open transaction.

A state change, its audit entry and its effect on the roster commit together or not at all. The
node makes a desk per request; capabilities work on it and never open the store themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tigertally.audit.log import AuditLog
from tigertally.base.errors import Corrupt, Locked, Refused, TigertallyError, Unavailable
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.quorum.card import Card
from tigertally.quorum.chain import Chain
from tigertally.quorum.roster import Holder, Roster
from tigertally.storage.erasure import owe
from tigertally.storage.sealed import RowSealer, SealedTransaction
from tigertally.storage.store import Transaction


class KeepChanges(Exception):
    """Commit what was written, then raise `error`: for refusals that must be remembered."""

    def __init__(self, error: TigertallyError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Barrier:
    """The barrier key, in memory only, and the sealer of rows made from it."""

    key: Secret
    sealer: RowSealer


def barrier_of(key: Secret) -> Barrier:
    """A barrier from its key."""
    return Barrier(key, RowSealer(key))


def roster_of(chain: Chain | None) -> Roster:
    """The current roster of a chain; `Unavailable` before the first holder."""
    if chain is None:
        raise Unavailable("this domain has no holder yet: the first one enrols with the PIN")
    return chain.current


def holder_in(roster: Roster, peer: VerifyKey | None) -> Holder:
    """The holder behind this connection; `Refused` for anybody else."""
    holder = roster.holder_of(peer) if peer else None
    if holder is None:
        raise Refused("this device is not a holder of the domain (removed, or never enrolled)")
    return holder


def member_in(roster: Roster, peer: VerifyKey | None, *, authority: VerifyKey) -> str:
    """The name of the holder, requester or authority behind this connection; `Refused` else."""
    known = peer is not None and (
        roster.holder_of(peer) or roster.requester_of(peer) or peer == authority
    )
    if not known or peer is None:
        raise Refused("this device is not a member of the domain (removed, or never enrolled)")
    return roster.name_of(peer)


@dataclass(slots=True, kw_only=True)
class Desk:
    """One request's view of the authority.

    Attributes:
        plain: rows outside the barrier (rosters, audit log, envelopes).
        chain: the verified rosters; None before the first holder.
        barrier: seals all other rows; None while locked.
        address: where the request came from, if that is known; for counting only.
        woken: members that should look again once this has committed.
        damaged: rows that could not be read and have stopped nobody.
        mended: table and key of rows that are right again.
    """

    plain: Transaction
    chain: Chain | None
    barrier: Barrier | None
    now: int
    randomness: Randomness
    key: SigningKey
    wrapping_key: PrivateKey
    card: Card
    log: AuditLog
    address: str = ""
    woken: set[VerifyKey] = field(default_factory=set)
    damaged: list[Corrupt] = field(default_factory=list)
    mended: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def sealed(self) -> SealedTransaction:
        """Rows behind the barrier; `Locked` while there is no barrier key in memory."""
        if self.barrier is None:
            raise Locked("the authority is locked: a holder must run `tally holder unlock`")
        return SealedTransaction(self.plain, self.barrier.sealer, self.damaged.append)

    @property
    def roster(self) -> Roster:
        """The current roster; `Unavailable` before the first holder."""
        return roster_of(self.chain)

    @property
    def known_chain(self) -> Chain:
        """The roster chain; `Unavailable` before the first holder."""
        roster_of(self.chain)
        assert self.chain is not None
        return self.chain

    def holder(self, peer: VerifyKey | None) -> Holder:
        """The holder behind this connection; `Refused` for anybody else."""
        return holder_in(self.roster, peer)

    def member(self, peer: VerifyKey | None) -> str:
        """The name of the holder, requester or authority behind this connection; `Refused` else."""
        return member_in(self.roster, peer, authority=self.key.public)

    def record(self, kind: str, *, actor: str, summary: str, detail: bytes = b"") -> None:
        """Write the audit entry of this change. If it cannot be written, the change fails."""
        self.log.append(
            self.plain,
            time=self.now,
            kind=kind,
            actor=actor,
            summary=summary,
            detail=detail,
            note=self.damaged.append,
        )

    @contextmanager
    def apart(self) -> Iterator[None]:
        """One of several things that are independent of each other.

        If a row of it cannot be read, that is noted, and the others go on without it.
        """
        try:
            yield
        except Corrupt as damage:
            if not damage.table:  # more than a row: the store itself
                raise
            self.damaged.append(damage)

    def owe_erasure(self) -> None:
        """This request erases secrets: until a scrub has succeeded, the files may hold them."""
        owe(self.plain, now=self.now)

    def wake(self, keys: Iterable[VerifyKey]) -> None:
        """After the commit, tell these members to look."""
        self.woken.update(keys)

    def wake_holders(self) -> None:
        """After the commit, tell every holder to look."""
        self.wake(holder.signing_key for holder in self.roster.holders)
