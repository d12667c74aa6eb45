"""Labels: where data belongs, a list of names from the owner's root down. Never a joined string.

A label names a folder, a file, a document's field or a channel. No I/O.
"""

from __future__ import annotations

import unicodedata
from typing import ClassVar, Self

from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import FixedBytes
from tigertally.base.limits import MAX_COMPONENT_BYTES, MAX_LABEL_DEPTH
from tigertally.schemes.umbral import PublicKey

KEYS_SUFFIX = ".keys"  # the object with the slots of `name` is `name.keys`
PARTIAL_SUFFIX = ".partial"  # with a dot in front: what a local store has not finished


class Component(str):
    """One name in a label: Unicode normal form C, at most 250 bytes of UTF-8.

    Raises:
        MalformedMessage: empty, `.`, `..`, ending in `.keys` in any case, beginning with a dot and
            ending in `.partial`, or with a slash or control character.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if value in ("", ".", "..") or "/" in value:
            raise MalformedMessage(
                "a label is names between slashes; none is empty, one dot or two"
            )
        if value.lower().endswith(KEYS_SUFFIX):
            raise MalformedMessage(f"a name that ends in {KEYS_SUFFIX} is for key slots")
        if value.startswith(".") and value.endswith(PARTIAL_SUFFIX):
            raise MalformedMessage(f"a hidden name that ends in {PARTIAL_SUFFIX} is a store's own")
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
            raise MalformedMessage("a label's names are text without control characters")
        if unicodedata.normalize("NFC", value) != value:
            raise MalformedMessage("a label's names are in Unicode normal form C")
        if len(value.encode()) > MAX_COMPONENT_BYTES:
            raise MalformedMessage(f"a label's names are at most {MAX_COMPONENT_BYTES} bytes")
        return super().__new__(cls, value)


Label = tuple[Component, ...]


class LabelId(FixedBytes):
    """What names a label without saying its name: a MAC below the id of the label above.

    It does not print: who sees it finds everything below.
    """

    SIZE: ClassVar[int] = 32

    def __str__(self) -> str:
        return "LabelId(secret)"

    def __repr__(self) -> str:
        return "LabelId(secret)"


class LabelKey(FixedBytes):
    """A label's public key: a compressed point of secp256k1, checked when it is used."""

    SIZE: ClassVar[int] = 33

    def parsed(self) -> PublicKey:
        """The key itself; raises `MalformedMessage` where these bytes are none."""
        return PublicKey.from_bytes(self)


def checked(label: Label) -> Label:
    """The label, if it is not too deep."""
    if len(label) > MAX_LABEL_DEPTH:
        raise MalformedMessage(f"a label has at most {MAX_LABEL_DEPTH} names")
    return label


def parse_label(text: str) -> Label:
    """A label as people write it: names between slashes, brought to normal form C.

    Raises:
        MalformedMessage: a name that cannot be one; an empty text too.
    """
    names = unicodedata.normalize("NFC", text).strip("/").split("/")
    return checked(tuple(Component(name) for name in names))


def label_text(label: Label) -> str:
    """A label for people."""
    return "/".join(label) or "/"
