"""Streams: numbered records, each with a DEK of its own, which the record before announces.

docs/protocols/delegation-files.md, "Streams". No I/O.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, UsageError
from tigertally.base.ids import Hash
from tigertally.base.limits import MAX_RECORD_BYTES
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.delegation.messages import headers
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.headers import FileId, Fixed, Header, Meta
from tigertally.delegation.messages.labels import Label, new_label
from tigertally.delegation.messages.records import MAX_BYTES, RecordKeys
from tigertally.delegation.messages.slots import Slot, SlotSet
from tigertally.delegation.protocol import reading, writing
from tigertally.delegation.protocol.labels import hint_of
from tigertally.delegation.protocol.reading import Opened
from tigertally.delegation.protocol.slots import DEK_BYTES, Target, commitment_of, make_slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A stream under way, as its writer sees it: the next record has its DEK and slot already.

    `dek` is secret.
    """

    path: Label
    level: Level
    stream: FileId
    seq: int
    dek: Secret
    commitment: Hash
    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it came, up to its body."""

    header: Header
    keys: RecordKeys

    @property
    def slots(self) -> SlotSet:
        """The slot that opens it."""
        return SlotSet(file_id=self.header.fixed.file_id, slots=(self.keys.own,))

    @property
    def final(self) -> bool:
        """Whether none follows."""
        return bool(self.header.fixed.flags & headers.FINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What a reader remembers of a stream: which it is, who writes it, which record comes next."""

    stream: FileId | None = None
    sender: VerifyKey | None = None
    seq: int = 0


def begin(level: Level, path: Label, randomness: Randomness) -> Channel:
    """Step (1): a new stream of the channel `path`, whose level is the last of the way there."""
    file_id = FileId(randomness.bytes(FileId.SIZE))
    return _prepared(level, new_label(path), file_id, 0, randomness)


def write_record(
    channel: Channel,
    content: bytes,
    *,
    final: bool,
    sender: SigningKey,
    written: int,
    randomness: Randomness,
    all_or_nothing: bool = False,
) -> tuple[Channel | None, bytes]:
    """Steps (2) to (4): one record; returns the channel for the next one, and the record.

    Args:
        channel: from `begin` or the record before; used once.
        content: at most 16 MiB; may be empty.
        final: no record follows; there is no next channel.
        sender: signs.
        written: Unix seconds.
        randomness: for keys.
        all_or_nothing: this record is under the transform.

    Raises:
        UsageError: too long.
    """
    if len(content) > MAX_RECORD_BYTES:
        raise UsageError(f"a record of a stream is at most {MAX_RECORD_BYTES} bytes")
    stream = channel.stream
    # (2)
    following = None
    if not final:
        following = _prepared(channel.level, channel.path, stream, channel.seq + 1, randomness)
    # (3)
    flags = (headers.FINAL if final else 0) | (headers.ALL_OR_NOTHING if all_or_nothing else 0)
    header = Header.of(
        Fixed(
            format=headers.FORMAT,
            kind=headers.RECORD,
            file_id=stream,
            seq=channel.seq,
            flags=flags,
            commitment=channel.commitment,
            hints=(hint_of(channel.level.id, stream),),
            meta=writing.seal_meta(channel.dek, stream, Meta(path=channel.path, written=written)),
        )
    )
    slots = encode(RecordKeys(own=channel.slot, following=following.slot if following else None))
    # (4)
    sink = io.BytesIO()
    sink.write(writing.head_of(header) + len(slots).to_bytes(4, "big") + slots)
    with channel.dek:
        writing.write_body(
            header, channel.dek, io.BytesIO(content), sink, sender=sender, randomness=randomness
        )
    return following, sink.getvalue()


def read_head(source: BinaryIO) -> Record:
    """Step (5): a record up to its body; leaves `source` there.

    Raises:
        MalformedMessage: anything else.
    """
    header = reading.read_header(source)
    size = int.from_bytes(source.read(4), "big")
    if size > MAX_BYTES:
        raise MalformedMessage("the key slots of a record are too long")
    keys = decode(RecordKeys, source.read(size), max_bytes=MAX_BYTES)
    if (keys.following is None) != bool(header.fixed.flags & headers.FINAL):
        raise MalformedMessage("the last record of a stream, and no other, has no next slot")
    return Record(header=header, keys=keys)


def read_content(
    record: Record, opened: Opened, source: BinaryIO, followed: Followed
) -> tuple[Followed, bytes]:
    """Steps (6) and (7): the content, and what to remember for the next record.

    Raises:
        InvalidSignature: damaged, of another stream, number or sender. Nothing was given out.
    """
    fixed = record.header.fixed
    # (6)
    if followed.stream not in (None, fixed.file_id) or fixed.seq != followed.seq:
        raise InvalidSignature("a record of another stream or number stands in this place")
    sink = io.BytesIO()
    content = reading.read_object(opened, source, sink)
    # (7)
    if followed.sender not in (None, content.sender):
        raise InvalidSignature("the stream changes its sender")
    after = Followed(stream=fixed.file_id, sender=content.sender, seq=fixed.seq + 1)
    return after, sink.getvalue()


def _prepared(
    level: Level, path: Label, stream: FileId, seq: int, randomness: Randomness
) -> Channel:
    dek = Secret.random(randomness, DEK_BYTES)
    commitment = commitment_of(dek, stream, seq)
    target = Target(file_id=stream, seq=seq, commitment=commitment)
    slot = make_slot(level, dek, target, randomness=randomness)
    return Channel(
        path=path, level=level, stream=stream, seq=seq, dek=dek, commitment=commitment, slot=slot
    )
