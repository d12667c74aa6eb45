"""Two versions of the program in one domain: recorded homes, and who runs which.

`tests/versions/COMMIT` holds what a landed version left behind: its wheel, a home with the profiles
of a whole domain, and `recorded.json`, which says what the home holds (`tests/versions/README.md`).
A test copies the home, moves it to a port of its own, and runs each profile on the version that it
asks for. Clocks stand where they stood when the home was recorded: what was pending then still is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from process_rig import PASSPHRASE, ForkServer, Town, reserved_port
from sources import TESTS
from tigertally.base import codec
from tigertally.base.secret import Secret
from tigertally.node.identity import Identity, open_identity
from tigertally.quorum.authority.admission import Settings
from tigertally.storage.sealed import RowSealer

VERSIONS = TESTS / "versions"
BASE = "a75b629"  # before mixed versions were thought of
_LATER = 60  # seconds between the recording and a test, by the clocks of the processes


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A landed version, as `recorded.json` describes it."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def keys(self) -> dict[str, str]:
        """Name and version of each released key ("payroll 1") -> its bytes in hex."""
        return dict(self.facts["keys"])

    @property
    def wheel(self) -> Path:
        """The program."""
        return self.folder / str(self.facts["wheel"])

    @property
    def home(self) -> Path:
        """The profiles, as one archive."""
        return self.folder / "home.tar.xz"


def recorded(commit: str = BASE) -> Recorded:
    """What is recorded of a version; its files are the ones that were recorded."""
    folder = VERSIONS / commit
    found = Recorded(folder=folder, facts=json.loads((folder / "recorded.json").read_text()))
    assert digest(found.wheel) == found.facts["wheel_sha256"]
    assert digest(found.home) == found.facts["home_sha256"]
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unpack_program(wheel: Path, folder: Path) -> Path:
    """The wheel as a folder to import from: compiled once, not at every start."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def move_home(home: Path, url: str) -> None:
    """Let every profile of a home find the authority at another address.

    Straight in the database: the program would bring an older store up to date when it opens it.
    """
    for profile in sorted(path.parent for path in home.glob("*/identity")):
        with contextlib.closing(sqlite3.connect(profile / "store.db")) as connection:
            _move_authority(connection, url)
            _move_member(connection, profile, url)
            connection.commit()


def _move_authority(connection: sqlite3.Connection, url: str) -> None:
    where = ("authority", b"settings")
    row = _get(connection, *where)
    if row is not None:
        moved = replace(codec.decode(Settings, row), url=url)
        _put(connection, *where, codec.encode(moved))


def _move_member(connection: sqlite3.Connection, profile: Path, url: str) -> None:
    row = _get(connection, "settings", b"url")
    if row is None:
        return
    identity = Identity.from_bytes((profile / "identity").read_bytes())
    secrets = open_identity(identity, lambda: Secret(PASSPHRASE.encode()))
    sealer = RowSealer(secrets.store_key)
    assert sealer.open("settings", b"url", row)
    _put(connection, "settings", b"url", sealer.seal("settings", b"url", codec.dumps(url)))
    secrets.wipe()


def _get(connection: sqlite3.Connection, table: str, key: bytes) -> bytes | None:
    where = "SELECT value FROM rows WHERE table_name = ? AND key = ?"
    found = connection.execute(where, (table, key)).fetchone()
    return None if found is None else bytes(found[0])


def _put(connection: sqlite3.Connection, table: str, key: bytes, value: bytes) -> None:
    where = "UPDATE rows SET value = ? WHERE table_name = ? AND key = ?"
    assert connection.execute(where, (value, table, key)).rowcount == 1


@dataclass
class MixedTown(Town):
    """A home whose profiles run different versions of the program.

    `old` runs the profiles in `runs_old`, `server` all others, those in `runs_tomorrow` as
    `tomorrow.py` is. `ahead` is added to all clocks.
    """

    old: ForkServer | None = None
    runs_old: set[str] = field(default_factory=set)
    runs_tomorrow: set[str] = field(default_factory=set)
    ahead: int = 0

    def start(
        self, *args: str | Path, started_anew: bool = False, **environment: str | None
    ) -> Any:
        """Start `tally ARGS` on the version of its profile."""
        words = [str(arg) for arg in args]
        name = words[words.index("--profile") + 1] if "--profile" in words else ""
        today = self.server
        if name in self.runs_old:
            assert self.old is not None
            self.server = self.old
        try:
            whole = {"FAULT_CLOCK": str(self.ahead), **environment}
            if name in self.runs_tomorrow:
                whole["FAULT_TOMORROW"] = "1"
            return super().start(*args, started_anew=started_anew, **whole)
        finally:
            self.server = today

    def upgrade(self, *names: str) -> None:
        """From now on these run the program of today."""
        self.runs_old -= set(names)


@contextlib.contextmanager
def mixed_town(
    found: Recorded, path: Path, *, server: ForkServer, old: ForkServer | None, runs_old: set[str]
) -> Iterator[MixedTown]:
    """The recorded domain at an address of its own; nothing is started yet."""
    with tarfile.open(found.home) as archive:
        archive.extractall(path, filter="data")
    for one in (path / "home", *(path / "home").rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)
    with reserved_port() as port:
        town = MixedTown(path / "home", server, port, str(found.facts["fingerprint"]))
        town.old, town.runs_old = old, runs_old
        town.ahead = int(found.facts["recorded_at"]) + _LATER - int(time.time())
        move_home(town.home, town.url)
        try:
            yield town
        finally:
            town.end()
