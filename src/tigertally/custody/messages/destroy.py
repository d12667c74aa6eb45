"""A destroyed key: the tally that holders are shown, and what they sign once they have erased."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.ids import DomainId, HolderIndex, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.quorum.messages import Nothing
from tigertally.quorum.tally import Tally
from tigertally.transport.door import Door, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseDue:
    """A complete `custody.destroy` that this holder has not acknowledged yet."""

    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A holder has verified the tally of this proposal, and erased all that it names."""

    domain: DomainId
    proposal: ProposalId
    holder: HolderIndex
    time: int


ERASURE = Door("/v1/custody/erasure", Envelope, Nothing, who=Standing.HOLDER)
