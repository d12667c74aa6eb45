"""Streams in a store: one object a record, `PATH/0000000000000000` and on, readable while written.

docs/protocols/delegation-files.md, "Streams".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    Refused,
    Unavailable,
    UsageError,
)
from tigertally.base.limits import MAX_RECORD_BYTES
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.delegation.client.files import Unlocker, opened_with
from tigertally.delegation.client.naming import naming
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages import headers
from tigertally.delegation.messages.labels import Component, Label, checked, label_text
from tigertally.delegation.protocol import reading, records
from tigertally.delegation.protocol.records import Followed
from tigertally.delegation.stores.interface import ObjectStore
from tigertally.delegation.stores.open import open_store, place_of

_DIGITS = 16
_RECORD_NAME = re.compile(f"[0-9]{{{_DIGITS}}}")
_MOST_MISSING = 100_000  # in a row: a name is all it takes to claim that a later record exists
_PAUSE = 0.1  # seconds between looks for the next record
_LARGEST = MAX_RECORD_BYTES + 64 * 1024  # of an object, with everything around the content


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How much was written."""

    records: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """How much was read, and which records were missing."""

    records: int
    bytes: int
    gaps: tuple[int, ...]


def record_path(path: Label, seq: int) -> tuple[str, ...]:
    """The name of a record's object."""
    return (*path, f"{seq:0{_DIGITS}}")


def write_stream(
    owner: Owner,
    store: ObjectStore,
    path: Label,
    pieces: Iterable[bytes],
    *,
    clock: Callable[[], int],
    all_or_nothing: bool = False,
    randomness: Randomness | None = None,
) -> Sent:
    """Write each piece as a record, at once; behind the last one an empty final record.

    Raises:
        UsageError: there is a stream at this label already, or a piece is too long.
    """
    _check_free(store, path)
    source = randomness or SystemRandomness()
    channel = records.begin(owner.levels(path)[-1], path, source)
    size = 0

    def put(content: bytes, *, final: bool) -> None:
        nonlocal channel
        following, raw = records.write_record(
            channel,
            content,
            final=final,
            sender=owner.signing_key,
            written=clock(),
            randomness=source,
            all_or_nothing=all_or_nothing,
        )
        with store.exclusive():
            if channel.seq == 0:
                _check_free(store, path)
            with store.put(record_path(path, channel.seq)) as sink:
                sink.write(raw)
        channel = following or replace(channel, seq=channel.seq + 1)

    for piece in pieces:
        put(piece, final=False)
        size += len(piece)
    put(b"", final=True)
    return Sent(records=channel.seq, bytes=size)


def read_stream(
    store: ObjectStore,
    unlocker: Unlocker,
    path: Label,
    sink: BinaryIO,
    *,
    start: int = 0,
    wait: float = 0.0,
    missing: Callable[[int], None] = lambda _: None,
) -> Received:
    """Pass on each record's content once it is authentic, to the final record.

    Args:
        store: where it is.
        unlocker: opens the records' slots.
        path: the channel's label.
        sink: gets content; flushed after each record.
        start: the number of the first record.
        wait: seconds to wait for a record that is not there yet.
        missing: called with the number of each missing record.

    Raises:
        InvalidSignature: a record is not what it should be, too many in a row are missing, or the
            stream ends without a final one.
        Unavailable: there is no record at all.
        UsageError: the stream ended before `start`.
    """
    if start:
        _check_reaches(store, unlocker, path, start)
    gaps: list[int] = []
    followed, count, size = Followed(seq=start), 0, 0
    while True:
        try:
            source = _awaited(store, path, followed.seq, wait)
        except Unavailable:
            if not count and not gaps:
                _check_reaches(store, unlocker, path, start)
                raise
            cut = InvalidSignature(
                f"the stream ends before record {followed.seq}, without its last one"
            )
            cut.add_note("what came before is authentic; if it is still being written, wait longer")
            raise cut from None
        if isinstance(source, int):
            if source - followed.seq > _MOST_MISSING:
                raise InvalidSignature(
                    f"after record {followed.seq} more than {_MOST_MISSING} are missing"
                )
            for number in range(followed.seq, source):
                gaps.append(number)
                missing(number)
            followed = replace(followed, seq=source)
            continue
        with source, naming(f"record {followed.seq}"):
            record, followed, content = _read(source, unlocker, path, followed)
        sink.write(content)
        sink.flush()
        count, size = count + 1, size + len(content)
        if record.final:
            return Received(records=count, bytes=size, gaps=tuple(gaps))


def locate_channel(
    url: str, unlocker: Unlocker, known: Sequence[str], *, wait: float = 0.0
) -> tuple[ObjectStore, Label]:
    """The store and label of the stream at a URL.

    A record has a slot for its channel alone, so the labels that it could have are tried.

    Args:
        url: of the folder with the records.
        unlocker: opens them.
        known: URLs of the reader's stores.
        wait: seconds to wait for the first record.

    Raises:
        Unavailable: there is no record.
        Refused: it is not for this reader, or not in its place.
    """
    place = place_of(url)
    deadline = time.monotonic() + wait
    while (first := next(filter(_is_record, place.objects()), None)) is None:
        if time.monotonic() >= deadline:
            raise Unavailable(f"there is no stream at {url}")
        time.sleep(_PAUSE)
    with place.store.get(place.below(first).names) as source:
        record = records.read_head(source)
    tops = [top for top in map(place_of, known) if place.is_within(top)]
    for top in tops or [place.above(count) for count in range(1, len(place.names) + 1)]:
        try:
            label = checked(tuple(Component(name) for name in place.names[len(top.names) :]))
            unlocker.unlock(record.header, record.slots, label).dek.wipe()
        except (MalformedMessage, Refused):
            continue
        return open_store(top.url), label
    raise Refused(f"the stream at {url} has no key slot for you, or was moved there")


def _check_reaches(store: ObjectStore, unlocker: Unlocker, path: Label, start: int) -> None:
    """Say so where a stream has ended before the record that was asked for first.

    Raises:
        UsageError: its last record is there, and authentic as such.
    """
    last = max(_numbers(store, path), default=start)
    if last >= start:
        return
    with suppress(Unavailable), store.get(record_path(path, last)) as source:
        record, _, _ = _read(source, unlocker, path, Followed(seq=last))
        if record.final:
            raise UsageError(f"the stream ended at record {last}: there is no record {start}")


def _numbers(store: ObjectStore, path: Label) -> Iterator[int]:
    """The numbers of the records that a store lists; whatever else it lists is no record."""
    for names in store.list(path):
        if len(names) == len(path) + 1 and _is_record(names):
            yield int(names[-1])


def _is_record(names: Sequence[str]) -> bool:
    return _RECORD_NAME.fullmatch(names[-1]) is not None


def _check_free(store: ObjectStore, path: Label) -> None:
    if next(iter(store.list(path)), None) is not None:
        raise UsageError(f"there is something at {label_text(path)} already: use another label")


def _read(
    source: BinaryIO, unlocker: Unlocker, path: Label, followed: Followed
) -> tuple[records.Record, Followed, bytes]:
    if source.seek(0, 2) > _LARGEST:
        raise MalformedMessage("a record of the stream is too long")
    source.seek(0)
    record = records.read_head(source)
    opened = opened_with(unlocker, record.header, record.slots, path, headers.RECORD)
    with opened.dek:
        after, content = records.read_content(record, opened, source, followed)
    found = reading.Content(length=len(content), sender=after.sender)
    reading.check_sender(found, unlocker.writers(path))  # (8)
    return record, after, content


def _awaited(store: ObjectStore, path: Label, seq: int, wait: float) -> BinaryIO | int:
    """A record; or the number of the next one there is. Raises `Unavailable` after `wait`."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return store.get(record_path(path, seq))
        except Unavailable:
            later = [number for number in _numbers(store, path) if number > seq]
            if later:
                try:  # it came between the two looks
                    return store.get(record_path(path, seq))
                except Unavailable:
                    return min(later)
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)
