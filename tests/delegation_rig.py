"""An owner, its stores in memory, and files in them that tests take apart."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from tigertally.base.errors import Unavailable
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey
from tigertally.delegation.client import files
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages.headers import Header
from tigertally.delegation.messages.labels import Label, parse_label
from tigertally.delegation.messages.slots import Keys
from tigertally.delegation.protocol.reading import Content
from tigertally.delegation.state import Remembered
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedStore

NOW = 1_800_000_000


class MemoryObjects:
    """A store of objects, whose content a test may change."""

    def __init__(self) -> None:
        self.url = "memory:"
        self.objects: dict[tuple[str, ...], bytes] = {}
        self.puts: list[tuple[str, ...]] = []

    @contextmanager
    def put(self, path: Sequence[str]) -> Iterator[BinaryIO]:
        sink = io.BytesIO()
        yield sink
        self.objects[tuple(path)] = sink.getvalue()
        self.puts.append(tuple(path))

    def get(self, path: Sequence[str]) -> BinaryIO:
        if tuple(path) not in self.objects:
            raise Unavailable("there is no such object")
        return io.BytesIO(self.objects[tuple(path)])

    def range(self, path: Sequence[str], start: int, size: int) -> bytes:
        return self.get(path).read()[start : start + size]

    def list(self, path: Sequence[str]) -> Iterator[tuple[str, ...]]:
        return iter(sorted(one for one in self.objects if one[: len(path)] == tuple(path)))

    def delete(self, path: Sequence[str]) -> None:
        self.objects.pop(tuple(path), None)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        yield

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield

    def url_of(self, path: Sequence[str]) -> str:
        return self.url + "/".join(path)


def person(seed: str) -> Owner:
    """An owner with everything that it remembers, in memory."""
    randomness = SeededRandomness(seed)
    rows = SealedStore(MemoryStore(), Secret(randomness.bytes(32)))
    key = SigningKey.generate(randomness)
    return Owner(Secret(randomness.bytes(32)), key, Remembered(rows=rows))


def label(text: str) -> Label:
    return parse_label(text)


def write(
    owner: Owner,
    store: MemoryObjects,
    path: str,
    content: bytes,
    *,
    sender: SigningKey | None = None,
    unsigned: bool = False,
    all_or_nothing: bool = False,
    seed: str | None = None,
) -> int:
    """Write as the owner; `sender` signs in its place."""
    name = label(path)
    return files.write_file(
        store,
        owner.levels(name[:-1]),
        name,
        io.BytesIO(content),
        sender=None if unsigned else sender or owner.signing_key,
        now=NOW,
        all_or_nothing=all_or_nothing,
        randomness=None if seed is None else SeededRandomness(seed),
    )


def read(
    owner: Owner, store: MemoryObjects, path: str, *, allow_unsigned: bool = False
) -> tuple[bytes, Content]:
    """Read as the owner; what came out, and whose it is."""
    sink = io.BytesIO()
    content = files.read_file(store, owner, label(path), sink, allow_unsigned=allow_unsigned)
    return sink.getvalue(), content


def parts(store: MemoryObjects, path: str) -> tuple[Header, bytes, Keys]:
    """A written file, taken apart: header, body, slots."""
    name = label(path)
    raw = store.objects[name]
    size = int.from_bytes(raw[:4], "big")
    keys = Keys.from_bytes(store.objects[files.keys_path(name)])
    return Header.from_bytes(raw[4 : 4 + size]), raw[4 + size :], keys


def put(store: MemoryObjects, path: str, header: Header, body: bytes, keys: Keys) -> None:
    """The opposite of `parts`."""
    name = label(path)
    store.objects[name] = len(header.raw).to_bytes(4, "big") + header.raw + body
    store.objects[files.keys_path(name)] = keys.to_bytes()


def dek_of(owner: Owner, store: MemoryObjects, path: str) -> Secret:
    """The DEK of a file, as any of its readers gets it."""
    header, _, keys = parts(store, path)
    slots = keys.of(header.fixed.file_id)
    assert slots is not None
    return owner.unlock(header, slots, label(path)).dek
