"""Back-ups of an authority: one sealed file, and a profile made from it that knows what it is.

| bytes | what |
|---|---|
| 8 | `tallyab` and the format version 1 |
| 4 | the length of what follows, big-endian |
| n | the file's own key, sealed under the passphrase (`crypto/passphrase.py`) |
| rest | `crypto/stream.py` under that key, with everything above as its context |

Inside the stream: 4 bytes of length, a `Manifest`, then the store as SQLite wrote it. Rows that are
sealed stay sealed under the barrier key, which no back-up holds.

**Security:** the manifest holds the authority's signing key. Anyone with the file and
its passphrase can pose as the authority, but cannot open sealed rows: that needs holders.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    Unavailable,
    UsageError,
)
from tigertally.base.ids import Name, Nonce
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto import passphrase as sealing
from tigertally.crypto.files import write_file
from tigertally.crypto.outputs import BACKUP_MAGIC, Output
from tigertally.crypto.passphrase import INTERACTIVE, Parameters
from tigertally.crypto.signatures import SigningKey
from tigertally.crypto.stream import decrypt_stream, encrypt_stream
from tigertally.node.folders import building, remove_dead, workshop
from tigertally.node.identity import Identity, open_identity
from tigertally.node.profile import IDENTITY, STORE, OpenProfile, store_in
from tigertally.quorum.authority.admission import get_settings
from tigertally.quorum.authority.restore import mark_restored
from tigertally.quorum.authority.rows import load_chain
from tigertally.quorum.card import Role, domain_of

_MAGIC = BACKUP_MAGIC + b"\x01"
_FOLDER = ".backup."
_KEY_BYTES = 32
_MOST_SEALED = 1024  # bytes of a sealed key; more is none of ours
_MOST_MANIFEST = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What stands before the store. **Security:** `identity` holds the authority's secrets.

    Attributes:
        identity: the profile's identity file.
        made: when, in Unix seconds.
        roster_version: the newest roster in the store; 0 before the first holder.
        store_bytes: how long the store is.
    """

    identity: bytes
    made: int
    roster_version: int
    store_bytes: int

    def __repr__(self) -> str:
        return f"Manifest(roster_version={self.roster_version}, {self.store_bytes} bytes)"


def write_backup(
    profile: OpenProfile,
    out: Output,
    passphrase: Secret,
    *,
    randomness: Randomness,
    now: int,
    parameters: Parameters = INTERACTIVE,
) -> tuple[int, int]:
    """Write a back-up, mode 0600, all or nothing; the authority may be at work meanwhile.

    Returns:
        The size of the file in bytes, and the roster's version.

    Raises:
        UsageError: the profile is no authority, or `out` cannot be written.
    """
    _check_authority(profile.info.role)
    with workshop(profile.info.path, prefix=_FOLDER) as folder:
        copy = folder / STORE
        profile.plain_store.copy_to(copy)
        manifest = Manifest(
            identity=(profile.info.path / IDENTITY).read_bytes(),
            made=now,
            roster_version=_look_into(folder, profile.signing_key),
            store_bytes=copy.stat().st_size,
        )
        with Secret.random(randomness, _KEY_BYTES) as key, copy.open("rb") as store:
            sealed = sealing.seal(passphrase, key, aad=tags.BACKUP, parameters=parameters)
            head = _MAGIC + len(sealed).to_bytes(4, "big") + sealed
            with out.file() as file:
                file.write(head)
                source = cast(BinaryIO, _Joined(_framed(encode(manifest)), store))
                encrypt_stream(key, source, file, context=_context(head), randomness=randomness)
    return out.path.stat().st_size, manifest.roster_version


def forget_interrupted(profile: Path) -> None:
    """Remove the copies of the store that back-ups have left which were killed.

    **Security:** rows in them are sealed under the barrier key of then; a holder that was removed
    since may have it.
    """
    remove_dead(profile, prefix=_FOLDER)


def restore_backup(
    home: Path,
    profile: Name,
    source: Path,
    ask: Callable[[], Secret],
    *,
    randomness: Randomness,
    now: int,
) -> tuple[int, int]:
    """Make a profile from a back-up, all or nothing; its store says that it was restored.

    Returns:
        The size of the file in bytes, and the roster's version.

    Raises:
        UsageError: there is such a profile, or no such file.
        MalformedMessage: it is no back-up.
        Refused: the passphrase is wrong.
        InvalidSignature: the file was cut, extended or altered.
        Corrupt: what is inside is no authority's state.
    """
    if os.path.lexists(home / profile):
        raise UsageError(f"there is a profile {profile} already: restore into a new one")
    try:
        file = source.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    with file, building(home, profile) as folder:
        head, key = _opened_head(file, ask)
        with key, (folder / STORE).open("xb") as store:
            (folder / STORE).chmod(0o600)
            sink = _Split(store)
            decrypt_stream(key, file, cast(BinaryIO, sink), context=_context(head))
            store.flush()
            os.fsync(store.fileno())
            written = store.tell()
        manifest = sink.manifest()
        if written != manifest.store_bytes:
            raise Corrupt("the back-up holds another store than it says")
        version = _restored(folder, manifest, randomness=randomness, now=now)
        size = file.tell()
    return size, version


def _restored(folder: Path, manifest: Manifest, *, randomness: Randomness, now: int) -> int:
    """Check the store, mark it, and put the identity beside it; the roster's version."""
    identity = Identity.from_bytes(manifest.identity)
    _check_authority(identity.role)
    if identity.sealed:
        raise Corrupt("the identity in the back-up is not an authority's")
    secrets = open_identity(identity, _no_passphrase)
    key = SigningKey(secrets.signing_seed)
    version = _look_into(folder, key)
    store = store_in(folder)
    try:
        with store.transaction() as tx:
            mark_restored(
                tx,
                key,
                domain=domain_of(get_settings(tx).card),
                made=manifest.made,
                now=now,
                nonce=Nonce(randomness.bytes(Nonce.SIZE)),
            )
        if not store.scrub():  # nobody else knows of this folder
            raise Unavailable("the restored store cannot be written out", advice="try again")
    finally:
        store.close()
        secrets.wipe()
    write_file(folder / IDENTITY, manifest.identity, 0o600)
    return version


def _no_passphrase() -> Secret:
    raise Corrupt("the identity in the back-up is not an authority's")


def _look_into(folder: Path, key: SigningKey) -> int:
    """Is this an authority's store? The version of its roster. Raises `Corrupt`."""
    store = store_in(folder)
    try:
        with store.reading() as reader:
            get_settings(reader)
            chain = load_chain(reader, key.public)
    finally:
        store.close()
    return 0 if chain is None else chain.current.version


def _check_authority(role: Role) -> None:
    if role is not Role.AUTHORITY:
        raise UsageError(f"this is the profile of {role.words}, not of {Role.AUTHORITY.words}")


def _opened_head(file: BinaryIO, ask: Callable[[], Secret]) -> tuple[bytes, Secret]:
    start = file.read(len(_MAGIC) + 4)
    length = int.from_bytes(start[len(_MAGIC) :], "big")
    if start[: len(_MAGIC)] != _MAGIC or len(start) != len(_MAGIC) + 4:
        raise MalformedMessage("this is not a back-up of a known version")
    if length > _MOST_SEALED:
        raise MalformedMessage("this is not a back-up: its sealed key is too long")
    sealed = file.read(length)
    with ask() as passphrase:
        key = sealing.open(passphrase, sealed, aad=tags.BACKUP)
    if len(key) != _KEY_BYTES:
        raise MalformedMessage("this is not a back-up: its key is of another length")
    return start + sealed, key


def _context(head: bytes) -> bytes:
    return tags.BACKUP + head


def _framed(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + raw


class _Joined:
    """Reads bytes, then a file, as one."""

    def __init__(self, first: bytes, then: BinaryIO) -> None:
        self._first = io.BytesIO(first)
        self._then = then

    def readinto(self, view: memoryview) -> int:
        return self._first.readinto(view) or cast(io.BufferedReader, self._then).readinto(view)


class _Split:
    """Takes the manifest off the front of what is written, and passes the rest on."""

    def __init__(self, then: BinaryIO) -> None:
        self._then = then
        self._front = bytearray()
        self._wanted = 4
        self._sized = False

    def write(self, data: memoryview) -> int:
        rest = data
        while rest and len(self._front) < self._wanted:
            take = self._wanted - len(self._front)
            self._front += rest[:take]
            rest = rest[take:]
            if not self._sized and len(self._front) == 4:
                self._wanted = 4 + int.from_bytes(self._front, "big")
                self._sized = True
                if self._wanted > _MOST_MANIFEST:
                    raise MalformedMessage("the back-up's manifest is too long")
        if rest:
            self._then.write(rest)
        return len(data)

    def manifest(self) -> Manifest:
        if len(self._front) < self._wanted:
            raise InvalidSignature("the back-up is cut short")
        return decode(Manifest, bytes(self._front[4:]))
