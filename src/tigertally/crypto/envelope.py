"""Signed messages: the exact bytes that were signed travel beside their signature.

Nothing is ever re-encoded before a signature is checked: `body` is hashed as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

from tigertally.base.codec import decode, encode
from tigertally.base.ids import Signature
from tigertally.crypto.signatures import SigningKey, VerifyKey

T = TypeVar("T")

_CACHED_BODIES = 2048  # parsed lately: a proposal is looked at again with every verdict on it
_CACHED_BODY_BYTES = 4096
_CACHED_LARGE_BODIES = 16  # an epoch of a thousand keys is looked at with every key


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
    """Parse a signed message's body, unverified; messages are immutable, so one object serves all.

    Raises:
        MalformedMessage
    """
    cached = _parsed_large if len(body) > _CACHED_BODY_BYTES else _parsed
    message: T = cached(cast(Any, kind), body)
    return message


@lru_cache(maxsize=_CACHED_LARGE_BODIES)
def _parsed_large(kind: Any, body: bytes) -> Any:
    return decode(kind, body)


@lru_cache(maxsize=_CACHED_BODIES)
def _parsed(kind: Any, body: bytes) -> Any:
    return decode(kind, body)


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
    message = parse_message(kind, envelope.body)
    key, name = signer(message)
    key.verify(tag, envelope.body, envelope.signature, signer=name)
    return message
