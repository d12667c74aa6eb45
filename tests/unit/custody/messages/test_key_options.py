"""A key's options: one open map, and what is hashed of it in two versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import decode, dumps, encode, loads
from tigertally.base.errors import MalformedMessage, NewerVersion
from tigertally.base.ids import Hash, Name
from tigertally.custody.messages.base_key import BaseKey, BaseKeyV1, base_hash
from tigertally.custody.messages.kinds import Create, KeyRef, Suite, parse_create
from tigertally.custody.messages.options import KNOWN_OPTIONS, V1_OPTIONS, KeyOptions

pytestmark = pytest.mark.requirement("C7")

PLAIN = KeyOptions.of((Name("app"), Name("job")), unattended=True)
MORE = KeyOptions.of((Name("app"),), more={"region": ["eu", b"\x00", {"a": None}]})
KEY = KeyRef(name=Name("payroll"), version=1)
RECORDED = Path(__file__).parents[3] / "versions" / "a75b629" / "custody_messages.json"


def test_known_ones_are_typed_and_unknown_ones_stay_as_they_came():
    assert (PLAIN.requesters, PLAIN.unattended) == ((Name("app"), Name("job")), True)
    assert (PLAIN.names, PLAIN.unknown) == (V1_OPTIONS, ())
    assert MORE.unknown == ("region",)
    assert MORE.to_map()["region"] == ["eu", b"\x00", {"a": None}]
    assert decode(KeyOptions, encode(MORE)) == MORE
    assert KeyOptions(bytes(MORE)) == MORE
    assert MORE.changed(unattended=True).to_map() == {**MORE.to_map(), "unattended": True}
    assert MORE.to_map() == loads(bytes(MORE)), "a map that was given away changes nothing"


def test_equal_is_what_says_the_same():
    assert KeyOptions.of() == KeyOptions.of(())
    assert len({PLAIN, MORE, KeyOptions.of(), KeyOptions.of(more={"region": "eu"})}) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"requester": []},
        {"unattended": False},
        {"requester": ["b", "a"], "unattended": False},
        {"requester": ["a", "a"], "unattended": False},
        {"requester": [1], "unattended": False},
        {"requester": ["A"], "unattended": False},
        {"requester": [], "unattended": 0},
        {"requester": [], "unattended": False, "No": 1},
        [],
    ],
)
def test_what_are_no_options(wrong: Any):
    with pytest.raises(MalformedMessage):
        KeyOptions(dumps(wrong))


@pytest.mark.parametrize("raw", [b"", b"\xa0\x00", b"\xbf\xff", bytes(PLAIN) + b"\x00"])
def test_other_bytes_are_no_options(raw: bytes):
    with pytest.raises(MalformedMessage):
        KeyOptions(raw)


def test_a_device_takes_no_part_in_what_it_does_not_know():
    PLAIN.check_known(KEY)
    with pytest.raises(NewerVersion, match=r"payroll version 1 .* \(region\)"):
        MORE.check_known(KEY)


def test_a_body_is_the_map_with_what_is_no_option():
    body = Create(key=Name("k"), suite=Suite.SHAMIR_GF256, acks=2, options=MORE)
    said = loads(body.to_body())
    assert said.items() >= MORE.to_map().items()
    assert said.keys() - MORE.to_map().keys() == {"key", "suite", "acks"}
    with pytest.raises(NewerVersion, match="region"):
        parse_create(said)
    assert KNOWN_OPTIONS >= V1_OPTIONS


def test_what_version_1_can_say_is_hashed_as_version_1_wrote_it():
    """Against the bytes that version 1 wrote, kept from then."""
    cases = json.loads(RECORDED.read_text())["cases"]
    (then,) = (bytes.fromhex(case["hex"]) for case in cases if case["name"] == "BaseKey")
    today = decode(BaseKeyV1, then).today()
    assert base_hash((today,)) == tagged_hash(tags.EPOCH_BASE, then)
    assert base_hash((today, today)) == tagged_hash(tags.EPOCH_BASE, then, then)
    assert encode(today) != then
    assert base_hash(()) is None


def test_every_option_is_in_the_hash():
    def hashed(options: KeyOptions) -> Hash | None:
        base = BaseKey(ref=KEY, epoch=Hash(bytes(32)), commitments=b"c", options=options)
        return base_hash((base,))

    many = [
        *(KeyOptions.of(), KeyOptions.of(unattended=True), KeyOptions.of((Name("app"),))),
        *(KeyOptions.of(more={"region": value}) for value in ("eu", "us", None, [])),
        KeyOptions.of(more={"regions": "eu"}),
    ]
    assert len({hashed(one) for one in many}) == len(many)
    base = BaseKey(ref=KEY, epoch=Hash(bytes(32)), commitments=b"c", options=MORE)
    with pytest.raises(NewerVersion):
        BaseKeyV1.of(base)
