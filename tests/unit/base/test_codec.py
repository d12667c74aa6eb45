from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import cbor2
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


# --- counted before it is built --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    MOST_ITEMS: ClassVar[int] = 2000

    parts: tuple[bytes, ...]


@pytest.fixture
def built(monkeypatch):
    """Every body of which something was built."""
    seen: list[bytes] = []

    class Counting:
        def __getattr__(self, name):
            return getattr(cbor2, name)

        def loads(self, raw, **options):
            seen.append(raw)
            return cbor2.loads(raw, **options)

    monkeypatch.setattr(codec, "cbor2", Counting())
    return seen


def maps(number: int) -> bytes:
    """A list of so many empty maps: a byte each on the wire, 64 in memory."""
    return codec.dumps([{}] * number)


EVIL = {
    "maps": maps(65_000),
    "a claim of maps that are not there": b"\x9a\x00\x0f\xff\xff" + b"\xa0" * 5000,
    "the largest claim": b"\x9b" + b"\xff" * 8 + b"\x00" * 5000,
    "a claim of pairs": b"\xba\x00\x0f\xff\xff" + b"\x60\xa0" * 2500,
    "lists of lists": codec.dumps([[[]] * 30] * 100),
    "maps in a map": codec.dumps({str(i): {} for i in range(2000)}),
    "maps behind a long string": codec.dumps([b"x" * 3000, [{}] * 3000]),
}


@pytest.mark.requirement("X5")
@pytest.mark.parametrize("case", EVIL)
def test_too_many_items_are_refused_before_one_is_built(case: str, built) -> None:
    for read in (
        lambda raw: codec.loads(raw, max_items=600),
        lambda raw: codec.decode(Few, raw),
        lambda raw: codec.decode(Inner, raw),
    ):
        with pytest.raises(MalformedMessage):
            read(EVIL[case])
    assert built == []
    assert codec.loads(codec.dumps([b"x" * 5000])) == [b"x" * 5000]
    assert len(built) == 1, "the fixture sees what is built"


@pytest.mark.requirement("X5")
def test_as_many_items_as_are_allowed() -> None:
    for number in (codec.UNCOUNTED_ITEMS, 3000):
        for value in ([0] * (number - 1), {f"{i:03}": i for i in range((number - 1) // 2)}):
            raw = codec.dumps(value)
            assert codec.loads(raw, max_items=number) == value
    with pytest.raises(MalformedMessage, match="at most 2999 items"):
        codec.loads(codec.dumps([0] * 2999), max_items=2999)
    few = Few(parts=(b"part",) * 1998)
    assert codec.decode(Few, codec.encode(few)) == few
    for allowed, most in ((None, 2000), (3000, 2000), (1000, 1000)):  # nobody allows more
        with pytest.raises(MalformedMessage, match=f"at most {most} items"):
            codec.decode(Few, codec.encode(Few(parts=(b"part",) * 1999)), max_items=allowed)


BROKEN = [
    codec.dumps(["x" * 700])[:-1],
    codec.dumps(["x" * 700]) + b"\x00",
    b"\x81\x5b" + b"\xff" * 8 + b"x" * 700,
    b"\x81\x5f\x41x\xff" + b"x" * 700,
    b"\x9f" + b"\x00" * 700 + b"\xff",
    b"\x81\xc1" + codec.dumps("x" * 700),
    b"\x82\x59\x02\xbc" + b"x" * 700 + b"\x1c",
    b"\x82\x59\x02\xbc" + b"x" * 700 + b"\x19\x01",
]


@pytest.mark.parametrize("raw", BROKEN)
def test_what_is_no_whole_message_is_not_built(raw: bytes, built) -> None:
    with pytest.raises(MalformedMessage, match="not deterministic"):
        codec.loads(raw, max_items=600)
    assert built == []


def test_how_many_items_a_kind_has_follows_from_its_fields() -> None:
    assert codec.most_items(Inner) == 3
    assert codec.most_items(tuple[Inner, Inner | None]) == 7
    assert codec.most_items(Few) == 2000
    for unbounded in (Tree, Outer, Any, tuple[int, ...]):
        assert codec.most_items(unbounded) == codec.MAX_MESSAGE_ITEMS
