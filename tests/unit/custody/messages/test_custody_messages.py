"""Every custody message: its exact bytes, and what its parser refuses."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tigertally.base.codec import decode, dumps, encode, loads
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import HolderIndex
from tigertally.custody.messages.dealing import Dealing, Opening, Statement
from tigertally.quorum.receive_keys import ReceiveKeys

VECTORS = Path(__file__).parents[3] / "vectors"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_custody_messages", VECTORS / "generate_custody_messages.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLES: dict[str, Any] = generator().examples()
CASES = {
    case["name"]: bytes.fromhex(case["hex"])
    for case in json.loads((VECTORS / "custody_messages.json").read_text())["cases"]
}


def test_every_message_is_kept() -> None:
    assert set(CASES) == set(EXAMPLES)
    assert len(CASES) > 40


@pytest.mark.parametrize("name", CASES)
def test_bytes_are_the_kept_ones_and_come_back(name: str) -> None:
    example = EXAMPLES[name]
    assert encode(example) == CASES[name]
    assert decode(type(example), CASES[name]) == example


@pytest.mark.parametrize("name", CASES)
def test_no_field_may_be_missing_or_added(name: str) -> None:
    kind, wire = type(EXAMPLES[name]), loads(CASES[name])
    assert len(wire) == len(fields(kind))
    for changed in (wire[:-1], [*wire, None], wire[1:], {"a": wire}, None):
        with pytest.raises(MalformedMessage):
            decode(kind, dumps(changed))
    with pytest.raises(MalformedMessage):
        decode(kind, CASES[name] + b"\x00")


@pytest.mark.parametrize("name", CASES)
def test_no_field_may_be_of_another_type(name: str) -> None:
    kind, wire = type(EXAMPLES[name]), loads(CASES[name])
    for place in range(len(wire)):
        for wrong in (-1, 1.5, {"a": 1}, [[[]]]):
            changed = [*wire[:place], wrong, *wire[place + 1 :]]
            with pytest.raises(MalformedMessage):
                decode(kind, dumps(changed))


RULES: list[tuple[type, dict[str, Any]]] = [
    (Dealing, {"slots": ()}),
    (Dealing, {"slots": EXAMPLES["Dealing"].slots[::-1]}),
    (Dealing, {"slots": EXAMPLES["Dealing"].slots[:1] * 2}),
    (Dealing, {"keys": ()}),
    (Dealing, {"keys": EXAMPLES["Dealing"].keys[::-1]}),
    (Dealing, {"commitments": (b"one",)}),
    (Dealing, {"attempt": 0}),
    (Dealing, {"attempt": 65536}),
    (Dealing, {"dealer": 256}),
    (Dealing, {"threshold": 1}),
    (Dealing, {"threshold": 3}),
    (Statement, {"keys": ()}),
    (Statement, {"commitments": (b"one",)}),
    (Statement, {"acks": 0}),
    (Statement, {"acks": 3}),
    (Statement, {"dealers": ()}),
    (ReceiveKeys, {"keys": EXAMPLES["ReceiveKeys"].keys[::-1]}),
    (ReceiveKeys, {"keys": EXAMPLES["ReceiveKeys"].keys[:1] * 2}),
    (Opening, {"pieces": ()}),
    (Opening, {"dealings": (), "pieces": ()}),
]


@pytest.mark.parametrize(("kind", "changes"), RULES)
def test_what_makes_no_sense_is_no_message(kind: type, changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        replace(EXAMPLES[kind.__name__], **changes)


def test_one_key_for_two_senders_is_refused() -> None:
    keys: ReceiveKeys = EXAMPLES["ReceiveKeys"]
    same = tuple(replace(one, key=keys.keys[0].key) for one in keys.keys)
    with pytest.raises(MalformedMessage):
        replace(keys, keys=same)
    assert keys.for_sender(3) == keys.keys[1].key
    assert keys.for_sender(4) is None


def test_a_dealing_has_one_slot_a_receiver() -> None:
    dealing: Dealing = EXAMPLES["Dealing"]
    assert dealing.slot_of(HolderIndex(2)).receiver == 2
    with pytest.raises(MalformedMessage):
        dealing.slot_of(HolderIndex(3))


def test_a_statement_is_named_by_all_of_its_fields() -> None:
    statement: Statement = EXAMPLES["Statement"]
    hashes = {statement.hash}
    for changes in (
        {"attempt": 2},
        {"roster_version": 77},
        {"acks": 1},
        {"threshold": 3},
        {"base": None},
        {"commitments": (b"a", b"b")},
        {"dealers": statement.dealers[:1]},
        {"holders": (HolderIndex(1), HolderIndex(3))},
    ):
        hashes.add(replace(statement, **changes).hash)
    assert len(hashes) == 9
    assert statement.commitments_of(statement.keys[1]) == statement.commitments[1]
    with pytest.raises(MalformedMessage):
        statement.commitments_of(replace(statement.keys[0], version=99))
