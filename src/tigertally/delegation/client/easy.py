"""An owner's data in one store, in few words: labels are text, content is bytes.

For programs that use this package. The modules beside this one do the same with more say: content
of any size, folders, ranges, whose labels one writes to.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from tigertally.delegation.client import channels, documents, files
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages.labels import parse_label
from tigertally.delegation.protocol.places import parse_place
from tigertally.delegation.stores.interface import ObjectStore
from tigertally.delegation.stores.open import open_store


class OwnerClient:
    """What one owner writes to one store, and reads there.

    Args:
        owner: whose labels; `tigertally.node.owner.owner_of` makes it of a profile.
        store: a folder, `file:///folder`, or another store.
        clock: gives Unix seconds; the machine's clock by default.

    The methods raise what the functions do that they are made of: `Unavailable` where nothing is,
    `InvalidSignature` or `MalformedMessage` where it was changed, moved or made by a stranger,
    `Refused` where it is not for this owner.
    """

    def __init__(
        self,
        owner: Owner,
        store: str | ObjectStore,
        *,
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self.owner = owner
        self.store = open_store(store) if isinstance(store, str) else store
        self._clock = clock

    def write(self, label: str, content: bytes | BinaryIO, *, all_or_nothing: bool = False) -> int:
        """Write a file; returns the bytes of its content."""
        path = parse_label(label)
        return files.write_file(
            self.store,
            self.owner.levels(path[:-1]),
            path,
            io.BytesIO(content) if isinstance(content, bytes) else content,
            sender=self.owner.signing_key,
            now=self._clock(),
            all_or_nothing=all_or_nothing,
        )

    def read(self, label: str) -> bytes:
        """The content of a file, all of it in memory."""
        sink = io.BytesIO()
        files.read_file(self.store, self.owner, parse_label(label), sink)
        return sink.getvalue()

    def write_stream(
        self, label: str, pieces: Iterable[bytes], *, all_or_nothing: bool = False
    ) -> channels.Sent:
        """Write each piece as a record, at once."""
        return channels.write_stream(
            self.owner,
            self.store,
            parse_label(label),
            pieces,
            clock=self._clock,
            all_or_nothing=all_or_nothing,
        )

    def read_stream(self, label: str, sink: BinaryIO, *, wait: float = 0.0) -> channels.Received:
        """Pass on each record once it is authentic; up to `wait` seconds for the next one.

        Missing records are in the result's `gaps`: look at them.
        """
        return channels.read_stream(self.store, self.owner, parse_label(label), sink, wait=wait)

    def set_field(
        self, document: Path | str, place: str, value: Any, *, replaces: bool = False
    ) -> None:
        """Put a value into a YAML or JSON document of this machine, which is made if need be.

        Args:
            document: a file.
            place: names between slashes; `~1` is a slash in a name, `~0` a tilde.
            value: what JSON can say.
            replaces: fields that are lost by it may be.
        """
        file = Path(document)
        where, now = parse_place(place), self._clock()
        documents.edit(
            file,
            parse_label(file.name),
            lambda found: found.with_value(where, value, self.owner, now, replaces=replaces),
        )

    def field(self, document: Path | str, place: str) -> Any:
        """A value of a document, or of a subtree all of them."""
        file = Path(document)
        found = documents.load(file, parse_label(file.name))
        return found.value(parse_place(place), self.owner)
