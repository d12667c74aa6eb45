"""The bodies of custody proposals: their keys are the option names of docs/commands.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from tigertally.base.codec import Wire, dumps
from tigertally.base.errors import MalformedMessage, NewerVersion, UsageError
from tigertally.base.ids import Name, Text
from tigertally.base.limits import MAX_HOLDERS
from tigertally.crypto.hpke import PublicKey
from tigertally.custody.messages.options import KNOWN_OPTIONS, KeyOptions
from tigertally.quorum.changes import only_options, option
from tigertally.quorum.proposal import Proposal, options_body, parsed_body

E = TypeVar("E", bound=Enum)

CREATE = Name("custody.create")
ROTATE = Name("custody.rotate")
DESTROY = Name("custody.destroy")
RELEASE = Name("custody.release")
MAKING = (CREATE, ROTATE)
"""The kinds that make a version of a key; everything about their epochs is the same."""

MAX_VERSION = 2**31 - 1  # versions are counted by people


class Suite(Enum):
    """How a key is shared; `custody/protocol/suites.py` has the schemes themselves."""

    PEDERSEN_ED25519 = "pedersen-ed25519"
    SHAMIR_GF256 = "shamir-gf256"

    @property
    def authority_deals(self) -> bool:
        """Whether the authority's one-shot child draws, deals and rebuilds such keys.

        Then the authority sees each for moments. Otherwise holders deal and the requester rebuilds.
        """
        return self is Suite.SHAMIR_GF256


V1_SUITES = frozenset({"pedersen-ed25519", "shamir-gf256"})
"""The suites that version 1 knew. Never changed."""


def suite_options(suite: str) -> frozenset[str]:
    """Name what a device must know besides the options of a key of this suite: the suite itself.

    Nothing for those of version 1, which every device knows.
    """
    return frozenset() if suite in V1_SUITES else frozenset({f"suite:{suite}"})


def known_here() -> tuple[str, ...]:
    """Name all that this program knows of keys, in order, as a device says it at its syncs."""
    suites = (suite_options(suite.value) for suite in Suite)
    return tuple(sorted(KNOWN_OPTIONS.union(*suites)))


class Form(Enum):
    """What the requester's program makes of a released key."""

    FINAL = "final"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class KeyRef:
    """One version of one key. The first version is 1."""

    name: Name
    version: int

    def __post_init__(self) -> None:
        if not 1 <= self.version <= MAX_VERSION:
            raise MalformedMessage("a key's version is 1 or more")

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"

    def to_bytes(self) -> bytes:
        """A row key: all versions of one name stand together, in order."""
        return self.name.encode() + b"\x00" + self.version.to_bytes(4, "big")

    @classmethod
    def from_bytes(cls, raw: bytes) -> KeyRef:
        """From a row key."""
        name, _, version = raw.partition(b"\x00")
        return cls(name=Name(name.decode()), version=int.from_bytes(version, "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Make a new key. `acks` holders must have stored their fragment before it is active.

    `imported`: the proposer is a requester that will store a secret of its own under the key.
    """

    key: Name
    suite: Suite
    acks: int
    options: KeyOptions
    imported: bool = False

    @property
    def ref(self) -> KeyRef:
        """The key that this makes."""
        return KeyRef(name=self.key, version=1)

    def to_body(self) -> bytes:
        """The proposal's body."""
        mark = {"imported": True} if self.imported else {}
        return options_body(**_terms(self), **mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Make a new version of a key, on the terms of the versions before; all terms are repeated.

    So whoever reads this needs nothing else: a holder that joined later, or an auditor.
    """

    key: Name
    version: int
    suite: Suite
    acks: int
    options: KeyOptions

    @property
    def ref(self) -> KeyRef:
        """The version that this makes."""
        return KeyRef(name=self.key, version=self.version)

    def to_body(self) -> bytes:
        """The proposal's body."""
        return options_body(version=self.version, **_terms(self))


Making = Create | Rotate
"""A body that makes a version of a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Erase a key everywhere: one version, or (None) all that there are and ever will be."""

    key: Name
    version: int | None

    def covers(self, ref: KeyRef) -> bool:
        """Is this version to be erased?"""
        return ref.name == self.key and self.version in (None, ref.version)

    def to_body(self) -> bytes:
        """The proposal's body."""
        one = {} if self.version is None else {"version": self.version}
        return options_body(key=str(self.key), **one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Let the proposer have a key, for one stated reason, wrapped to one fresh key."""

    key: Name
    version: int
    reason: Text
    form: Form
    wrapping_key: PublicKey

    @property
    def ref(self) -> KeyRef:
        """The key that is asked for."""
        return KeyRef(name=self.key, version=self.version)

    def to_body(self) -> bytes:
        """The proposal's body."""
        return options_body(
            key=str(self.key),
            version=self.version,
            reason=str(self.reason),
            form=self.form.value,
            wrapping_key=bytes(self.wrapping_key),
        )


def parse_create(options: dict[str, Wire]) -> Create:
    """Parse the body of `custody.create`; raises `MalformedMessage`, `NewerVersion`."""
    if options.get("imported", True) is not True:
        raise MalformedMessage("the mark of an import is there, or it is not")
    return Create(**_parsed_terms(options, "imported"), imported="imported" in options)


def parse_rotate(options: dict[str, Wire]) -> Rotate:
    """Parse the body of `custody.rotate`; raises `MalformedMessage`, `NewerVersion`."""
    rotate = Rotate(**_parsed_terms(options, "version"), version=option(options, "version", int))
    if rotate.ref.version < 2:
        raise MalformedMessage("a rotation makes version 2 or a later one")
    return rotate


def parse_making(proposal: Proposal) -> Making:
    """The body of a proposal that makes a key.

    Raises:
        MalformedMessage: it makes none.
        NewerVersion: it has an option that this program does not know.
    """
    if proposal.kind == ROTATE:
        return parsed_body(parse_rotate, proposal)
    if proposal.kind == CREATE:
        return parsed_body(parse_create, proposal)
    raise MalformedMessage(f"{proposal.kind} makes no key")


def parse_destroy(options: dict[str, Wire]) -> Destroy:
    """Parse the body of `custody.destroy`; raises `MalformedMessage`."""
    only_options(options, "key", "version")
    name = Name(option(options, "key", str))
    if "version" not in options:
        return Destroy(key=name, version=None)
    one = KeyRef(name=name, version=option(options, "version", int))
    return Destroy(key=name, version=one.version)


def parse_release(options: dict[str, Wire]) -> Release:
    """Parse the body of `custody.release`; raises `MalformedMessage`."""
    only_options(options, "key", "version", "reason", "form", "wrapping_key")
    reason = Text(option(options, "reason", str))
    if not reason.strip():
        raise MalformedMessage("a release states its reason")
    release = Release(
        key=Name(option(options, "key", str)),
        version=option(options, "version", int),
        reason=reason,
        form=_member(Form, option(options, "form", str)),
        wrapping_key=PublicKey(option(options, "wrapping_key", bytes)),
    )
    _ = release.ref  # checks the version
    return release


_OF_THE_VERSION = ("key", "suite", "acks")  # everything else is an option of the key


def _terms(making: Making) -> dict[str, Wire]:
    return {
        **making.options.to_map(),
        "key": str(making.key),
        "suite": making.suite.value,
        "acks": making.acks,
    }


def _parsed_terms(options: dict[str, Wire], *more: str) -> dict[str, Any]:
    rest = {n: value for n, value in options.items() if n not in (*_OF_THE_VERSION, *more)}
    only_options(rest, *KNOWN_OPTIONS)
    acks = option(options, "acks", int)
    if not 1 <= acks <= MAX_HOLDERS:
        raise MalformedMessage("acks is 1 to the number of holders")
    return {
        "key": Name(option(options, "key", str)),
        "suite": _member(Suite, option(options, "suite", str)),
        "acks": acks,
        "options": KeyOptions(dumps(rest)),
    }


def known_suite(value: str) -> Suite:
    """A suite as a message names it; raises `NewerVersion` where this program does not know it."""
    return _member(Suite, value)


def parse_suite(text: str) -> Suite:
    """A suite by its name; raises `UsageError`."""
    try:
        return Suite(text)
    except ValueError as error:
        names = ", ".join(suite.value for suite in Suite)
        raise UsageError(f"no suite {text!r}: there are {names}") from error


def parse_form(text: str) -> Form:
    """A form by its name; raises `UsageError`."""
    try:
        return Form(text)
    except ValueError as error:
        raise UsageError(f"no form {text!r}: there are final and private") from error


def _member(kind: type[E], value: str) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise NewerVersion(f"unknown {kind.__name__.lower()}: {value[:40]!r}") from error
