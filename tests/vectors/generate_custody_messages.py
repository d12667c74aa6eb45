"""Write custody_messages.json: the exact bytes of one example of every custody message.

Run it from the project directory with `PYTHONPATH=src`.
A change of these bytes breaks what devices of two versions say to each other.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from tigertally.base.codec import encode
from tigertally.base.ids import FixedBytes, HolderIndex, Name, Text
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.hpke import PrivateKey, PublicKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.messages import (
    base_key,
    dealing,
    destroy,
    imports,
    kinds,
    lock,
    release,
    reports,
    sync,
    v1,
)
from tigertally.custody.messages.options import KeyOptions
from tigertally.quorum.receive_keys import PublishedKeys, ReceiveKeys, SenderKey

SOURCE = "encodings of this project, written by generate_custody_messages.py"
MODULES: tuple[ModuleType, ...] = (
    base_key,
    kinds,
    dealing,
    destroy,
    imports,
    lock,
    release,
    sync,
    v1,
    reports,
)

# What a field of a message must be, where not any value of its type will do.
CHOSEN: dict[tuple[str, str], Any] = {
    ("SenderKey", "sender"): 3,
    ("ReceiveKeys", "keys"): None,  # made below
    ("Dealing", "dealer"): 2,
    ("Imported", "sealed"): bytes(range(40)),
    ("Dealing", "attempt"): 1,
    ("Dealing", "threshold"): 2,
    ("Statement", "attempt"): 1,
    ("Statement", "acks"): 2,
    ("Statement", "threshold"): 2,
}


def message_kinds() -> list[type]:
    """Every dataclass of the custody message modules, and what is recorded among the dealings."""
    found = []
    for module in MODULES:
        own = [
            kind
            for _, kind in inspect.getmembers(module, is_dataclass)
            if kind.__module__ == module.__name__
        ]
        if module is dealing:
            own += [PublishedKeys, ReceiveKeys, SenderKey]
        found += sorted(own, key=lambda kind: kind.__name__)
    return found


class Examples:
    """Deterministic values of any field type; no two byte strings are alike."""

    def __init__(self) -> None:
        self._count = 0
        self._randomness = SeededRandomness("custody messages")

    def of(self, kind: Any, place: tuple[str, str] = ("", "")) -> Any:
        if CHOSEN.get(place) is not None:
            return CHOSEN[place]
        origin = get_origin(kind)
        if origin in (Union, UnionType):
            return self.of(next(arg for arg in get_args(kind) if arg is not type(None)))
        if origin is tuple:
            return self._tuple(get_args(kind)[0])
        if is_dataclass(kind):
            return self.message(kind)
        return self._plain(kind)

    def _tuple(self, item: Any) -> tuple[Any, ...]:
        two = (self.of(item), self.of(item))
        if item is dealing.Slot:
            low, high = two
            return (_with(low, receiver=HolderIndex(1)), _with(high, receiver=HolderIndex(2)))
        if item is SenderKey:
            return (_with(two[0], sender=0), _with(two[1], sender=3))
        if item is HolderIndex:
            return (HolderIndex(1), HolderIndex(2))
        try:
            return tuple(sorted(two))
        except TypeError:
            return two

    def _plain(self, kind: Any) -> Any:
        self._count += 1
        if kind is PublicKey:
            return PrivateKey.generate(self._randomness).public
        if kind is VerifyKey:
            return SigningKey.generate(self._randomness).public
        if issubclass(kind, Enum):
            return list(kind)[self._count % len(kind)]
        if issubclass(kind, FixedBytes):
            return kind(self._count.to_bytes(2, "big") * (kind.SIZE // 2))
        if kind is HolderIndex:
            return HolderIndex(1 + self._count % 9)
        if kind is KeyOptions:
            names = (Name(f"name-{self._count}"), Name(f"name-{self._count}x"))
            return KeyOptions.of(names, unattended=True, more={"region": "eu"})
        if kind is Name:
            return Name(f"name-{self._count}")
        if kind is bool:
            return True
        if issubclass(kind, int):
            return self._count
        if issubclass(kind, str):
            return kind(f"text {self._count}") if kind is Text else f"text {self._count}"
        return self._count.to_bytes(3, "big")

    def message(self, kind: Any) -> Any:
        hints = get_type_hints(kind)
        values = {f.name: self.of(hints[f.name], (kind.__name__, f.name)) for f in fields(kind)}
        return kind(**values)


def _with(message: Any, **changes: Any) -> Any:
    values = {f.name: getattr(message, f.name) for f in fields(message)}
    return type(message)(**{**values, **changes})


def examples() -> dict[str, Any]:
    """One example of every message, by the name of its class."""
    found = {}
    for kind in message_kinds():
        found[kind.__name__] = Examples().message(kind)
    return found


def generate() -> str:
    cases = [{"name": name, "hex": encode(one).hex()} for name, one in examples().items()]
    return json.dumps({"source": SOURCE, "cases": cases}, indent=1) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "custody_messages.json").write_text(generate())
