"""What the rest of the house sees of the network: one call gives one answer or one error.

Interfaces only; imports nothing that costs time. `transport/client.py` and `transport/memory.py`
implement `Channel`; `transport/server.py` and `transport/memory.py` serve a `Handler`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tigertally.crypto.signatures import VerifyKey

DEFAULT_WAIT = 30.0  # seconds; longer than a long poll (`limits.LONG_POLL_SECONDS`)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One received message: where it was sent, its exact bytes, and whose connection it came on.

    `address` is the network address it came from, if that is known: to count by, it proves nothing.

    **Security:** `peer` is the public key that the TLS handshake proved, nothing more: anybody can
    make such a key. Whether it belongs to a member is the handler's question.

    A long poll waits inside `with request.waiting():`, where it occupies no place of the server;
    that raises `Unavailable` if too many wait.
    """

    path: str
    body: bytes
    peer: VerifyKey | None = None
    address: str = ""
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext


Handler = Callable[[Request], Awaitable[bytes]]
"""Answers one request with a body, or raises an error of `base/errors.py`."""


class Channel(Protocol):
    """A way to one party."""

    async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
        """Send `body` to `path`; the body of the answer.

        Args:
            path: begins with `/`.
            body: CBOR bytes, at most `limits.MAX_MESSAGE_BYTES`.
            wait: seconds, over all attempts.

        Raises:
            Unavailable: nobody answered in time, or the party is too busy.
            InvalidSignature: the party at the other end is not the pinned one.
            PeerFault: the answer is not one that this protocol knows.
            TigertallyError: whatever error of the tree the other side raised.

        **Security:** an error that arrives is a *claim* of the other side, `culprits` and `sure`
        included. Convict nobody on it; ask for the signed evidence and check that.
        """
        ...
