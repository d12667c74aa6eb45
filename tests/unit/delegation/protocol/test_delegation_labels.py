from __future__ import annotations

import hashlib
import hmac

import pytest

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed
from tigertally.base.secret import Secret
from tigertally.delegation.messages.headers import FileId
from tigertally.delegation.messages.labels import parse_label
from tigertally.delegation.protocol.labels import LabelKeys, child_id, hint_of, ids_below

KEYS = LabelKeys(Secret(bytes(range(32))))
DEEP = parse_label("a/b/c")


@pytest.mark.requirement("D12")
def test_ids_and_hints_are_what_the_page_says():
    ids = KEYS.ids(DEEP)
    assert ids[0] == KEYS.root
    for parent, name, child in zip(ids, DEEP, ids[1:], strict=False):
        expected = hmac.digest(parent, tags.LABEL_ID + framed(name.encode()), "sha256")
        assert child == child_id(parent, name) == expected
    assert ids_below(ids[1], DEEP[1:]) == ids[1:], "an id names what lies below"
    file_id = FileId(bytes(16))
    raw = hashlib.sha256(tags.HINT + framed(ids[3], file_id)).digest()
    assert hint_of(ids[3], file_id) == raw[:16]


@pytest.mark.requirement("D12")
def test_every_label_and_version_has_a_key_of_its_own():
    labels = [(), parse_label("a"), parse_label("a/b"), parse_label("b"), parse_label("ab")]
    keys = {KEYS.public_key(one, version) for one in labels for version in (1, 2)}
    assert len(keys) == 2 * len(labels)
    again = LabelKeys(Secret(bytes(range(32))))
    assert again.public_key(DEEP, 1) == KEYS.public_key(DEEP, 1)
    assert KEYS.secret_key(DEEP, 1).public_key().to_bytes() == KEYS.public_key(DEEP, 1)


def test_levels_go_from_the_root_down_in_their_versions():
    ids = KEYS.ids(DEEP)
    levels = KEYS.levels(DEEP, lambda id_: 3 if id_ == ids[1] else 1)
    assert [level.id for level in levels] == list(ids)
    assert [level.version for level in levels] == [1, 3, 1, 1]
    assert levels[1].key == KEYS.public_key(DEEP[:1], 3)


def test_a_long_run_does_not_grow(monkeypatch):
    monkeypatch.setattr("tigertally.delegation.protocol.labels._REMEMBERED", 3)
    keys = LabelKeys(Secret(bytes(32)))
    for name in "abcdef":
        keys.public_key(parse_label(name), 1)
    assert len(keys._public) <= 3
