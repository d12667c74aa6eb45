"""Reading: from a slot to the DEK, to the path, to content whose sender is known.

docs/protocols/delegation-files.md, "Reading". No I/O but the streams that the caller gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from tigertally.algebra import tags
from tigertally.base.codec import decode
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.base.limits import MAX_HEADER_BYTES
from tigertally.base.secret import Secret
from tigertally.crypto import aead
from tigertally.crypto.kdf import derive
from tigertally.crypto.signatures import VerifyKey
from tigertally.crypto.stream import Progress, decrypt_stream
from tigertally.delegation.messages.headers import RECORD, Fixed, Header, Meta
from tigertally.delegation.messages.labels import LabelId, label_text
from tigertally.delegation.protocol import all_or_nothing
from tigertally.delegation.protocol.labels import hint_of, ids_below
from tigertally.delegation.protocol.signing import VerifyingSink
from tigertally.delegation.protocol.slots import Target
from tigertally.delegation.protocol.writing import body_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A header whose DEK is known; `dek` is secret."""

    header: Header
    dek: Secret
    meta: Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a read gave: bytes of content, and who signed them (None: nobody)."""

    length: int
    sender: VerifyKey | None


def read_header(source: BinaryIO) -> Header:
    """Step (1): the head of an object `PATH`; leaves `source` behind it.

    Raises:
        MalformedMessage: anything else.
    """
    size = source.read(4)
    length = int.from_bytes(size, "big")
    if len(size) != 4 or length > MAX_HEADER_BYTES:
        raise MalformedMessage("this is not a file that tally wrote, or its head is damaged")
    raw = source.read(length)
    try:
        return Header.from_bytes(raw)
    except MalformedMessage as error:
        raise MalformedMessage(
            "this is not a file that tally wrote, or its head is damaged"
        ) from error


def open_header(header: Header, dek: Secret, known: LabelId, above: Sequence[str]) -> Opened:
    """Steps (4) and (5): the path, and that the addressees are those of this path.

    Args:
        header: of the object.
        dek: from a slot, its commitment checked.
        known: the id of a label that the reader knows,
        above: and that label.

    Raises:
        InvalidSignature: the meta data are damaged, not below that label, or for other labels
            than the hints say.
    """
    fixed = header.fixed
    meta = _open_meta(dek, fixed)
    depth = len(above)
    if meta.path[:depth] != tuple(above):
        raise InvalidSignature("the file belongs to another label than its key slot")
    ids = ids_below(known, meta.path[depth:])
    first = 0 if fixed.kind == RECORD else depth  # a record is for its channel alone
    if fixed.hints[first:] != tuple(hint_of(id_, fixed.file_id) for id_ in ids):
        raise InvalidSignature("the file is addressed to other labels than its path says")
    return Opened(header=header, dek=dek, meta=meta)


def check_kind(header: Header, kind: int) -> None:
    """Raises `InvalidSignature` where a file stands in the place of a field, or the like."""
    if header.fixed.kind != kind:
        raise InvalidSignature("this was written as something else: file, field or record")


def read_object(
    opened: Opened,
    source: BinaryIO,
    sink: BinaryIO,
    *,
    allow_unsigned: bool = False,
    progress: Progress | None = None,
) -> Content:
    """Steps (6) and (7): decrypt what follows the header.

    Raises:
        InvalidSignature: cut, changed, appended to, or not what the sender signed.
        Refused: nobody signed it, and `allow_unsigned` is False.

    **Security:** what `sink` holds is worth nothing before this returns and the caller has looked
    at the sender: write to a file that appears only then.
    """
    header = opened.header
    if not header.fixed.signed and not allow_unsigned:
        refused = Refused(f"{label_text(opened.meta.path)} is not signed by anybody")
        refused.add_note("any of its readers may have made it; ask for it with --unsigned")
        raise refused
    # (6)
    verifying = VerifyingSink(sink, header.digest, signed=header.fixed.signed)
    out = cast(BinaryIO, verifying)  # the stream only writes
    if header.fixed.all_or_nothing:
        all_or_nothing.read(opened.dek, header, source, out, progress=progress)
    else:
        with body_key(opened.dek, header) as key:
            decrypt_stream(key, source, out, context=header.digest, progress=progress)
    # (7)
    return Content(sender=verifying.sender(), length=verifying.length)


def check_sender(content: Content, writers: Sequence[VerifyKey]) -> None:
    """Step (8): the sender may write below this label.

    Raises:
        InvalidSignature: somebody else signed it.
    """
    if content.sender is not None and content.sender not in writers:
        raise InvalidSignature(
            f"the file is signed by {content.sender.fingerprint}, which may not write there"
        )


def _open_meta(dek: Secret, fixed: Fixed) -> Meta:
    with derive(dek, tags.META_KEY, fixed.file_id) as key:
        try:
            with aead.open_once(key, fixed.meta, aad=tags.META + fixed.file_id) as plain:
                return decode(Meta, plain.to_secret_bytes(), max_bytes=MAX_HEADER_BYTES)
        except InvalidSignature as error:
            raise InvalidSignature("the file's path and time are damaged") from error


def target_of(header: Header) -> Target:
    """What the slots of this object are bound to."""
    return Target.of(header.fixed)
