"""From a handler to an answer and from an answer to its caller, the same over every network.

A body with status 200, or a problem document with another status.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from tigertally.base.errors import (
    Corrupt,
    Damaged,
    MalformedMessage,
    NoSuchDoor,
    PeerFault,
    TigertallyError,
    UsageError,
)
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.transport import problems
from tigertally.transport.channel import Handler, Request

CONTENT_TYPE: Final = "application/cbor"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
RETRY_AFTER: Final = "Retry-After"  # on a refusal of what was not carried out
BROKEN: Final = 500
_ONE_VERSION: Final = "nothing was changed; are this program and the server's of one version?"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: 200 with CBOR, or another HTTP status with a problem document."""

    status: int
    body: bytes


def refusal(error: BaseException, *, status: int | None = None) -> Answer:
    """The answer that tells an error."""
    return Answer(*problems.to_document(error, status=status))


async def carry_out(handler: Handler, request: Request) -> Answer:
    """Let a handler work; whatever it raises becomes an answer.

    **Security:** an exception that is not of our tree goes to the log, never to the caller.
    """
    try:
        body = await handler(request)
        if type(body) is not bytes or len(body) > MAX_MESSAGE_BYTES:
            raise TypeError("a handler answers with bytes, within the limit of a message")
    except TigertallyError as error:
        return refusal(error)
    except Exception as error:  # noqa: BLE001  a bug in one handler must not end the service
        return broken(error, request.path)
    return Answer(200, body)


def broken(error: Exception, path: str) -> Answer:
    """Log a bug and tell the caller that there is one, but not which."""
    _log.error("the handler of %s broke", path, exc_info=error)
    return refusal(error)


def opened(answer: Answer) -> bytes:
    """The body of an answer.

    Raises:
        PeerFault: a refusal that is not a problem document of this protocol.
        NoSuchDoor: by the status alone, whatever a document of another version calls it.
        TigertallyError: the error that the answer tells.
    """
    if answer.status == 200:
        return answer.body
    try:
        error = problems.from_document(answer.body)
    except MalformedMessage as malformed:
        raise PeerFault("the answer is not of this protocol") from malformed
    if answer.status == NoSuchDoor.status:
        raise NoSuchDoor("the other side runs a version of the program without this") from error
    raise heard(error)


def heard(error: TigertallyError) -> TigertallyError:
    """The error of a server as it is for whoever asked.

    The class says whose fault it is, seen from where it was raised: what is wrong with the server's
    own store, or with what its caller's program sent, must not read as a damaged store or a wrong
    argument of the person who asked.

    **Security:** nothing that a server says is proven by its saying it: never `sure`.
    """
    if isinstance(error, Corrupt):
        return Damaged(f"the server's store is damaged: {error}")
    if type(error) is UsageError:
        fault = PeerFault(f"the server does not take this request: {error}")
        fault.add_note(_ONE_VERSION)
        return fault
    if isinstance(error, MalformedMessage):
        error.add_note(_ONE_VERSION)
    if isinstance(error, PeerFault) and error.sure:
        return type(error)(str(error), culprits=error.culprits)
    return error
