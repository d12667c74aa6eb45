"""Watching a log from outside: what was once shown can never be taken back unnoticed.

No I/O. A holder keeps one `Witness` per service, moves it forward at every sync, cosigns what it
has taken, and compares the checkpoints in other holders' approvals with its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tigertally.audit.checkpoint import Checkpoint, SignedCheckpoint
from tigertally.audit.entry import AuditEntry
from tigertally.base.errors import PeerFault
from tigertally.base.ids import Hash
from tigertally.crypto import merkle
from tigertally.crypto.signatures import VerifyKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What one watcher remembers of one log.

    Attributes:
        origin: the log's name.
        key: the key that signs its checkpoints.
        newest: the newest checkpoint that was verified; None before the first, which is believed.
    """

    origin: str
    key: VerifyKey
    newest: SignedCheckpoint | None = None

    @property
    def size(self) -> int:
        """How many entries are vouched for; the consistency proof to ask for begins here."""
        return 0 if self.newest is None else self.newest.checkpoint.size

    def advance(self, signed: SignedCheckpoint, proof: Sequence[Hash] = ()) -> Witness:
        """Take the log's present checkpoint, as its owner shows it, if nothing was changed.

        Args:
            signed: the checkpoint.
            proof: consistency from `self.size` to the new size; empty where nothing was added.

        Raises:
            InvalidSignature: the log's key did not sign it.
            PeerFault: the log was cut, rewritten or forked, or the proof does not show otherwise;
                names the log. `sure` only for two signed roots of one size: that convinces anyone.
        """
        shown = self._verified(signed)
        if self.newest is not None:
            known = self.newest.checkpoint
            if shown.size < known.size:
                raise self._fault(
                    f"the log was cut: it shows {shown.size} entries and had {known.size}"
                )
            self._check(known, shown, proof)
        return replace(self, newest=signed)

    def compare(self, signed: SignedCheckpoint, proof: Sequence[Hash] = ()) -> None:
        """Check a checkpoint that somebody else was shown; older or newer, it must fit ours.

        Args:
            signed: the checkpoint.
            proof: consistency between the smaller and the larger of the two sizes.

        Raises:
            InvalidSignature, PeerFault: as for `advance`; being older is no fault.
        """
        shown = self._verified(signed)
        if self.newest is None:
            return
        known = self.newest.checkpoint
        old, new = (shown, known) if shown.size < known.size else (known, shown)
        self._check(old, new, proof)

    def _verified(self, signed: SignedCheckpoint) -> Checkpoint:
        if signed.checkpoint.origin != self.origin:
            raise PeerFault("the checkpoint is of another log")
        return signed.verify(self.key)

    def _check(self, old: Checkpoint, new: Checkpoint, proof: Sequence[Hash]) -> None:
        if old.size == new.size and old.root != new.root:
            raise self._fault(
                f"the log was forked: two signed roots for {old.size} entries", sure=True
            )
        try:
            merkle.verify_consistency(
                old_size=old.size,
                old_root=old.root,
                new_size=new.size,
                new_root=new.root,
                proof=proof if old.size != new.size else (),
            )
        except PeerFault as error:
            raise self._fault(
                f"the log was rewritten, or its owner cannot show otherwise: {error}"
            ) from error

    def _fault(self, message: str, *, sure: bool = False) -> PeerFault:
        return PeerFault(message, culprits=(self.origin,), sure=sure)


def verify_entries(entries: Iterable[AuditEntry], checkpoint: Checkpoint) -> None:
    """Check that these are all the entries of the log at a verified checkpoint, from the first on.

    Raises:
        PeerFault: an entry is missing, added, changed or out of order; names the log.
    """
    tree = merkle.Tree()
    for entry in entries:
        if entry.index != tree.size:
            raise PeerFault(
                f"entry {tree.size} is missing or out of order", culprits=(checkpoint.origin,)
            )
        tree.append(entry.leaf)
    if tree.size != checkpoint.size or tree.root() != checkpoint.root:
        raise PeerFault(
            f"these {tree.size} entries are not the {checkpoint.size} of the checkpoint",
            culprits=(checkpoint.origin,),
        )
