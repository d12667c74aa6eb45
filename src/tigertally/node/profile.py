"""Profiles: the directory with one party's identity, keys and state.

`home/NAME/` holds `identity` (who it is, and its secrets, sealed), `store.db` (sealed rows and the
audit log), `lock` (who is at work) and `wrong-passphrases` (one byte for each wrong try). A
profile appears under its name only when it is complete.

People's profiles are sealed under a passphrase (Argon2id); a daemon's, which must start alone,
are files of mode 0600.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tigertally.base import codec
from tigertally.base.errors import Corrupt, MalformedMessage, Refused, UsageError
from tigertally.base.ids import Fingerprint, Name
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto import hpke
from tigertally.crypto.files import write_file
from tigertally.crypto.passphrase import INTERACTIVE, Parameters
from tigertally.crypto.signatures import SigningKey
from tigertally.node.folders import building, taken
from tigertally.node.identity import Identity, Secrets, open_identity, seal_identity
from tigertally.node.locks import Count, Exclusive
from tigertally.quorum.card import Role
from tigertally.storage.sealed import SealedStore
from tigertally.storage.sql import SqlStore

IDENTITY = "identity"
STORE = "store.db"
_LOCK = "lock"
_WRONG = "wrong-passphrases"
_SETTINGS = "settings"  # the sealed table

Setting = str | int | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileInfo:
    """What anybody who can read the directory learns about a profile, without a passphrase.

    `profile` is the directory's name, `member` the name in the domain; `store` is the file.
    """

    profile: Name
    role: Role
    member: Name
    fingerprint: Fingerprint
    created: int
    path: Path
    store: str
    sealed: bool


def home() -> Path:
    """Where profiles live: `TALLY_HOME`, else `~/.tigertally`.

    Raises:
        UsageError: the environment names neither.
    """
    if given := os.environ.get("TALLY_HOME"):
        return Path(given).expanduser().absolute()
    if user := os.environ.get("HOME"):
        return Path(user).absolute() / ".tigertally"
    raise UsageError("neither TALLY_HOME nor HOME is set: no place for profiles")


def profile_names(home: Path) -> list[Name]:
    """The names of all profiles, damaged ones too, in order."""
    names = []
    with suppress(FileNotFoundError):
        for folder in home.iterdir():
            with suppress(MalformedMessage):  # not a profile's name: none of ours
                name = Name(folder.name)
                if os.path.lexists(folder / IDENTITY):
                    names.append(name)
    return sorted(names)


def read_info(home: Path, profile: Name) -> ProfileInfo:
    """Who this profile is.

    Raises:
        UsageError: there is none of that name; says which there are.
        Corrupt: it is damaged.
    """
    return _info(home / profile, profile, _read_identity(home, profile))


def create_profile(
    home: Path,
    profile: Name,
    *,
    role: Role,
    member: Name,
    passphrase: Secret | None,
    randomness: Randomness,
    now: int,
    parameters: Parameters = INTERACTIVE,
) -> OpenProfile:
    """Make a profile with fresh keys, all or nothing, and open it.

    Args:
        home: made with mode 0700 where it is missing.
        profile: the name of its directory.
        role: who it is in its domain.
        member: its name there.
        passphrase: None makes a profile that a daemon opens alone.
        randomness: the source of all its keys.
        now: Unix seconds, kept as the date of its making.
        parameters: what one guess of the passphrase costs.

    Raises:
        UsageError: the name is taken, or a person's profile without a passphrase.
    """
    if passphrase is None and role.person:
        raise UsageError(f"the profile of {role.words} needs a passphrase")
    target = home / profile
    if os.path.lexists(target):
        raise taken(profile)
    secrets = Secrets.generate(randomness)
    identity = seal_identity(
        secrets, role=role, member=member, created=now, under=passphrase, parameters=parameters
    )
    with building(home, profile) as folder:
        write_file(folder / IDENTITY, identity.to_bytes(), 0o600)
        store_in(folder, create=True).close()
    return OpenProfile(_info(target, profile, identity), secrets)


def store_in(folder: Path, *, create: bool = False) -> SqlStore:
    """The store in a profile's folder; the one place that says which kind of store it is.

    Raises:
        UsageError, Corrupt, Unavailable: as for `SqlStore`.
    """
    return SqlStore(folder / STORE, create=create)


def open_profile(
    home: Path, profile: Name, *, passphrase: Callable[[], Secret] | None
) -> OpenProfile:
    """Open a profile with its passphrase, which is asked for only where there is one.

    Raises:
        UsageError: no such profile, or it needs a passphrase and `passphrase` is None.
        Refused: the passphrase is wrong; counted, see `OpenProfile.wrong_passphrases`.
        Corrupt: the profile is damaged.
    """
    identity = _read_identity(home, profile)
    info = _info(home / profile, profile, identity)
    _warn_if_open_to_others(info)
    try:
        return OpenProfile(info, open_identity(identity, _asker(profile, passphrase)))
    except Refused as error:
        Count(info.path / _WRONG).add()
        refused = Refused(f"wrong passphrase for profile {profile}")
        refused.add_note("try again")
        raise refused from error


def change_passphrase(
    home: Path,
    profile: Name,
    *,
    old: Callable[[], Secret],
    new: Callable[[], Secret],
    parameters: Parameters = INTERACTIVE,
) -> None:
    """Seal a profile under a new passphrase; the identity file is replaced in one step.

    Raises:
        UsageError: the profile has no passphrase; the rest as for `open_profile`.

    **Security:** a copy of the old file still opens with the old passphrase.
    """
    identity = _read_identity(home, profile)
    if not identity.sealed:
        raise UsageError(f"profile {profile} has no passphrase: its daemon starts alone")
    with open_profile(home, profile, passphrase=old) as opened:
        sealed = seal_identity(
            opened.secrets,
            role=identity.role,
            member=identity.member,
            created=identity.created,
            under=new(),
            parameters=parameters,
        )
        with opened.exclusive(doing="changing the passphrase"):
            write_file(opened.info.path / IDENTITY, sealed.to_bytes(), 0o600)


class OpenProfile:
    """A profile whose secrets are in memory. Close it, or use it in a `with` block.

    Args:
        info: who it is.
        secrets: wiped by `close()`.
    """

    def __init__(self, info: ProfileInfo, secrets: Secrets) -> None:
        self.info = info
        self.secrets = secrets
        self.signing_key = SigningKey(secrets.signing_seed)
        self.wrapping_key = hpke.PrivateKey(secrets.wrapping_seed)
        self._plain: SqlStore | None = None
        self._sealed: SealedStore | None = None
        self._exclusive = Exclusive(info.path / _LOCK, what=f"profile {info.profile}")
        self._wrong = Count(info.path / _WRONG)

    @property
    def device_secret(self) -> Secret:
        """32 bytes drawn when the profile was made."""
        return self.secrets.device_secret

    @property
    def plain_store(self) -> SqlStore:
        """The store itself. In the clear an authority keeps there what it needs while it is locked.

        Raises:
            Corrupt: the file is gone or damaged.
        """
        if self._plain is None:
            path = self.info.path / STORE
            if not path.is_file():
                raise Corrupt(f"profile {self.info.profile} has lost its store, {path}")
            self._plain = store_in(self.info.path)
        return self._plain

    @property
    def store(self) -> SealedStore:
        """The sealed view of the store, under a key of this profile."""
        if self._sealed is None:
            self._sealed = SealedStore(self.plain_store, self.secrets.store_key)
        return self._sealed

    def settings(self) -> dict[str, Setting]:
        """What the profile remembers about its domain, for example `url`."""
        with self.store.reading() as rows:
            return {key.decode(): codec.loads(raw) for key, raw in rows.scan(_SETTINGS)}

    def put_settings(self, **values: Setting) -> None:
        """Remember these, all or none; others stay."""
        for name, value in values.items():
            if not isinstance(value, str | int | bytes) or isinstance(value, bool):
                raise UsageError(f"setting {name} is a text, a number or bytes")
        with self.store.transaction() as rows:
            for name, value in values.items():
                rows.put(_SETTINGS, name.encode(), codec.dumps(codec.to_wire(value)))

    def exclusive(self, wait: float = 60.0, doing: str = "") -> AbstractContextManager[None]:
        """A `with` block that no other process of this profile shares.

        Args:
            wait: seconds to wait for whoever is inside.
            doing: in words, for those who wait.

        Raises:
            Unavailable: still taken after `wait`; names the process that has it.
            UsageError: this thread is inside already.
        """
        return self._exclusive.held(wait=wait, doing=doing)

    def wrong_passphrases(self) -> int:
        """How many wrong passphrases were tried and not yet cleared."""
        return self._wrong.value()

    def clear_wrong_passphrases(self, count: int) -> None:
        """Take off `count` of them, once they are reported; later ones stay."""
        self._wrong.subtract(count)

    def close(self) -> None:
        """Close the store and wipe the secrets; harmless when done before."""
        if self._plain is not None:
            self._plain.close()
        self._plain = self._sealed = None
        self.secrets.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OpenProfile({self.info.profile}, {self.info.role.value})"


def _info(path: Path, profile: Name, identity: Identity) -> ProfileInfo:
    return ProfileInfo(
        profile=profile,
        role=identity.role,
        member=identity.member,
        fingerprint=identity.fingerprint,
        created=identity.created,
        path=path,
        store=str(path / STORE),
        sealed=identity.sealed,
    )


def _read_identity(home: Path, profile: Name) -> Identity:
    path = home / profile / IDENTITY
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if (home / profile).is_dir():
            raise Corrupt(f"profile {profile} has lost its identity file, {path}") from error
        there = ", ".join(profile_names(home)) or "none"
        raise UsageError(f"no profile {profile} in {home}; there: {there}") from error
    try:
        return Identity.from_bytes(raw)
    except Corrupt as error:
        raise Corrupt(f"{error}: {path}") from error


def _asker(profile: Name, ask: Callable[[], Secret] | None) -> Callable[[], Secret]:
    def nobody_to_ask() -> Secret:
        raise UsageError(f"profile {profile} needs its passphrase")

    return nobody_to_ask if ask is None else ask


def _warn_if_open_to_others(info: ProfileInfo) -> None:
    for path in (info.path, info.path / IDENTITY):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            warnings.warn(
                f"{path} has mode {mode:04o}: others can reach the profile; chmod go= it",
                RuntimeWarning,
                stacklevel=3,
            )
