"""What a holder's device remembers of keys: fragments by epoch, and wraps kept for a tally."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base.ids import Hash, ProposalId
from tigertally.crypto.envelope import parse_message
from tigertally.custody.messages.dealing import Certificate, Statement, epoch_hash
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.release import WrappedFragment


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldEpoch:
    """An epoch this device has acknowledged, with its payloads (one a key, in order).

    `certificate` is None until enough other holders are known to have acknowledged it too.
    **Security:** `payloads` are fragments; this record lives in a sealed store only.
    """

    statement: bytes
    payloads: tuple[bytes, ...]
    certificate: Certificate | None

    def parsed(self) -> Statement:
        """The epoch's statement."""
        return parse_message(Statement, self.statement)

    @property
    def epoch(self) -> Hash:
        """The epoch's name."""
        return epoch_hash(self.statement)

    def payload_of(self, key: KeyRef) -> bytes:
        """The fragment of one key; empty once it is erased."""
        return self.payloads[self.parsed().place_of(key)]

    def __repr__(self) -> str:
        return f"HeldEpoch({len(self.payloads)} payloads, certified={self.certificate is not None})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was approved when a key was made."""

    options: KeyOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWrap:
    """A fragment wrapped for one request at approval; it waits for the complete tally.

    `expires` is the proposal's; the wrap dies then, or with its epoch.
    """

    proposal: ProposalId
    key: KeyRef
    epoch: Hash
    expires: int
    fragment: WrappedFragment
    sent: bool
