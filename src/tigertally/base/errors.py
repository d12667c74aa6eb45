"""Every error Tigertally raises, in one tree. The class says whose fault it is.

`code` is the exit code (docs/commands.md), `status` the HTTP status of the RFC 9457 problem
document and `slug` its name on the wire (docs/protocols/transport.md). Nothing secret may stand in
a message: messages travel and are logged.
"""

from __future__ import annotations

from typing import ClassVar, Self, TypeVar

E = TypeVar("E", bound=BaseException)


class TigertallyError(Exception):
    """The root of the tree. Never raised directly.

    Attributes:
        advice: what to do about it, where this error says so itself; the text ends with it. Whoever
            shows the error then adds no general advice. From the network it is foreign text.
        about: the files, fields or records that the text names, so that none is named twice.
    """

    code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    slug: ClassVar[str] = "error"

    def __init__(self, message: str = "", *, advice: str = "") -> None:
        super().__init__(f"{message}: {advice}" if advice else message)
        self.advice = advice
        self.about: tuple[str, ...] = ()

    @property
    def culprits(self) -> tuple[str, ...]:
        """The names of those at fault, where the error knows them."""
        return ()


class UsageError(TigertallyError):
    """The caller asked for something that makes no sense: a wrong argument, a missing file."""

    code = 2
    status = 400
    slug = "usage"


class NoSuchDoor(UsageError):
    """The other side serves no such path: it is of another version."""

    status = 404
    slug = "no-such-door"


class MalformedMessage(TigertallyError):
    """The bytes are not a message of this kind. Nothing was changed."""

    code = 5
    status = 400
    slug = "malformed"


class PeerFault(TigertallyError):
    """A party broke the protocol. `culprits` names who; `sure` says whether that is proven.

    `sure=True` only where the evidence would convince a third party or could not come from an
    honest party; an honest or slow party is never named with `sure=True`.
    """

    code = 5
    status = 409
    slug = "peer-fault"

    def __init__(self, message: str, *, culprits: tuple[str, ...] = (), sure: bool = False) -> None:
        super().__init__(message)
        self._culprits = culprits
        self.sure = sure

    @property
    def culprits(self) -> tuple[str, ...]:
        return self._culprits


class InvalidSignature(PeerFault):
    """A signature, certificate pin or authentication tag does not verify."""

    slug = "invalid-signature"


class InvalidEvidence(PeerFault):
    """Attestation evidence does not verify or does not say what it must."""

    slug = "invalid-evidence"


class Refused(TigertallyError):
    """The message was fine; a rule, a person, a PIN or a passphrase says no."""

    code = 3
    status = 403
    slug = "refused"


class NewerVersion(Refused):
    """A newer version of the program made it: it is kept and passed on, but not acted on here."""

    slug = "newer-version"


class WrongTime(Refused):
    """Over, or not yet, by the clock of whoever says so: that clock or another may be wrong."""

    slug = "wrong-time"


class Unavailable(TigertallyError):
    """Not now: somebody is missing, slow or unreachable. Trying again may work."""

    code = 4
    status = 503
    slug = "unavailable"


class Locked(Unavailable):
    """The authority is locked; a holder must unlock it first."""

    status = 423
    slug = "locked"


class Damaged(Unavailable):
    """The store of the server that was asked is damaged: this device's is not concerned."""

    slug = "damaged"


class Corrupt(TigertallyError):
    """Our own store does not hold what we wrote there. Never the fault of a message.

    Attributes:
        table, key: the row that cannot be read; empty where it is more than one row.
    """

    code = 6
    status = 500
    slug = "corrupt"

    def __init__(self, message: str, *, table: str = "", key: bytes = b"") -> None:
        super().__init__(message)
        self.table = table
        self.key = key

    @classmethod
    def of_row(cls, table: str, key: bytes, why: str) -> Self:
        """Say of one row what is wrong; whoever reads it finds the row by it."""
        return cls(f"row {key.hex()} of table {table!r}: {why}", table=table, key=key)


def bare(error: E) -> E:
    """An error without its traceback and what caused it: only what it says.

    For one that is kept. A traceback holds every frame it came through, and so the whole message
    that was refused, until the next garbage collection.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
