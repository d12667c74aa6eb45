"""Identifiers that check themselves when built, so that no later code asks again.

Each is a subclass of `bytes`, `int` or `str`; a bad value is `MalformedMessage`, whether it came
off the wire or from a caller.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from typing import ClassVar, Self

from tigertally.base.errors import MalformedMessage
from tigertally.base.limits import MAX_HOLDERS, MAX_NAME_LENGTH, MAX_TEXT_LENGTH

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


class FixedBytes(bytes):
    """Bytes of exactly `SIZE`. Subclass with a size; shown as hex."""

    SIZE: ClassVar[int] = 32

    def __new__(cls, value: bytes) -> Self:
        if not isinstance(value, bytes) or len(value) != cls.SIZE:
            raise MalformedMessage(f"{cls.__name__} is {cls.SIZE} bytes")
        return super().__new__(cls, value)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse the hex form that `str()` prints."""
        try:
            return cls(bytes.fromhex(text))
        except ValueError as error:
            raise MalformedMessage(f"{cls.__name__} is {2 * cls.SIZE} hex digits") from error


class Hash(FixedBytes):
    """A SHA-256 value."""


class DomainId(FixedBytes):
    """Names one custody domain: the hash of its authority's first card."""


class ProposalId(FixedBytes):
    """The hash of a proposal's bytes."""


class RosterHash(FixedBytes):
    """The hash of one roster version's bytes."""


class Nonce(FixedBytes):
    """32 random bytes that make a message unlike any other."""


class Signature(FixedBytes):
    """An Ed25519 signature."""

    SIZE = 64


class Fingerprint(FixedBytes):
    """SHA-256 of a party's public signing key; shown as base32 in groups of four."""

    def __str__(self) -> str:
        text = base64.b32encode(self).decode().rstrip("=").lower()
        return "-".join(text[i : i + 4] for i in range(0, len(text), 4))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse the grouped base32 form; spaces, dashes and case do not matter."""
        plain = re.sub(r"[\s-]", "", text).upper()
        try:
            raw = base64.b32decode(plain + "=" * (-len(plain) % 8))
        except ValueError as error:
            raise MalformedMessage("a fingerprint is 52 base32 characters") from error
        result = cls(raw)
        if base64.b32encode(raw).decode().rstrip("=") != plain:
            raise MalformedMessage("a fingerprint is 52 base32 characters")
        return result


class HolderIndex(int):
    """A holder's number in its domain, 1 … 255. Zero, where the secret lies, cannot exist."""

    def __new__(cls, value: int) -> Self:
        if isinstance(value, bool) or not 1 <= value <= MAX_HOLDERS:
            raise MalformedMessage(f"a holder index is 1 to {MAX_HOLDERS}")
        return super().__new__(cls, value)


class Name(str):
    """A member's, key's or profile's name: lower-case letters, digits, `.`, `_`, `-`."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if not 1 <= len(value) <= MAX_NAME_LENGTH or not _NAME.fullmatch(value):
            raise MalformedMessage(
                f"a name is 1 to {MAX_NAME_LENGTH} of a-z 0-9 . _ - and begins and ends with a "
                "letter or digit"
            )
        return super().__new__(cls, value)


class Text(str):
    """A line that people read: NFC, printable, at most 500 characters, no control characters."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if len(value) > MAX_TEXT_LENGTH:
            raise MalformedMessage(
                f"a text is at most {MAX_TEXT_LENGTH} characters, and this has {len(value)}"
            )
        hidden = next((i for i, c in enumerate(value) if unicodedata.category(c)[0] == "C"), None)
        if hidden is not None:
            raise MalformedMessage(
                f"a text is one line without control characters, and this has "
                f"U+{ord(value[hidden]):04X} at character {hidden + 1}"
            )
        if unicodedata.normalize("NFC", value) != value:
            raise MalformedMessage("a text is in Unicode normal form C")
        return super().__new__(cls, value)
