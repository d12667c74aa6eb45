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


_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories that show as nothing, or move what is shown
_JOINERS = "\u200c\u200d"
_EMOJI = ("So", "Sk")
_VARIANT = "\ufe0f"
_VIRAMA = 9  # canonical combining class


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


def new_label(label: Label) -> Label:
    """The label, if something new may be put there: people must see each of its characters.

    Stricter than what can be read: labels of before stay as they are.

    Raises:
        MalformedMessage: a name with a character that is not seen, separates lines or turns the
            direction of what follows, or that ends in `.keys` for a store that folds letters.
    """
    for name in label:
        if name.casefold().endswith(KEYS_SUFFIX):
            raise MalformedMessage(f"a name that ends in {KEYS_SUFFIX} is for key slots")
        if any(_is_unseen(name, at) for at in range(len(name))):
            shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
            raise MalformedMessage(f"a new label has no unseen characters: {shown}")
    return label


def _is_unseen(name: str, at: int) -> bool:
    """A character that does not show; joiners may stand where writing needs them (RFC 5892 A.1)."""
    if unicodedata.category(name[at]) not in _UNSEEN:
        return False
    if name[at] not in _JOINERS or not 0 < at < len(name) - 1:
        return True
    before, after = name[at - 1], name[at + 1]
    if unicodedata.combining(before) == _VIRAMA:  # in scripts of India
        return False
    if {unicodedata.bidirectional(before), unicodedata.bidirectional(after)} == {"AL"}:  # Arabic
        return False
    emoji = before == _VARIANT or unicodedata.category(before) in _EMOJI
    return not (emoji and unicodedata.category(after) in _EMOJI)


def label_text(label: Label) -> str:
    """A label for people."""
    return "/".join(label) or "/"
