"""What messages look like on the wire, in words: recorded once, so that no field ever changes.

A shape names a message's fields in order, each with its type; nested messages have shapes of their
own. `PYTHONPATH=src python tests/versions/shapes.py` adds to `messages.json` what is new, and
refuses to change what is there.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

RECORDED = Path(__file__).parent / "messages.json"

Shapes = dict[str, list[str]]


def shapes_of(kinds: Iterable[Any]) -> Shapes:
    """The shapes of these messages and of all that they are made of, by name."""
    found: Shapes = {}
    owners: dict[str, Any] = {}
    for kind in kinds:
        _add(kind, found, owners)
    return dict(sorted(found.items()))


def _add(kind: Any, found: Shapes, owners: dict[str, Any]) -> None:
    name = name_of(kind)
    if owners.setdefault(name, kind) is not kind:
        raise ValueError(f"two messages of one version are called {name}")
    if name in found:
        return
    found[name] = []
    hints = get_type_hints(kind)
    for field in fields(kind):
        found[name].append(f"{field.name}: {_words(hints[field.name], found, owners)}")


def name_of(kind: Any) -> str:
    """A message's name; one with a successor has its version behind it only in the program."""
    return re.sub(r"V\d+$", "", kind.__name__)


def _words(kind: Any, found: Shapes, owners: dict[str, Any]) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return f"list of {_words(args[0], found, owners)}"
    if origin is tuple:
        return f"[{', '.join(_words(one, found, owners) for one in args)}]"
    if origin in (Union, types.UnionType):
        (one,) = (arg for arg in args if arg is not types.NoneType)
        return f"{_words(one, found, owners)} or nothing"
    if kind is Any:
        return "any value"
    if is_dataclass(kind):
        _add(kind, found, owners)
        return name_of(kind)
    if issubclass(kind, Enum):
        return " | ".join(str(one.value) for one in kind)
    plain = next(p for p in (bool, bytes, str, int) if issubclass(kind, p))
    return plain.__name__ if kind is plain else f"{plain.__name__} {kind.__name__}"


def signed() -> Shapes:
    """What is signed, or written into a file: it is verified for ever, so it never changes."""
    from tigertally.audit.entry import AuditEntry
    from tigertally.custody.messages import dealing, destroy, imports, lock, release, reports
    from tigertally.quorum import approval, card, chain, proof, restoration, roster, tally
    from tigertally.quorum import proposal as proposals
    from tigertally.quorum.member import join
    from tigertally.quorum.receive_keys import ReceiveKeys

    custody = (
        *(ReceiveKeys, dealing.Dealing, dealing.Statement, dealing.Acknowledgement),
        *(dealing.Complaint, dealing.Erased, destroy.Erasure, imports.Imported),
        *(lock.Envelopes, lock.Challenge, lock.Answer, reports.HeldReport),
        *(release.FragmentDelivery, release.AuthorityKey, release.Rebuilt),
    )
    quorum = (
        *(card.Card, proposals.Proposal, approval.Approval, tally.Tally, roster.Roster),
        *(restoration.Restoration, restoration.Acceptance, join.Invitation),
        *(chain.RosterFile, proof.AuditProof),
    )
    return shapes_of((*custody, *quorum, AuditEntry))


def _doors() -> tuple[Any, ...]:
    from tigertally.node.wiring import AuthorityServices

    return AuthorityServices().doors()


def described(version: int) -> dict[str, Any]:
    """Doors and shapes of one version, as they are in this program."""
    doors = [d for d in _doors() if d.startswith(f"/v{version}/")]
    kinds = [kind for door in doors for kind in (door.question, door.answer)]
    names = {str(d): f"{name_of(d.question)} -> {name_of(d.answer)}" for d in doors}
    return {"doors": dict(sorted(names.items())), "messages": shapes_of(kinds)}


def all_shapes() -> dict[str, Any]:
    """Everything that must not change, as it is in this program."""
    versions = sorted({door[1:].partition("/")[0] for door in _doors()})
    found: dict[str, Any] = {name: described(int(name.removeprefix("v"))) for name in versions}
    return {**found, "signed": signed()}


def added(recorded: Any, now: Any, where: str = "") -> Any:
    """What is recorded, with all that is new; raises `ValueError` where anything has changed."""
    if not isinstance(recorded, dict):
        if recorded != now:
            raise ValueError(f"{where} has changed: it was {recorded} and is {now}")
        return recorded
    if gone := recorded.keys() - now.keys():
        raise ValueError(f"{where} has lost {', '.join(sorted(gone))}")
    merged = {name: added(one, now[name], f"{where}/{name}") for name, one in recorded.items()}
    return {**merged, **{name: one for name, one in now.items() if name not in merged}}


if __name__ == "__main__":
    before = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    RECORDED.write_text(json.dumps(added(before, all_shapes()), indent=1) + "\n")
