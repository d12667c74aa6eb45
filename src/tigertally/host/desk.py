"""The desk: all that one request to a daemon sees, inside one open transaction.

A state change and its audit entry commit together or not at all. The daemon makes a desk per
request; what answers works on it and never opens the store itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tigertally.audit.log import AuditLog
from tigertally.base.errors import Corrupt, TigertallyError
from tigertally.base.randomness import Randomness
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.storage.erasure import owe
from tigertally.storage.store import Transaction


class KeepChanges(Exception):
    """Commit what was written, then raise `error`: for refusals that must be remembered."""

    def __init__(self, error: TigertallyError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True, kw_only=True)
class Desk:
    """One request's view of a daemon.

    Attributes:
        plain: the rows of the store.
        key: the daemon's own, which signs its log.
        address: where the request came from, if that is known; for counting only.
        woken: members that should look again once this has committed.
        damaged: rows that could not be read and have stopped nobody.
    """

    plain: Transaction
    now: int
    randomness: Randomness
    key: SigningKey
    log: AuditLog
    address: str = ""
    woken: set[VerifyKey] = field(default_factory=set)
    damaged: list[Corrupt] = field(default_factory=list)

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
        """Do one of several things that are independent of each other.

        If a row of it cannot be read, that is noted, and the others go on without it.
        """
        try:
            yield
        except Corrupt as damage:
            if not damage.table:  # more than a row: the store itself
                raise
            self.damaged.append(damage)

    def owe_erasure(self) -> None:
        """Note that this request erases secrets: until a scrub, the files may hold them."""
        owe(self.plain, now=self.now)

    def wake(self, keys: Iterable[VerifyKey]) -> None:
        """After the commit, tell these members to look."""
        self.woken.update(keys)
