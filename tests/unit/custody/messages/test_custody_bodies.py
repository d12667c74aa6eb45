"""The bodies of custody proposals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from custody_small import KEY, small
from tigertally.base.codec import loads
from tigertally.base.errors import MalformedMessage, NewerVersion
from tigertally.base.ids import Name, Text
from tigertally.custody.messages.kinds import (
    MAX_VERSION,
    Create,
    Destroy,
    Form,
    KeyRef,
    Release,
    Rotate,
    Suite,
    parse_create,
    parse_destroy,
    parse_release,
    parse_rotate,
)
from tigertally.custody.messages.options import KeyOptions

CREATE = Create(
    key=Name("payroll"),
    suite=Suite.SHAMIR_GF256,
    acks=3,
    options=KeyOptions.of((Name("a"), Name("b")), unattended=True),
)


def release() -> Release:
    return Release(
        key=KEY.name,
        version=7,
        reason=Text("quarter end"),
        form=Form.PRIVATE,
        wrapping_key=small().rig.wrapping_key.public,
    )


def test_bodies_come_back_as_they_went() -> None:
    assert parse_create(loads(CREATE.to_body())) == CREATE
    assert parse_release(loads(release().to_body())) == release()
    assert (CREATE.ref, release().ref) == (KEY, KeyRef(name=KEY.name, version=7))


@pytest.mark.parametrize(
    "changes",
    [
        {"requester": ["b", "a"]},
        {"requester": ["a", "a"]},
        {"requester": ["A"]},
        {"requester": [1]},
        {"requester": "a"},
        {"acks": 0},
        {"acks": 256},
        {"acks": True},
        {"key": "Pay Roll"},
        {"unattended": 1},
        {"acks": None},
    ],
)
def test_a_create_that_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        parse_create({**loads(CREATE.to_body()), **changes})


ROTATE = Rotate(
    key=Name("payroll"),
    version=2,
    suite=Suite.PEDERSEN_ED25519,
    acks=3,
    options=KeyOptions.of(),
)


def test_an_import_a_rotation_and_a_destruction_come_back() -> None:
    imported = replace(CREATE, imported=True)
    assert parse_create(loads(imported.to_body())) == imported
    assert "imported" not in loads(CREATE.to_body())
    assert parse_rotate(loads(ROTATE.to_body())) == ROTATE
    assert ROTATE.ref == KeyRef(name=Name("payroll"), version=2)
    for version in (None, 1, 7):
        body = Destroy(key=Name("payroll"), version=version)
        assert parse_destroy(loads(body.to_body())) == body
        assert body.covers(KeyRef(name=Name("payroll"), version=7)) == (version != 1)
        assert not body.covers(KeyRef(name=Name("pay"), version=7))


@pytest.mark.parametrize("version", [0, 1, MAX_VERSION + 1, -1, True, "2", None])
def test_a_rotation_that_is_none(version: Any) -> None:
    with pytest.raises(MalformedMessage):
        parse_rotate({**loads(ROTATE.to_body()), "version": version})
    with pytest.raises(MalformedMessage):
        parse_create({**loads(CREATE.to_body()), "imported": False})
    if version != 1 or version is True:
        with pytest.raises(MalformedMessage):
            parse_destroy({"key": "payroll", "version": version})


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": MAX_VERSION + 1},
        {"version": -1},
        {"reason": ""},
        {"reason": "  "},
        {"reason": "two\nlines"},
        {"reason": "x" * 501},
        {"wrapping_key": bytes(1216)},
        {"wrapping_key": b""},
        {"key": ""},
    ],
)
def test_a_release_that_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        parse_release({**loads(release().to_body()), **changes})


def test_what_a_newer_version_says_is_not_malformed() -> None:
    for changes in ({"suite": "rot13"}, {"more": 1}):
        with pytest.raises(NewerVersion):
            parse_create({**loads(CREATE.to_body()), **changes})
    for changes in ({"form": "raw"}, {"more": 1}):
        with pytest.raises(NewerVersion):
            parse_release({**loads(release().to_body()), **changes})


def test_versions_of_one_key_stand_together_and_in_order() -> None:
    refs = [KeyRef(name=Name(n), version=v) for n, v in (("a", 1), ("a", 256), ("a", 9), ("b", 1))]
    assert sorted(ref.to_bytes() for ref in refs) == [refs[i].to_bytes() for i in (0, 2, 1, 3)]
    assert not refs[0].to_bytes().startswith(refs[3].to_bytes())
    assert str(refs[1]) == "a version 256"
