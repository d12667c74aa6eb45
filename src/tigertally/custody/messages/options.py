"""A key's options: who may ask for it, and all else that its holders approved with it.

An open map, in the words of the proposal that made the key. An option that this program does not
know stays in it as it came: it is stored, hashed and passed on with the rest, and a device that
does not know it takes no part in the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from tigertally.base.codec import Wire, dumps
from tigertally.base.errors import MalformedMessage, NewerVersion
from tigertally.base.ids import Name
from tigertally.base.recent import Recent
from tigertally.quorum.changes import option
from tigertally.quorum.proposal import parse_options

REQUESTER, UNATTENDED = "requester", "unattended"
V1_OPTIONS = frozenset({REQUESTER, UNATTENDED})
"""What version 1 has fields for; every key says something about each. Never changed."""

KNOWN_OPTIONS = V1_OPTIONS
"""What this program knows: an option that it learns is added here, and typed below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Typed:
    requesters: tuple[Name, ...]
    unattended: bool
    names: frozenset[str]


_parsed: Recent[_Typed] = Recent(entries=512, size=1024 * 1024)  # keys made alike share one


class KeyOptions(bytes):
    """The bytes of a CBOR map from option names to values, checked when built.

    Two are equal if and only if they say the same, also in what this program does not know.
    """

    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        _typed(bytes(value))
        return super().__new__(cls, value)

    @classmethod
    def of(
        cls,
        requesters: Iterable[Name] = (),
        *,
        unattended: bool = False,
        more: Mapping[str, Wire] | None = None,
    ) -> Self:
        """Options from their values.

        Args:
            requesters: who may ask for the key; nobody named: any enrolled requester may.
            unattended: whether holders may release it by rule.
            more: options that version 1 has no fields for.
        """
        named = {REQUESTER: [str(name) for name in requesters], UNATTENDED: unattended}
        return cls(dumps({**named, **(more or {})}))

    @property
    def requesters(self) -> tuple[Name, ...]:
        """Who may ask for the key, in order; empty: any enrolled requester."""
        return _typed(bytes(self)).requesters

    @property
    def unattended(self) -> bool:
        """Whether holders may release it by rule."""
        return _typed(bytes(self)).unattended

    @property
    def names(self) -> frozenset[str]:
        """Which options it has."""
        return _typed(bytes(self)).names

    @property
    def unknown(self) -> tuple[str, ...]:
        """The options that this program does not know, in order."""
        return tuple(sorted(self.names - KNOWN_OPTIONS))

    def to_map(self) -> dict[str, Wire]:
        """As they stand in the body of a proposal."""
        return parse_options(bytes(self))

    def changed(self, **options: Wire) -> KeyOptions:
        """The same with other values for these options."""
        return KeyOptions(dumps({**self.to_map(), **options}))

    def check_known(self, key: object) -> None:
        """Refuse to take part in a key of which this program does not know all.

        Args:
            key: what it is called in the error.

        Raises:
            NewerVersion
        """
        if self.unknown:
            raise NewerVersion(
                f"{key} was made by a newer version of the program, with options that this device "
                f"does not know ({', '.join(self.unknown)}): it takes no part in that key"
            )

    def __repr__(self) -> str:
        return f"KeyOptions({self.to_map()})"


def _typed(raw: bytes) -> _Typed:
    known = _parsed.get(raw)
    if known is None:
        known = _typed_anew(raw)
        _parsed.put(raw, known, len(raw))
    return known


def _typed_anew(raw: bytes) -> _Typed:
    options = parse_options(raw)
    names = option(options, REQUESTER, list)
    if any(type(name) is not str for name in names) or names != sorted(set(names)):
        raise MalformedMessage("requesters are distinct names in order")
    return _Typed(
        requesters=tuple(Name(name) for name in names),
        unattended=option(options, UNATTENDED, bool),
        names=frozenset(options),
    )
