"""Writing: a fresh DEK, the header, slots for every label on the way, the body.

docs/protocols/delegation-files.md, "Writing". No I/O but the streams that the caller gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from tigertally.algebra import tags
from tigertally.base.codec import encode
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead
from tigertally.crypto.kdf import derive
from tigertally.crypto.signatures import SigningKey
from tigertally.crypto.stream import Progress, encrypt_stream
from tigertally.delegation.messages import headers
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.headers import FileId, Fixed, Header, Meta
from tigertally.delegation.messages.labels import Label, new_label
from tigertally.delegation.messages.slots import SlotSet
from tigertally.delegation.protocol import all_or_nothing
from tigertally.delegation.protocol.labels import hint_of, ids_below
from tigertally.delegation.protocol.signing import SigningSource
from tigertally.delegation.protocol.slots import DEK_BYTES, Target, commitment_of, make_slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A write that has its key and header, but no body yet. `dek` is secret."""

    header: Header
    dek: Secret
    slots: SlotSet


def draft(
    levels: Sequence[Level],
    path: Label,
    *,
    written: int,
    flags: int,
    randomness: Randomness,
    kind: int = headers.FILE,
) -> Draft:
    """Steps (1) to (3): draw, wrap, make the header.

    Args:
        levels: of the root, …, a label above `path`: each gets a slot.
        path: the label of what is written.
        written: Unix seconds.
        flags: of `messages/headers.py`.
        randomness: for file id, DEK and slots.
        kind: a file, or a field of a document.

    Raises:
        MalformedMessage: the label is none that people can tell from others.
    """
    # (1)
    new_label(path)
    file_id = FileId(randomness.bytes(FileId.SIZE))
    dek = Secret.random(randomness, DEK_BYTES)
    commitment = commitment_of(dek, file_id, 0)
    # (2)
    ids = (*(level.id for level in levels[:-1]), *ids_below(levels[-1].id, path[len(levels) - 1 :]))
    fixed = Fixed(
        format=headers.FORMAT,
        kind=kind,
        file_id=file_id,
        seq=0,
        flags=flags,
        commitment=commitment,
        hints=tuple(hint_of(id_, file_id) for id_ in ids),
        meta=seal_meta(dek, file_id, Meta(path=path, written=written)),
    )
    # (3)
    target = Target(file_id=file_id, seq=0, commitment=commitment)
    slots = tuple(make_slot(level, dek, target, randomness=randomness) for level in levels)
    return Draft(header=Header.of(fixed), dek=dek, slots=SlotSet(file_id=file_id, slots=slots))


def write_object(
    draft: Draft,
    content: BinaryIO,
    sink: BinaryIO,
    *,
    sender: SigningKey | None,
    randomness: Randomness,
    progress: Progress | None = None,
) -> int:
    """Steps (4) and (5): the object `PATH`; returns the bytes of content.

    Args:
        draft: used for one write only.
        content: read to its end.
        sink: gets u32 length ‖ header ‖ stream.
        sender: signs; None only where the header says that nobody does.
        randomness: for the stream.
        progress: called with the plaintext bytes done so far.
    """
    sink.write(head_of(draft.header))
    return write_body(
        draft.header,
        draft.dek,
        content,
        sink,
        sender=sender,
        randomness=randomness,
        progress=progress,
    )


def head_of(header: Header) -> bytes:
    """What stands before the body: u32 length ‖ header."""
    return len(header.raw).to_bytes(4, "big") + header.raw


def write_body(
    header: Header,
    dek: Secret,
    content: BinaryIO,
    sink: BinaryIO,
    *,
    sender: SigningKey | None,
    randomness: Randomness,
    progress: Progress | None = None,
) -> int:
    """As `write_object`, without what stands before the body."""
    # (4)
    source = SigningSource(content, header.digest, sender)
    stream = cast(BinaryIO, source)  # the stream only reads into
    # (5)
    if header.fixed.all_or_nothing:
        all_or_nothing.write(dek, header, stream, sink, randomness=randomness, progress=progress)
    else:
        with body_key(dek, header) as key:
            encrypt_stream(
                key,
                stream,
                sink,
                context=header.digest,
                randomness=randomness,
                progress=progress,
            )
    return source.length


def body_key(dek: Secret, header: Header) -> Secret:
    """The key of a stream: headers and bodies cannot be mixed."""
    return derive(dek, tags.BODY_KEY, header.digest)


def seal_meta(dek: Secret, file_id: FileId, meta: Meta) -> bytes:
    """The label and time, for readers only. One DEK and file id seal one of them."""
    with derive(dek, tags.META_KEY, file_id) as key:
        return aead.seal_once(key, encode(meta), aad=tags.META + file_id)
