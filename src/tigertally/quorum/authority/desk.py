"""The desk of one request to an authority: what every daemon's has, the rosters, the barrier."""

from __future__ import annotations

from dataclasses import dataclass, field

from tigertally.base.errors import Locked, Refused, Unavailable
from tigertally.base.secret import Secret
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import VerifyKey
from tigertally.host.desk import Desk
from tigertally.quorum.card import Card
from tigertally.quorum.chain import Chain
from tigertally.quorum.roster import Holder, Roster
from tigertally.storage.sealed import RowSealer, SealedTransaction


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
        raise Unavailable(
            "this domain has no holder yet", advice="the first one enrols with the PIN"
        )
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
class DomainDesk(Desk):
    """One request's view of the authority.

    Its `plain` rows are those outside the barrier (rosters, audit log, envelopes).

    Attributes:
        chain: the verified rosters; None before the first holder.
        barrier: seals all other rows; None while locked.
        mended: table and key of rows that are right again.
    """

    chain: Chain | None
    barrier: Barrier | None
    wrapping_key: PrivateKey
    card: Card
    mended: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def sealed(self) -> SealedTransaction:
        """Rows behind the barrier; `Locked` while there is no barrier key in memory."""
        if self.barrier is None:
            raise Locked(
                "the authority is locked", advice="a holder must run `tally holder unlock`"
            )
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

    def wake_holders(self) -> None:
        """After the commit, tell every holder to look."""
        self.wake(holder.signing_key for holder in self.roster.holders)
