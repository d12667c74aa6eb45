from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest

from tigertally.base import codec
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Hash, HolderIndex, Name


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    index: HolderIndex
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: Name
    digest: Hash
    count: int
    flag: bool
    colour: Colour
    inner: Inner
    many: tuple[Inner, ...]
    pair: tuple[int, bytes]
    maybe: Hash | None
    free: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    value: int
    below: tuple[Tree, ...]


MESSAGE = Outer(
    name=Name("alice"),
    digest=Hash(bytes(32)),
    count=2**64 - 1,
    flag=True,
    colour=Colour.BLUE,
    inner=Inner(index=HolderIndex(7), note=None),
    many=(Inner(index=HolderIndex(1), note="x"), Inner(index=HolderIndex(2), note="")),
    pair=(5, b"\x01"),
    maybe=None,
    free={"a": [1, None], "bb": "text"},
)


def test_a_message_comes_back_as_it_was_with_its_types() -> None:
    back = codec.decode(Outer, codec.encode(MESSAGE))
    assert back == MESSAGE
    assert type(back.digest) is Hash
    assert type(back.inner.index) is HolderIndex
    assert type(back.name) is Name


def test_the_bytes_are_an_array_of_the_fields_in_order() -> None:
    raw = codec.encode(Inner(index=HolderIndex(7), note="hi"))
    assert raw.hex() == "8207626869"
    assert codec.encode(Inner(index=HolderIndex(7), note=None)).hex() == "8207f6"


def test_a_message_may_refer_to_itself() -> None:
    tree = Tree(value=1, below=(Tree(value=2, below=()), Tree(value=3, below=())))
    assert codec.decode(Tree, codec.encode(tree)) == tree


def test_changing_any_field_changes_the_bytes() -> None:
    raw = codec.encode(MESSAGE)
    for i in range(len(raw)):
        changed = raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]
        try:
            assert codec.decode(Outer, changed) != MESSAGE
        except MalformedMessage:
            continue


NOT_DETERMINISTIC = {
    "nothing": "",
    "left-over byte": "0000",
    "cut array": "8201",
    "long form of a small number": "1801",
    "long form of a length": "580161",
    "indefinite array": "9f01ff",
    "indefinite bytes": "5f4101ff",
    "indefinite text": "7f6161ff",
    "tag": "c11a514b67b0",
    "bignum": "c249010000000000000000",
    "negative bignum": "c349010000000000000000",
    "shared reference": "d81c81d81d00",
    "self-described": "d9d9f700",
    "float": "fb3ff0000000000000",
    "half float": "f93c00",
    "not a number": "f97e00",
    "undefined": "f7",
    "simple value": "f0",
    "break": "ff",
    "reserved length": "1c",
    "duplicate key": "a2616101616102",
    "keys out of order": "a2616201616101",
    "longer key first": "a262616101616202",
    "number as key": "a10102",
    "bytes as key": "a1416101",
    "broken UTF-8": "62c328",
    "surrogate": "63eda080",
    "huge array": "9bffffffffffffffff",
    "huge bytes": "5bffffffffffffffff",
    "huge text": "7b7fffffffffffffff",
    "huge map": "bbffffffffffffffff",
    "deep nesting": "81" * 40 + "00",
    "very deep nesting": "81" * 100_000 + "00",
    "deep tags": "c1" * 10_000 + "00",
    "array of arrays of maps, cut": "9a00ffffff" * 4,
}


@pytest.mark.parametrize("case", NOT_DETERMINISTIC)
def test_only_deterministic_cbor_is_accepted(case: str) -> None:
    with pytest.raises(MalformedMessage):
        codec.loads(bytes.fromhex(NOT_DETERMINISTIC[case]))


@pytest.mark.parametrize(
    "value",
    [
        0,
        23,
        24,
        2**64 - 1,
        -1,
        -(2**63),
        b"",
        b"x" * 300,
        "",
        "虎符",
        True,
        False,
        None,
        [],
        {},
        [1, [2, [b"3"]]],
        {"a": 1, "b": {"c": []}},
    ],
)
def test_plain_values_come_back(value: object) -> None:
    assert codec.loads(codec.dumps(value)) == value


def test_the_order_of_keys_does_not_change_the_bytes() -> None:
    assert codec.dumps({"b": 1, "a": 2}) == codec.dumps({"a": 2, "b": 1})


def test_too_long_is_refused_before_it_is_parsed() -> None:
    raw = codec.dumps(b"x" * 100)
    assert codec.loads(raw, max_bytes=len(raw)) == b"x" * 100
    with pytest.raises(MalformedMessage, match="at most"):
        codec.loads(raw, max_bytes=len(raw) - 1)


WRONG_SHAPE: dict[str, Any] = {
    "not a list": {"index": 1},
    "a field missing": [1],
    "a field too many": [1, None, None],
    "identifier out of range": [0, None],
    "number as text": ["1", None],
    "bool is not a number": [True, None],
    "bytes are not text": [1, b"x"],
    "negative": [-1, None],
}


@pytest.mark.parametrize("case", WRONG_SHAPE)
def test_a_wrong_shape_is_malformed(case: str) -> None:
    with pytest.raises(MalformedMessage):
        codec.decode(Inner, codec.dumps(WRONG_SHAPE[case]))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("colour", "green"),
        ("colour", 1),
        ("colour", ["red"]),
        ("flag", 1),
        ("count", -1),
        ("many", [[1, None], 5]),
        ("many", b""),
        ("pair", [1]),
        ("pair", [1, b"", 2]),
        ("maybe", b"short"),
        ("name", "NotAName"),
        ("inner", None),
    ],
)
def test_a_wrong_field_is_malformed(field: str, wrong: object) -> None:
    names = list(Outer.__dataclass_fields__)
    wire = codec.to_wire(MESSAGE)
    wire[names.index(field)] = wrong
    with pytest.raises(MalformedMessage):
        codec.decode(Outer, codec.dumps(wire))


def test_what_cannot_travel_is_a_type_error() -> None:
    for value in (1.5, object(), {1, 2}):
        with pytest.raises(TypeError):
            codec.to_wire(value)
    for kind in (float, int | str, dict[str, int]):
        with pytest.raises(TypeError):
            codec.from_wire(kind, 1)  # type: ignore[arg-type]
