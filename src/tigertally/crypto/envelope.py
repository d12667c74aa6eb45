"""Signed messages: the exact bytes that were signed travel beside their signature.

Nothing is ever re-encoded before a signature is checked: `body` is hashed as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tigertally.base.codec import decode, encode
from tigertally.base.ids import Signature
from tigertally.base.recent import Recent
from tigertally.crypto.signatures import SigningKey, VerifyKey

T = TypeVar("T")

_LARGE_BODY = 4096  # bytes; small ones are kept apart, so that a large one drops one of its kind

# Parsed lately: a proposal is looked at again with every verdict on it, an epoch of a thousand keys
# with every key.
_small: Recent[Any] = Recent(entries=2048, size=4 * 1024 * 1024)
_large: Recent[Any] = Recent(entries=16, size=8 * 1024 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message's bytes and one Ed25519 signature over tag ‖ body."""

    body: bytes
    signature: Signature


def sign_message(key: SigningKey, tag: bytes, message: object) -> Envelope:
    """Encode a message and sign it."""
    body = encode(message)
    return Envelope(body=body, signature=key.sign(tag, body))


def parse_message(kind: type[T], body: bytes) -> T:
    """Parse the body of a signed message that was verified before (or is our own).

    Messages are immutable, so one object serves all who look at these bytes.

    Raises:
        MalformedMessage

    **Security:** what has just arrived is parsed by `open_message` or `decode`: nothing of it is
    kept if it is refused.
    """
    cache = _cache(body)
    message: T | None = cache.get((kind, body))
    if message is None:
        message = decode(kind, body)
        cache.put((kind, body), message, len(body))
    return message


def _cache(body: bytes) -> Recent[Any]:
    return _large if len(body) > _LARGE_BODY else _small


def open_message(
    kind: type[T],
    tag: bytes,
    envelope: Envelope,
    signer: Callable[[T], tuple[VerifyKey, str]],
) -> T:
    """Parse a signed message and verify it under the key that `signer` finds for it.

    Args:
        signer: from the parsed, not yet trusted message to (key, the signer's name). It raises
            (`Refused`, `PeerFault`) if nobody may sign such a message.

    Raises:
        MalformedMessage: the body is not such a message.
        InvalidSignature: it is, but that signer did not sign it.
    """
    cache, place = _cache(envelope.body), (kind, envelope.body)
    known: T | None = cache.get(place)
    message = decode(kind, envelope.body) if known is None else known
    key, name = signer(message)
    key.verify(tag, envelope.body, envelope.signature, signer=name)
    if known is None:
        cache.put(place, message, len(envelope.body))
    return message
